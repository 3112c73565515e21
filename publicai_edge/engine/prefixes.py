"""The prompts that patrons share, and which of them lies in which sequence.

A shared prompt is computed once, when the bundle is built or when the kiosk first needs it, and kept as a state beside
the sequences. A request's sequence begins with a copy of it. When the request ends, what was its own is forgotten, and
the shared prompt stays where it lies: the next patron of that service begins there without any copying.

Invariants: a sequence that is free holds nothing but the whole of a shared prompt, the beginning of the one that is
being read, or nothing; a prompt is read alone and in pieces of :data:`SHARED_CHUNK` tokens wherever that is done, so
its state is the same from a file and from here.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from publicai_edge import digest
from publicai_edge.errors import EngineError

if TYPE_CHECKING:
    from publicai_edge.engine.llama import LlamaContext

# The last bits of a sum depend on the batch's shape, and so an answer is the same warm and cold.
SHARED_CHUNK = 64


@dataclass
class _Reading:
    """A shared prompt that is being read: in which sequence, and how many of its tokens are there."""

    index: int
    sequence: int
    read: int = 0


class Prefixes:
    """The shared prompts of a running context.

    Args:
        context: the context.
        tokens: each prompt's tokens.
    """

    def __init__(self, context: "LlamaContext", tokens: Sequence[tuple[int, ...]]) -> None:
        self._context = context
        self._tokens = list(tokens)
        self._states: list[Any] = [None] * len(tokens)
        self._lying: dict[int, int] = {}  # sequence: shared prompt; the one used last comes last
        self._reading: _Reading | None = None

    # What is there.

    def load(self, index: int, path: Path, sha256: str | None) -> str | None:
        """Take a state from its file if it is whole and exactly this prompt's.

        Returns:
            None; or why the file is of no use, to be read after its name.
        """
        if path.exists() and not path.is_file():  # a pipe would be waited for
            return "is not a file"
        try:
            whole = digest.of_file(path) == sha256
        except OSError as error:
            return f"cannot be read ({error.strerror})"
        if not whole:
            return "is not the file that the bundle lists"
        expected = self._tokens[index]
        found = self._context.open_state(path, len(expected))
        if found is None:
            return "is not a state of this model"
        if tuple(found[0]) != expected:
            return "is of another prompt"
        self._states[index] = found[1]
        return None

    def is_ready(self, index: int) -> bool:
        """Whether a prompt's state is there."""
        return self._states[index] is not None

    @property
    def missing(self) -> list[int]:
        """Indexes of prompts whose state is not there yet."""
        return [index for index, state in enumerate(self._states) if state is None]

    def of(self, tokens: Sequence[int]) -> int | None:
        """Return the longest shared prompt that ``tokens`` begins with, read or not."""
        best = None
        for index, prefix in enumerate(self._tokens):
            fits = 0 < len(prefix) < len(tokens) and tuple(tokens[: len(prefix)]) == prefix
            if fits and (best is None or len(prefix) > len(self._tokens[best])):
                best = index
        return best

    # A sequence's life: chosen for a request, lent what it begins with, given back.

    def choose(self, free: Collection[int], index: int | None, busy: Collection[int] = ()) -> int:
        """Return the free sequence that serves best for a request that begins with shared prompt ``index``.

        What lies in it is kept if it is that prompt, and forgotten if not.

        Args:
            free: the free sequences, at least one.
            index: the shared prompt; None for none.
            busy: the others. Neighbours are evaluated together, and each gap between them costs an evaluation of its
                own in every step, while a prompt is lent in milliseconds: so a gap is filled first, then it goes on
                at an end.
        """
        order = list(self._lying)
        if busy:
            first, last = min(busy), max(busy)
            inside = [sequence for sequence in free if first < sequence < last]
            free = inside or [sequence for sequence in free if sequence in {first - 1, last + 1}] or free

        def price(sequence: int) -> tuple[int, int]:
            if sequence in self._lying:
                fits = index is not None and self._lying[sequence] == index
                return (0, 0) if fits else (2, order.index(sequence))
            if self._reading and self._reading.sequence == sequence:
                return (0, 1) if self._reading.index == index else (3, 0)
            return (1, 0)

        sequence = min(free, key=price)
        if price(sequence)[0] > 1:
            self._empty(sequence)
        return sequence

    def lend(self, index: int, sequence: int) -> int:
        """Make ``sequence`` begin with a shared prompt that is ready.

        Returns:
            Its length in tokens; 0 if its state proved to be of no use. It is then missing, and to be read again.
        """
        if self._lying.get(sequence) != index:
            self._empty(sequence)
            if not self._context.restore(sequence, self._states[index]):
                self._states[index] = None
                return 0
        self._lying.pop(sequence, None)
        self._lying[sequence] = index
        return len(self._tokens[index])

    def lay(self, sequences: Sequence[int]) -> None:
        """Put what is ready into sequences before anybody asks, where it may stay."""
        ready = [index for index in range(len(self._tokens)) if self.is_ready(index)]
        if ready and self._context.holds:
            for place, sequence in enumerate(sequences):
                self.lend(ready[place % len(ready)], sequence)

    def end(self, sequence: int) -> None:
        """Forget what a request had of its own."""
        if sequence in self._lying and self._context.holds:
            self._context.forget(sequence, len(self._tokens[self._lying[sequence]]))
        elif not (self._reading and self._reading.sequence == sequence):
            self._empty(sequence)

    def leave(self, sequence: int) -> None:
        """Forget all that lies in a sequence: what comes into it is not of these prompts."""
        self._empty(sequence)

    # Reading what is missing.

    def read_piece(self, index: int, sequence: int) -> None:
        """Evaluate the next piece of a prompt, alone, as it was at build time.

        Args:
            index: the prompt.
            sequence: where to begin with it, if that has not been done. What is there is forgotten.

        Raises:
            EngineError: the native call failed; the prompt is begun anew.
        """
        now = self._reading
        if now is None or now.index != index:
            if now:
                self._empty(now.sequence)
            self._empty(sequence)
            now = self._reading = _Reading(index, sequence)
        tokens = self._tokens[index]
        piece = tokens[now.read : now.read + SHARED_CHUNK]
        try:
            self._context.decode(piece, sequence=now.sequence, position=now.read, logits=False)
            now.read += len(piece)
            if now.read == len(tokens):
                self._states[index] = self._context.state(now.sequence)
        except EngineError:
            self._empty(now.sequence)
            raise
        if self.is_ready(index):
            self._reading = None
            self._lying[now.sequence] = index

    def _empty(self, sequence: int) -> None:
        self._context.clear(sequence)
        self._lying.pop(sequence, None)
        if self._reading and self._reading.sequence == sequence:
            self._reading = None
