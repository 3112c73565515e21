"""One sequence of a context that is filled with random tokens, to see how fast it reads and writes.

As in ``llama-bench``, tokens are random and nothing is sampled; a prompt is read in as large evaluations as the engine
makes.
"""

import random
import time
from collections.abc import Sequence
from typing import Any

from publicai_edge.engine.threads import Threads

_SEED = 4711
WARM_UP = 32
"""Tokens that are read before anything is measured."""


class Lane:
    """The sequence, and the tokens.

    Args:
        context: an engine's context.
        threads: how many threads to use, asked before each evaluation; None leaves the context's.
    """

    def __init__(self, context: Any, threads: Threads | None = None) -> None:
        self._context = context
        self._threads = threads
        self._at = 0
        numbers = random.Random(_SEED)  # noqa: S311 - not for secrets
        self._tokens = [numbers.randrange(context.model.n_vocab) for _ in range(context.n_batch)]

    @property
    def position(self) -> int:
        """How many tokens are there."""
        return self._at

    def clear(self) -> None:
        """Forget what was read and written."""
        self._context.clear(0)
        self._at = 0

    def read(self, count: int) -> float:
        """Read a prompt of so many tokens; return tokens a second."""
        started = time.perf_counter()
        left = count
        while left:
            piece = self._tokens[: min(left, self._context.n_batch)]
            left -= len(piece)
            self.evaluate(piece, logits=left == 0)
        return count / (time.perf_counter() - started)

    def write(self, count: int) -> float:
        """Evaluate tokens one by one, and forget them; return tokens a second."""
        begun = self._at
        started = time.perf_counter()
        for index in range(count):
            self.evaluate([self._tokens[index % len(self._tokens)]], logits=True)
        seconds = time.perf_counter() - started
        self._context.forget(0, begun)
        self._at = begun
        return count / seconds

    def evaluate(self, tokens: Sequence[int], *, logits: bool) -> None:
        """Evaluate tokens behind those that are there."""
        if self._threads:
            self._context.use_threads(self._threads.look())
        self._context.decode(tokens, sequence=0, position=self._at, logits=logits)
        if logits:
            self._context.logits(len(tokens) - 1)  # waits until they are there
        self._at += len(tokens)
