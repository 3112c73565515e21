"""A context of its own for passages, beside that of the patrons: one cache, in which sequences can be put together.

The patrons' sequences have streams of their own (:mod:`publicai_edge.engine.llama`), between which llama.cpp copies
only whole ones. Here all share their cells, so that a part of one can be given to another.

Invariants: a shift is not done when it is asked for, but with the next evaluation (llama.cpp applies it then), so no
state is taken in between; an evaluation that was stopped leaves the sequence as it was before.
"""

from collections.abc import Callable, Sequence
from typing import Any

from publicai_edge.engine.llama import LlamaContext, LlamaModel, library
from publicai_edge.errors import EngineError
from publicai_edge.tuning import Tuning

CANNOT_SHIFT = "what this model has read cannot be moved to another place"
_SEQUENCES = 2


def cannot_compose(model: LlamaModel) -> str | None:
    """Return why passages of this model cannot be put together, to be read after "passages are read anew:"; or None."""
    if not model.keeps_positions:
        return "this model keeps one state for all it has read"
    if not model.has_streams:
        return "this model looks back over a window only"
    return None


class PassageContext(LlamaContext):
    """Two sequences in one cache.

    Args:
        model: the loaded model.
        n_ctx: cells of both together.
        threads: threads of an evaluation.
        tuning: as for the patrons' context: states of one are for the other.
    """

    def __init__(self, model: LlamaModel, *, n_ctx: int, threads: int, tuning: Tuning) -> None:
        super().__init__(model, n_ctx=n_ctx, n_seq=_SEQUENCES, threads=threads, tuning=tuning, unified=True)
        self._stopping: Any = None

    @property
    def can_shift(self) -> bool:
        """Whether what was computed for one position can be moved to another."""
        return bool(self._llama.llama_memory_can_shift(self.memory))

    def move(self, source: int, target: int, begin: int, by: int) -> None:
        """Shift a sequence's positions from ``begin`` on, and give all that is left of it to another."""
        llama = self._llama
        if by:
            llama.llama_memory_seq_add(self.memory, source, begin, -1, by)
        llama.llama_memory_seq_cp(self.memory, source, target, -1, -1)
        self.clear(source)

    def forget_first(self, sequence: int, end: int) -> None:
        """Forget a sequence up to position ``end``."""
        self._llama.llama_memory_seq_rm(self.memory, sequence, 0, end)

    def copy(self, source: int, target: int) -> None:
        """Give all of a sequence to another as well."""
        self._llama.llama_memory_seq_cp(self.memory, source, target, -1, -1)

    def decode_unless(
        self, stop: Callable[[], bool] | None, tokens: Sequence[int], *, sequence: int, position: int
    ) -> bool:
        """Evaluate tokens; False where ``stop`` said so meanwhile: nothing was evaluated then.

        Only processors can be stopped; a graphics processor goes on to the end, and this says True.

        Raises:
            EngineError: as :meth:`decode`.
        """
        stopped = False

        def look(_data: Any) -> bool:
            nonlocal stopped
            stopped = stopped or bool(stop and stop())
            return stopped

        self._watch(look)
        try:
            self.decode(tokens, sequence=sequence, position=position, logits=False)
        except EngineError:
            if not stopped:
                raise
            return False
        finally:
            self._watch(None)
        return True

    def _watch(self, look: Callable[[Any], bool] | None) -> None:
        llama = library()
        self._stopping = llama.ggml_abort_callback(look) if look else llama.ggml_abort_callback()
        llama.llama_set_abort_callback(self.handle, self._stopping, None)
