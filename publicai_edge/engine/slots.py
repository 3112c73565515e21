"""One conversation under way: what of it is in the cache, what comes next, and what was said of it.

Invariant: positions ``0 .. filled`` of the slot's sequence are in the cache; ``tokens`` beyond them are still to be
evaluated, and the last of ``tokens`` is never in the cache, because its evaluation gives the next.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from publicai_edge.engine.chat import Prompt
from publicai_edge.engine.llama import LlamaModel
from publicai_edge.engine.lookup import Accepted, Lookup
from publicai_edge.engine.protocol import Delta, Event, Finished, Sampling, Started
from publicai_edge.engine.sampling import Chooser
from publicai_edge.engine.text import TextOut

Reason = Literal["stop", "length", "cancelled"]


@dataclass
class Slot:
    """A request that is being answered.

    Attributes:
        number: the request's number.
        sequence: the sequence it lives in.
        prompt: its prompt.
        prefix: the shared prompt it begins with, if it does.
        room: tokens the answer may have.
        tokens: the prompt, then the answer.
        filled: how many of ``tokens`` are in the cache.
        reused: how many of them were there before.
        draft: what is guessed to follow ``tokens``, in the evaluation under way.
    """

    number: int
    sequence: int
    prompt: Prompt
    prefix: int | None
    sampling: Sampling
    room: int
    model: LlamaModel
    chooser: Chooser
    send: Callable[[int, Event], None]
    tokens: list[int] = field(init=False)
    filled: int = 0
    reused: int = 0
    draft: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Take the prompt in."""
        self.tokens = list(self.prompt.tokens)
        self.accepted = Accepted()
        self.done = False
        self._lookup: Lookup | None = None
        self._out = TextOut(self.sampling.stop)
        self._text = ""
        self._begun = False
        self._admitted = time.perf_counter()
        self._read_at: float | None = None
        self._count = 0

    @property
    def reading(self) -> bool:
        """Whether the prompt is still being read."""
        return self._read_at is None

    @property
    def left(self) -> int:
        """How many tokens are to be evaluated next."""
        return len(self.tokens) - self.filled

    def guess(self, most: int) -> list[int]:
        """Return what is guessed to follow, at most so many tokens and never past the end of the answer."""
        if self._lookup is None:
            self._lookup = Lookup(self.tokens)
        return self._lookup.draft(min(most, self.room - self._count - 1))

    def take(self, token: int) -> bool:
        """Take the next token of the answer; return whether another one is wanted."""
        if self._read_at is None:
            self._read_at = time.perf_counter()
            self.send(self.number, Started(len(self.prompt.tokens), self.reused))
        if self.model.ends(token):
            self.finish("stop")
            return False
        self._count += 1
        self.tokens.append(token)
        if self._lookup is not None:
            self._lookup.extend((token,))
        self._text += self._out.push(self.model.piece(token))
        if self._out.stopped:
            self.finish("stop")
        elif self._count >= self.room:
            self.finish("length")
        return not self.done

    def say(self, *, due: bool) -> None:
        """Send the text there is: where it is the first, or ``due``."""
        if self._text and (due or not self._begun):
            self.send(self.number, Delta(self._text))
            self._text, self._begun = "", True

    def finish(self, reason: Reason) -> None:
        """End the answer and say so."""
        if reason != "cancelled":
            self._text += self._out.flush()
            self.say(due=True)
        self.close()
        now = time.perf_counter()
        read = self._read_at or now
        self.send(self.number, Finished(reason, self._count, read - self._admitted, now - read))

    def close(self) -> None:
        """Give back what the answer holds."""
        if not self.done:
            self.done = True
            self.chooser.close()
