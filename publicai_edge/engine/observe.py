"""What flows into a model's weights: sums of squared activations, the statistics of an importance matrix.

llama.cpp calls back for the nodes of its graph while it evaluates text. Of every matrix product with a weight of a
block, the columns of the other factor are squared and summed over the tokens; of a product that routes tokens to
experts, for each expert apart. The same products are taken as by ``llama-imatrix``, and the sums are the same up to
the order of additions.

Two things save time against it. Products that share their input (the query, key and value of a layer) are summed once
and stop the evaluation once. When the last product wanted is done, the rest of the graph, the product with the output
matrix above all, is not computed; what llama.cpp then takes for logits is never read.

Invariants: one call of ``llama_decode`` evaluates one graph, so an address names one tensor for as long as it is
remembered; an error inside a callback is kept, and raised when the native call has returned.

Source: ggml-org/llama.cpp ``tools/imatrix``; the idea: https://github.com/ggml-org/llama.cpp/pull/4861
"""

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from publicai_edge.engine import ggml_tensor
from publicai_edge.engine.ggml_tensor import TYPE_F32, TYPE_I32, Tensor
from publicai_edge.engine.llama import LlamaModel, last_words, library
from publicai_edge.errors import EngineError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MIN_ROWS = 16  # products over fewer tokens are left out, as llama-imatrix does
_UBATCH = 512
_ITEM = 4  # bytes of a float32 or an int32
_OPERATION = Tensor.op.offset
_Input = tuple[int, int, int, int]  # operation, input, expert ids, experts
_Summed = tuple[Any, Any]  # sums and counts, as _sum_rows or _sum_by_expert return them


@dataclass
class Statistics:
    """The activations of one weight.

    Attributes:
        sums: squares summed over the tokens, float64, shape (matrices, columns); a matrix for each expert.
        counts: tokens seen, int64; shape (1,), or (experts,) where tokens are routed.
    """

    sums: "NDArray[np.float64]"
    counts: "NDArray[np.int64]"


class Observer:
    """A loaded model that remembers what flowed into its weights.

    Args:
        model: a GGUF file.
        context: most tokens of one text given to :meth:`observe`.
        threads: threads of the evaluation.
        output: whether the output matrix is wanted too (``llama-imatrix --process-output``).

    Raises:
        ModelError: llama.cpp refuses the file.
        EngineError: the context cannot be made, or the engine is not the version this program knows.
    """

    def __init__(self, model: Path, *, context: int, threads: int, output: bool = False) -> None:
        self._ggml = ggml_tensor.ggml()
        self._llama = llama = library()
        self._output = output
        self._statistics: dict[str, Statistics] = {}
        self._seen: dict[_Input, _Summed] = {}  # inputs of the graph under evaluation
        self._stops = 0  # times that graph was stopped for a new input
        self._reused_last = False  # whether its last wanted product had an input seen before
        self._last_stop: dict[int, int] = {}  # tokens of a graph → its stop after which nothing is wanted
        self._error: BaseException | None = None
        self.model = LlamaModel(model)
        self._callback = llama.ggml_backend_sched_eval_callback(self._on_node)
        params = llama.llama_context_default_params()
        params.n_ctx = context
        params.n_batch = params.n_ubatch = self._step = min(context, _UBATCH)
        params.n_seq_max = 1
        params.n_threads = params.n_threads_batch = threads
        params.no_perf = True
        params.cb_eval = self._callback
        self._context = llama.llama_init_from_model(self.model.handle, params)
        if not self._context:
            self.model.close()
            raise EngineError(
                f"{model.name} loads, but a context of {context} tokens cannot be made: {last_words()}",
                hint="Collect with a smaller context.",
            )
        self._batch = llama.llama_batch_init(self._step, 0, 1)

    def close(self) -> None:
        """Free the context and the model."""
        if self._context:
            self._llama.llama_batch_free(self._batch)
            self._llama.llama_free(self._context)
            self._context = None
            self.model.close()

    @property
    def statistics(self) -> Mapping[str, Statistics]:
        """What was seen so far, by the weight's name."""
        return self._statistics

    def observe(self, tokens: Sequence[int]) -> None:
        """Evaluate one text of at most ``context`` tokens, apart from all others.

        Raises:
            EngineError: llama.cpp failed, or an activation is not a finite number.
        """
        llama = self._llama
        llama.llama_memory_clear(llama.llama_get_memory(self._context), True)
        for start in range(0, len(tokens), self._step):
            self._decode(tokens[start : start + self._step], start)

    def _decode(self, tokens: Sequence[int], position: int) -> None:
        batch, count = self._batch, len(tokens)
        batch.n_tokens = count
        for index, token in enumerate(tokens):
            batch.token[index] = token
            batch.pos[index] = position + index
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = 0
            batch.logits[index] = 1  # without it, the last block evaluates the last token only
        self._seen.clear()
        self._stops, self._reused_last, self._tokens = 0, False, count
        code = self._llama.llama_decode(self._context, batch)
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if code:
            raise EngineError(f"llama.cpp could not evaluate {count} tokens (code {code}): {last_words()}")
        if not self._reused_last:
            self._last_stop.setdefault(count, self._stops)

    def _on_node(self, address: int, ask: bool, _data: Any) -> bool:
        """Answer llama.cpp: with ``ask``, whether to stop at this node; without, whether to go on after it."""
        try:
            if ask:
                operation = ctypes.c_int.from_address(address + _OPERATION).value
                is_product = operation in (self._ggml.mul_mat, self._ggml.mul_mat_id)
                return is_product and self._is_new(Tensor.from_address(address))
            self._take(Tensor.from_address(address))
        except BaseException as error:  # noqa: BLE001 - it cannot pass through native code; _decode raises it
            self._error = error
            return ask
        self._stops += 1
        self._reused_last = False
        return self._stops != self._last_stop.get(self._tokens)

    def _is_new(self, node: Tensor) -> bool:
        """Say whether the node is wanted and its input not yet summed; an input seen before is added at once."""
        weight, rows = Tensor.from_address(node.src[0]), Tensor.from_address(node.src[1])
        name = weight_name(weight.name)
        if node.op == self._ggml.mul_mat:
            of_block = name.startswith("blk.") or (self._output and name == "output.weight")
            if rows.ne[1] < _MIN_ROWS or rows.type != TYPE_F32 or not of_block:
                return False
        summed = self._seen.get(_input_of(node, weight))
        if summed is None:
            return True
        self._add(name, weight, summed)
        self._reused_last = True
        return False

    def _take(self, node: Tensor) -> None:
        weight = Tensor.from_address(node.src[0])
        name = weight_name(weight.name)
        rows = self._array(node.src[1], name)
        if node.op == self._ggml.mul_mat:
            summed = _sum_rows(rows)
        else:
            ids = self._array(node.src[2], name, TYPE_I32)[0, 0]
            summed = _sum_by_expert(rows[0], ids, weight.ne[2])
        self._seen[_input_of(node, weight)] = summed
        self._add(name, weight, summed)

    def _array(self, address: int, name: str, kind: int = TYPE_F32) -> "NDArray[Any]":
        """Return a tensor's values, shape (ne3, ne2, ne1, ne0): a view of the host's memory, or a device's copied."""
        import numpy as np

        tensor = Tensor.from_address(address)
        if tensor.type != kind or tensor.nb[0] != _ITEM:
            raise EngineError(f"The input of {name} has ggml type {tensor.type}, expected {kind} in whole rows.")
        size = self._ggml.nbytes(address)
        if self._ggml.is_host(tensor.buffer):
            memory = (ctypes.c_char * size).from_address(tensor.data)
        else:
            memory = (ctypes.c_char * size)()
            self._ggml.get(address, ctypes.addressof(memory), 0, size)
        dtype = np.dtype("<f4" if kind == TYPE_F32 else "<i4")
        return np.ndarray(tuple(tensor.ne)[::-1], dtype, memory, 0, tuple(tensor.nb)[::-1])

    def _add(self, name: str, weight: Tensor, summed: _Summed) -> None:
        """Add one input's sums to those of a weight; a weight of several matrices takes its inputs in turn."""
        import numpy as np

        sums, counts = summed
        matrices = weight.ne[2] * weight.ne[3]
        routed = sums.ndim == 2  # noqa: PLR2004 - (experts, columns) against (ne3, ne2, columns)
        known = self._statistics.get(name)
        if known is None:
            shape = (matrices, sums.shape[-1])
            width = matrices if routed else 1
            known = self._statistics[name] = Statistics(np.zeros(shape), np.zeros(width, np.int64))
        if routed:
            known.sums += sums
            known.counts += counts
            return
        for outer in range(sums.shape[0]):
            for inner in range(sums.shape[1]):
                known.sums[outer % weight.ne[3] * weight.ne[2] + inner % weight.ne[2]] += sums[outer, inner]
        known.counts += counts // matrices


