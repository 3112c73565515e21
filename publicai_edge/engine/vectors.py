"""Embeddings by llama.cpp: one unit vector a text, pooled as the model itself says.

Texts share a batch as sequences of their own. A text longer than the context is cut at its end.
"""

import ctypes
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from publicai_edge.engine.llama import LlamaModel, last_words, library
from publicai_edge.errors import EngineError, ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CONTEXT = 512
_SEQUENCES = 32


class Vectors:
    """An embedding model, loaded.

    Args:
        path: a GGUF of an embedding model.
        threads: threads of the evaluation.
        context: most tokens of a text.

    Raises:
        ModelError: llama.cpp refuses the file, or it pools nothing: it is no embedding model.
        EngineError: the context cannot be made.
    """

    def __init__(self, path: Path, *, threads: int, context: int = _CONTEXT) -> None:
        self._llama = llama = library()
        self.model = LlamaModel(path)
        self._context = min(context, self.model.n_ctx_train)
        params = llama.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = self._context
        params.n_seq_max = _SEQUENCES
        params.n_threads = params.n_threads_batch = threads
        params.embeddings = True
        params.kv_unified = True
        params.no_perf = True
        self._handle = llama.llama_init_from_model(self.model.handle, params)
        if not self._handle:
            self.model.close()
            raise EngineError(f"{path.name} loads, but no context for its embeddings can be made: {last_words()}")
        self.width = int(llama.llama_model_n_embd(self.model.handle))
        if llama.llama_pooling_type(self._handle) in {llama.LLAMA_POOLING_TYPE_NONE, llama.LLAMA_POOLING_TYPE_RANK}:
            self.close()
            raise ModelError(
                f"{path} gives no vector for a text: it is not an embedding model.",
                hint="Name the GGUF of an embedding model.",
                path=str(path),
            )
        self._batch = llama.llama_batch_init(self._context, 0, 1)

    def close(self) -> None:
        """Free the context and the model."""
        if self._handle:
            self._llama.llama_free(self._handle)
            self._handle = None
            self.model.close()

    def embed(self, texts: Sequence[str]) -> Iterator["NDArray[np.float32]"]:
        """Yield a vector of length 1, float32, shape (width,), for each text.

        Raises:
            EngineError: llama.cpp failed.
            ModelError: a vector is not made of numbers.
        """
        waiting: list[list[int]] = []
        for text in texts:
            tokens = self._tokens(text)
            if waiting and (sum(map(len, waiting)) + len(tokens) > self._context or len(waiting) == _SEQUENCES):
                yield from self._evaluate(waiting)
                waiting = []
            waiting.append(tokens)
        if waiting:
            yield from self._evaluate(waiting)

    def _tokens(self, text: str) -> list[int]:
        tokens = self.model.tokenize(text, special=False, begin=True)
        if len(tokens) <= self._context:
            return tokens
        return [*tokens[: self._context - 1], tokens[-1]]  # the end token, where there is one, stays

    def _evaluate(self, texts: Sequence[Sequence[int]]) -> Iterator["NDArray[np.float32]"]:
        import numpy as np

        llama, batch = self._llama, self._batch
        memory = llama.llama_get_memory(self._handle)
        if memory:  # encoders have none
            llama.llama_memory_clear(memory, True)
        count = 0
        for sequence, tokens in enumerate(texts):
            for position, token in enumerate(tokens):
                batch.token[count] = token
                batch.pos[count] = position
                batch.n_seq_id[count] = 1
                batch.seq_id[count][0] = sequence
                batch.logits[count] = 1
                count += 1
        batch.n_tokens = count
        code = llama.llama_decode(self._handle, batch) if memory else llama.llama_encode(self._handle, batch)
        if code:
            raise EngineError(f"llama.cpp could not embed {count} tokens (code {code}): {last_words()}")
        for sequence in range(len(texts)):
            address: Any = llama.llama_get_embeddings_seq(self._handle, sequence)
            if not address:
                raise EngineError(f"llama.cpp gave no vector for a text: {last_words()}")
            vector = np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(ctypes.c_float)), (self.width,)).copy()
            length = float(np.linalg.norm(vector))
            if not np.isfinite(length) or length <= 0:
                raise ModelError(f"{self.model.path} gives a vector that is not made of numbers.")
            yield (vector / length).astype(np.float32)
