"""What a model predicts for text: the logits of many windows of tokens, a batch at a time.

Short windows share a batch as sequences of their own, so attention never looks from one into another; a window longer
than a batch goes on in the next. Logits are computed only where they are scored, and no more of them
are held than one batch gives.

Invariant: rows come in the order of the windows and, within a window, of its tokens, whatever the batch size. What was
stored of one model's rows can so be laid beside another's.
"""

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from publicai_edge.engine.llama import LlamaModel, last_words, library
from publicai_edge.errors import EngineError
from publicai_edge.tuning import KvType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BATCH = 512
_SEQUENCES = 64  # windows in one batch; recurrent models keep a state for each
_LOGIT_BYTES = 256 << 20  # logits of one batch: with a large vocabulary, batches are shorter
_MIN_ROWS = 32


@dataclass(frozen=True)
class Window:
    """A stretch of one document's tokens that is evaluated from an empty context.

    Attributes:
        document: index of the document it is of.
        tokens: int32, shape (n,).
        first_scored: place of the first token whose probability is taken, 1 or more; the last one is ``n - 1``.
    """

    document: int
    tokens: "NDArray[np.int32]"
    first_scored: int

    def __post_init__(self) -> None:
        if not 1 <= self.first_scored < len(self.tokens):
            raise ValueError(f"a window of {len(self.tokens)} tokens cannot be scored from {self.first_scored} on")

    @property
    def rows(self) -> int:
        """How many of its tokens are scored."""
        return len(self.tokens) - self.first_scored


@dataclass(frozen=True)
class Rows:
    """One batch's predictions.

    Attributes:
        logits: float32, shape (rows, vocabulary): llama.cpp's own memory, valid until the next batch.
        targets: the token that came after each row's, int32, shape (rows,).
        evaluated: tokens evaluated for this batch.
    """

    logits: "NDArray[np.float32]"
    targets: "NDArray[np.int32]"
    evaluated: int


@dataclass(frozen=True)
class _Piece:
    """Tokens ``start`` to ``stop`` of a window; ``slot`` is its sequence."""

    window: Window
    slot: int
    start: int
    stop: int

    @property
    def ends(self) -> bool:
        return self.stop == len(self.window.tokens) - 1


