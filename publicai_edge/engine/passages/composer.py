"""A prompt's passages from what was computed of each before, put together in the order of the question.

The state of a passage is computed once, right behind a service's prompt and the words that stand before the first
passage ("the beginning" here). For a question the states of the passages found are laid one after another: the first is
where it was computed, every further one is moved to its place, which rotary positions make exact. What is missing is
only what a passage would have taken from those before it; reading its first tokens anew, in place, brings some of that
back: 16 a tenth, 64 about two thirds (`benchmarks/passages.py`). What stands between passages (their numbers) is
always read anew.

Invariants: only beginnings and passages are ever written, and both come before any patron's words; states are made by
reading pieces of :data:`SHARED_CHUNK` tokens, so they do not depend on who waited meanwhile; whatever cannot be had or
trusted is read as if there were no states at all.

Source: TurboRAG, Lu et al. 2024; Block-Attention, Sun et al. 2024; EPIC, Hu et al. 2024, on the first tokens.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile

from publicai_edge import digest
from publicai_edge.engine.chat import Prompt, Run
from publicai_edge.engine.passages.context import PassageContext
from publicai_edge.engine.passages.settings import PassageSettings
from publicai_edge.engine.passages.store import Key, StateStore
from publicai_edge.engine.prefixes import SHARED_CHUNK
from publicai_edge.errors import EngineError

_PUT, _HELD = 0, 1  # the sequence in which a prompt is put together, and the one that holds a single state meanwhile


@dataclass(frozen=True)
class Composed:
    """The state of a prompt's first ``tokens`` tokens, as a context with one stream gives it.

    ``reused`` of them were not computed for this prompt.
    """

    state: bytes
    tokens: int
    reused: int


@dataclass
class _Reading:
    """What is being read: the beginning, or a passage behind it; ``read`` counts all tokens that are there."""

    tokens: tuple[int, ...]
    key: Key
    start: int
    read: int


class Composer:
    """Computes states of passages, and puts them together.

    Args:
        context: a context for nothing else.
        store: where the states are.
        settings: how they are put together.
        threads: how many threads to use, asked before each evaluation; None leaves the context's.
    """

    def __init__(
        self,
        context: PassageContext,
        store: StateStore,
        settings: PassageSettings,
        threads: Callable[[], int] | None = None,
    ) -> None:
        self._context = context
        self._store = store
        self._settings = settings
        self._threads = threads
        self._prompt: Prompt | None = None
        self._reading: _Reading | None = None

    # For a question.

    def compose(self, prompt: Prompt) -> Composed | None:
        """Return the state of as much of a prompt as there is from its passages; None for nothing.

        Passages are taken up to the first whose state is missing. What was being read is begun anew later.

        Raises:
            EngineError: the native call failed.
        """
        self._reading = None
        found = self._found(prompt)
        if not found:
            return None
        context = self._context
        if self._threads:
            context.use_threads(self._threads())
        before = context.evaluated
        try:
            filled = found[0][0].start
            for run, state in found:
                filled = self._lay(prompt, run, state, filled)
            if len(found) > 1:  # the last shift is done with the next evaluation
                context.decode(prompt.tokens[filled : filled + 1], sequence=_PUT, position=filled, logits=False)
                filled += 1
            return Composed(bytes(context.state(_PUT).pointer), filled, filled - (context.evaluated - before))
        finally:
            self._clear()

    def _found(self, prompt: Prompt) -> list[tuple[Run, bytearray]]:
        """Lay the beginning, and return the passages behind it up to the first whose state is missing.

        All are looked at, so that whatever is damaged is removed at once.
        """
        if not prompt.runs or len(prompt.tokens) - prompt.runs[-1].end < 2:  # noqa: PLR2004 - one here, one for the patron
            return []
        beginning = prompt.tokens[: prompt.runs[0].start]
        name = beginning_digest(beginning)
        first = self._store.read(Key(name, name), beginning, 0)
        states = [
            self._store.read(Key(name, run.sha256), prompt.tokens[run.start : run.end], len(beginning))
            for run in prompt.runs
        ]
        if first is None or not self._restore(_PUT, first):
            return []
        pairs = zip(prompt.runs, states, strict=True)
        return [(run, state) for run, state in takewhile(lambda pair: pair[1] is not None, pairs) if state is not None]

    def _lay(self, prompt: Prompt, run: Run, state: bytearray, filled: int) -> int:
        """Put a passage behind what is there; return how many tokens there are then."""
        context, begun = self._context, prompt.runs[0].start
        fresh = 0 if run.start == begun else min(self._settings.fresh, run.end - run.start)
        for start in range(filled, run.start + fresh, SHARED_CHUNK):
            piece = prompt.tokens[start : min(start + SHARED_CHUNK, run.start + fresh)]
            context.decode(piece, sequence=_PUT, position=start, logits=False)
        if not self._restore(_HELD, state):
            raise EngineError("llama.cpp refused the state of a passage.")
        if fresh:
            context.forget_first(_HELD, begun + fresh)
        context.move(_HELD, _PUT, begun, run.start - begun)
        return run.end

    # When nobody waits.

    @property
    def keeping(self) -> bool:
        """Whether there is anything to read."""
        return self._prompt is not None

    def keep(self, prompt: Prompt) -> None:
        """Take in a prompt whose first passage is to be read and kept."""
        self._prompt, self._reading = prompt, None

    def read_piece(self, stop: Callable[[], bool] | None = None) -> str | None:
        """Read a piece of the passage that was taken in, unless ``stop`` says that somebody came.

        Returns:
            None while there is more to read; "kept" when its state is on the disk, "full" when there is no room there.

        Raises:
            EngineError: the native call failed; the passage is given up.
            HostError: the disk refuses; the passage is given up.
        """
        try:
            done = self._read_piece(stop)
        except Exception:
            self.give_up()
            raise
        if done:
            self.give_up()
        return done

    def give_up(self) -> None:
        """Let go of what was to be read."""
        self._prompt = self._reading = None
        self._clear()

    def _read_piece(self, stop: Callable[[], bool] | None) -> str | None:
        now = self._reading or self._next()
        if now is None:
            return "kept"
        if self._threads:
            self._context.use_threads(self._threads())
        self._reading = now
        piece = now.tokens[now.read : now.read + SHARED_CHUNK]
        if not self._context.decode_unless(stop, piece, sequence=_PUT, position=now.read):
            return None
        now.read += len(piece)
        return self._end(now) if now.read == len(now.tokens) else None

    def _next(self) -> _Reading | None:
        """Begin what is missing: the beginning, or the passage behind it; None when both are there."""
        prompt = self._prompt
        assert prompt is not None  # noqa: S101 - the caller has looked
        run = prompt.runs[0]
        beginning, name = prompt.tokens[: run.start], beginning_digest(prompt.tokens[: run.start])
        self._clear()
        own, passage = Key(name, name), Key(name, run.sha256)
        if self._store.touch(own) and self._store.touch(passage):
            return None
        state = self._store.read(own, beginning, 0)
        if state is None or not self._restore(_PUT, state):
            return _Reading(beginning, own, 0, 0)
        return _Reading(prompt.tokens[: run.end], passage, run.start, run.start)

    def _end(self, now: _Reading) -> str | None:
        """Keep what was read; None when only the beginning was, and the passage comes next."""
        context = self._context
        context.copy(_PUT, _HELD)
        if now.start:
            context.forget_first(_HELD, now.start)
        state = bytes(context.state(_HELD).pointer)
        self._clear()
        self._reading = None
        if not self._store.write(now.key, now.tokens[now.start :], state, exact=now.start == 0):
            return "full"
        return "kept" if now.start else None

    def _restore(self, sequence: int, state: bytearray) -> bool:
        return self._context.restore(sequence, self._context.fitted(state))

    def _clear(self) -> None:
        self._context.clear(_PUT)
        self._context.clear(_HELD)


def beginning_digest(tokens: tuple[int, ...]) -> str:
    """Return the digest of the tokens before a first passage."""
    return digest.of_bytes(b"".join(token.to_bytes(4, "little", signed=True) for token in tokens))
