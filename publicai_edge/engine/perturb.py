"""A loaded model whose weights can be replaced while it stays loaded.

The weights are read into memory of this process as the file has them (no mapping, no repacking), and their addresses
are learned from the graph of one small evaluation. What is written there is what the next evaluation multiplies with:
the effect of quantizing one tensor is measured without writing or loading a file.

Invariant: :meth:`Perturbed.replaced` puts back the very bytes it found, whatever happens in between.
"""

import ctypes
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from publicai_edge import gguf
from publicai_edge.engine.ggml_tensor import Tensor, ggml
from publicai_edge.engine.llama import LlamaModel, last_words, library
from publicai_edge.engine.scoring import Scorer
from publicai_edge.errors import EngineError, ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CODES = {code: name for code, (name, _, _) in gguf.TENSOR_TYPES.items()}
_BF16_SHIFT = 16


class Perturbed:
    """An unquantized model in writable memory.

    Args:
        path: a GGUF file with F16, BF16 or F32 weights.
        context: most tokens of one text.
        threads: threads of the evaluation.

    Attributes:
        shapes: shape of every weight that can be replaced, by name: (rows, columns) or (matrices, rows, columns).

    Raises:
        ModelError: the model is quantized, or llama.cpp refuses it.
        EngineError: a context cannot be made, or the engine is not the version this program knows.
    """

    def __init__(self, path: Path, *, context: int, threads: int) -> None:
        header = gguf.read(path)
        if header.is_quantized:
            raise ModelError(
                f"{path} is quantized ({header.quantization}); what quantizing costs is measured on the original.",
                hint="Name the F16, BF16 or F32 file.",
                found=header.quantization,
            )
        ggml()  # refuses an engine whose tensors lie otherwise
        self.model = LlamaModel(path, writable=True)
        try:
            found = self._find(threads)
            self.scorer = Scorer(self.model, context=context, threads=threads)
        except BaseException:
            self.model.close()
            raise
        matrices = {tensor.name for tensor in header.tensors if len(tensor.dimensions) > 1}
        self._memory = {name: found[name] for name in sorted(matrices & found.keys())}
        self.shapes: Mapping[str, tuple[int, ...]] = {name: shape for name, (_, _, shape) in self._memory.items()}

    def close(self) -> None:
        """Free the context and the model."""
        self.scorer.close()
        self.model.close()

    def weights(self, name: str) -> "NDArray[np.float32]":
        """Return a copy of a weight's values as they now are, float32."""
        import numpy as np

        stored = self._stored(name)
        if self._memory[name][1] == "BF16":
            return (stored.astype(np.uint32) << _BF16_SHIFT).view(np.float32)
        return stored.astype(np.float32)

    @contextmanager
    def replaced(self, weights: Mapping[str, "NDArray[np.float32]"]) -> Iterator[None]:
        """Evaluate with other values for some weights, rounded to the file's type, until the block ends."""
        before = {name: self._stored(name).copy() for name in weights}
        try:
            for name, values in weights.items():
                self._stored(name)[...] = _as_stored(values, self._memory[name][1])
            yield
        finally:
            for name, values in before.items():
                self._stored(name)[...] = values

    def _stored(self, name: str) -> "NDArray[Any]":
        """Return a weight's own memory: float16, float32, or BF16 as uint16."""
        import numpy as np

        address, kind, shape = self._memory[name]
        dtype = np.dtype({"F32": "f4", "F16": "f2", "BF16": "u2"}[kind])
        count = int(np.prod(shape))
        memory = (ctypes.c_char * (count * dtype.itemsize)).from_address(address)
        return np.ndarray(shape, dtype, memoryview(memory))

    def _find(self, threads: int) -> dict[str, tuple[int, str, tuple[int, ...]]]:
        """Evaluate two tokens, and return address, type and shape of every weight that the graph reads."""
        llama = library()
        found: dict[str, tuple[int, str, tuple[int, ...]]] = {}

        def look(address: int, _ask: bool, _data: Any) -> bool:
            for source in Tensor.from_address(address).src:
                if source:
                    tensor = Tensor.from_address(source)
                    kind = _CODES.get(tensor.type, "")
                    if kind in {"F32", "F16", "BF16"} and tensor.name.endswith(b".weight"):
                        rows = tuple(tensor.ne)[2::-1] if tensor.ne[2] > 1 else tuple(tensor.ne)[1::-1]
                        found[tensor.name.decode()] = (int(tensor.data), kind, rows)
            return False

        params = llama.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = 32
        params.n_threads = params.n_threads_batch = threads
        params.cb_eval = callback = llama.ggml_backend_sched_eval_callback(look)
        context = llama.llama_init_from_model(self.model.handle, params)
        if not context:
            raise EngineError(f"{self.model.path.name} loads, but a context cannot be made: {last_words()}")
        tokens = (ctypes.c_int32 * 2)(0, 1)
        code = llama.llama_decode(context, llama.llama_batch_get_one(tokens, 2))
        llama.llama_free(context)
        del callback
        if code:
            raise EngineError(f"llama.cpp could not evaluate two tokens (code {code}): {last_words()}")
        return found


def _as_stored(values: "NDArray[np.float32]", kind: str) -> "NDArray[Any]":
    import numpy as np

    if kind == "BF16":  # to nearest, ties to even
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> _BF16_SHIFT) & 1)) >> _BF16_SHIFT).astype(np.uint16)
    return values.astype(np.float16 if kind == "F16" else np.float32)