class Scorer:
    """A context that evaluates windows.

    Args:
        model: the loaded model.
        context: most tokens in one window.
        threads: threads of the evaluation.
        batch: most tokens evaluated at once.
        kv_type: type of the KV cache.

    Raises:
        EngineError: the context cannot be made.
    """

    def __init__(
        self, model: LlamaModel, *, context: int, threads: int, batch: int = _BATCH, kv_type: KvType = "f16"
    ) -> None:
        self._llama = llama = library()
        self.model = model
        self.context = context
        self._step = max(_MIN_ROWS, min(batch, _LOGIT_BYTES // (4 * model.n_vocab)))
        params = llama.llama_context_default_params()
        params.n_ctx = context + self._step  # one window going on, and a batch of new ones
        params.n_batch = params.n_ubatch = self._step
        self._slots = min(_SEQUENCES, self._step)  # llama.cpp aborts with more sequences than tokens in a batch
        params.n_seq_max = self._slots
        params.n_outputs_max_per_seq = 0
        params.type_k = params.type_v = getattr(llama, f"GGML_TYPE_{kv_type.upper()}")
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = True
        params.no_perf = True
        self._handle = llama.llama_init_from_model(model.handle, params)
        if not self._handle:
            raise EngineError(
                f"{model.path.name} loads, but a context of {context} tokens cannot be made: {last_words()}",
                hint="Measure with a smaller context.",
            )
        self._memory = llama.llama_get_memory(self._handle)
        self._batch = _Batch(self._step, llama)

    def close(self) -> None:
        """Free the context; the model stays."""
        if self._handle:
            self._llama.llama_free(self._handle)
            self._handle = None

    @staticmethod
    def work(windows: Sequence[Window]) -> int:
        """Return how many tokens :meth:`rows` will evaluate: all but each window's last."""
        return sum(len(window.tokens) - 1 for window in windows)

    def rows(self, windows: Sequence[Window]) -> Iterator[Rows]:
        """Evaluate ``windows`` and yield the scored rows, batch after batch; a batch may have none.

        Raises:
            EngineError: llama.cpp failed.
            ValueError: a window is longer than the context.
        """
        self._llama.llama_memory_clear(self._memory, True)
        for pieces in _pack(windows, self.context, self._step, self._slots):
            yield self._evaluate(pieces)
            for piece in pieces:
                if piece.ends:
                    self._llama.llama_memory_seq_rm(self._memory, piece.slot, -1, -1)

    def _evaluate(self, pieces: Sequence[_Piece]) -> Rows:
        import numpy as np

        batch, targets = self._batch.fill(pieces)
        code = self._llama.llama_decode(self._handle, batch)
        if code:
            raise EngineError(f"llama.cpp could not evaluate {batch.n_tokens} tokens (code {code}): {last_words()}")
        vocabulary = self.model.n_vocab
        if not len(targets):
            return Rows(np.empty((0, vocabulary), np.float32), targets, int(batch.n_tokens))
        address = self._llama.llama_get_logits(self._handle)  # waits for the evaluation, and puts rows in order
        logits = np.ctypeslib.as_array(address, (len(targets), vocabulary))
        return Rows(logits, targets, int(batch.n_tokens))


class _Batch:
    """A ``llama_batch`` on numpy's memory, so that filling it takes a few array writes."""

    def __init__(self, size: int, llama: Any) -> None:
        import numpy as np

        self._token = np.zeros(size, np.int32)
        self._position = np.zeros(size, np.int32)
        self._count = np.ones(size, np.int32)
        self._wanted = np.zeros(size, np.int8)
        self._sequences = np.arange(_SEQUENCES, dtype=np.int32)  # what the pointers below point to
        self._pointer = np.zeros(size, np.uintp)
        self._batch = llama.llama_batch()
        for name, array in (
            ("token", self._token),
            ("pos", self._position),
            ("n_seq_id", self._count),
            ("seq_id", self._pointer),
            ("logits", self._wanted),
        ):
            kind = dict(llama.llama_batch._fields_)[name]
            setattr(self._batch, name, ctypes.cast(array.ctypes.data, kind))

    def fill(self, pieces: Sequence[_Piece]) -> tuple[Any, "NDArray[np.int32]"]:
        """Lay pieces one after the other; return the batch and the targets of its scored rows."""
        import numpy as np

        at = 0
        targets = []
        base, width = self._sequences.ctypes.data, self._sequences.itemsize
        for piece in pieces:
            end = at + piece.stop - piece.start
            scored = max(piece.start, piece.window.first_scored - 1)
            self._token[at:end] = piece.window.tokens[piece.start : piece.stop]
            self._position[at:end] = np.arange(piece.start, piece.stop, dtype=np.int32)
            self._pointer[at:end] = base + width * piece.slot
            self._wanted[at:end] = 0
            if scored < piece.stop:
                self._wanted[at + scored - piece.start : end] = 1
                targets.append(piece.window.tokens[scored + 1 : piece.stop + 1])
            at = end
        self._batch.n_tokens = at
        return self._batch, np.concatenate(targets) if targets else np.empty(0, np.int32)


def _pack(windows: Sequence[Window], context: int, size: int, slots: int) -> Iterator[list[_Piece]]:
    """Yield lists of pieces, each at most ``size`` tokens together, windows in order.

    A window that fits a batch is not cut: its other part would be attended to across a second batch's cells, which
    costs more than the room left over. A window's last token is scored but not evaluated: nothing comes after it.
    """
    pieces: list[_Piece] = []
    room = size
    slot = 0
    for window in windows:
        length = len(window.tokens) - 1
        if length > context:
            raise ValueError(f"a window of {len(window.tokens)} tokens is longer than the context of {context}")
        start = 0
        while start < length:
            if pieces and (room < min(length - start, size) or len(pieces) == slots - 1):
                yield pieces
                pieces, room = [], size
            stop = min(length, start + room)
            pieces.append(_Piece(window, slot, start, stop))
            room -= stop - start
            start = stop
        slot = (slot + 1) % slots
    if pieces:
        yield pieces