def weight_name(raw: bytes) -> str:
    """Return a weight's name without what the scheduler puts around it for a device: ``CUDA0#NAME#0`` is ``NAME``."""
    parts = raw.decode("utf-8", "replace").split("#", 2)
    return parts[1] if len(parts) > 1 else parts[0]


def _input_of(node: Tensor, weight: Tensor) -> _Input:
    return node.op, node.src[1], node.src[2] or 0, weight.ne[2] if node.src[2] else 0


def _finite(sums: "NDArray[np.float64]") -> "NDArray[np.float64]":
    import numpy as np

    if not np.isfinite(sums).all():
        raise EngineError(
            "The model's activations are not finite numbers: its weights are damaged, or their type too narrow.",
            hint="Convert the model again; if its original is BF16, convert to BF16 instead of F16.",
        )
    return sums


def _sum_rows(rows: "NDArray[np.float32]") -> _Summed:
    """Square and sum over the rows: (ne3, ne2, rows, columns) to (ne3, ne2, columns)."""
    import numpy as np

    # einsum runs over the memory once; it adds in float32, but over one batch only
    sums = np.array([[np.einsum("ij,ij->j", matrix, matrix) for matrix in outer] for outer in rows], np.float64)
    return _finite(sums), np.asarray(rows.size // rows.shape[-1], np.int64)


def _sum_by_expert(rows: "NDArray[np.float32]", ids: "NDArray[np.int32]", experts: int) -> _Summed:
    """Square and sum the rows each expert was given.

    Args:
        rows: shape (tokens, experts used or 1, columns).
        ids: shape (tokens, experts used).
        experts: how many there are.
    """
    import numpy as np

    tokens, used = ids.shape
    squares = np.square(np.broadcast_to(rows, (tokens, used, rows.shape[-1]))) if rows.shape[1] == 1 else rows**2
    sums = np.zeros((experts, rows.shape[-1]))
    for expert in np.unique(ids):
        sums[expert] = squares[ids == expert].sum(axis=0)
    return _finite(sums), np.bincount(ids.ravel(), minlength=experts).astype(np.int64)
