"""Prompt-lookup drafting: an answer that quotes a passage is read ahead from the passage.

The last three tokens are looked for in what came before; what followed them there is a guess at what follows now.
The model checks the guess in one evaluation, so the text is what it would have been anyway. Whether that is faster
depends on the processor and on the text, so :class:`Pace` measures both and drafts only where it pays.

Source: the idea is Apoorv Saxena's "prompt lookup decoding" (2023).
"""

import time
from collections.abc import Callable, Sequence

_GRAM = 3
LONGEST = 8
_LENGTHS = (8, 4, 2)
_FORGET_SECONDS = 10.0


class Lookup:
    """Where each run of three tokens was seen last, in one conversation."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}
        self.extend(tokens)

    def extend(self, tokens: Sequence[int]) -> None:
        """Add what follows."""
        known = self._tokens
        for token in tokens:
            # The run that ends here is entered when its successor comes: a run is never its own continuation.
            if len(known) >= _GRAM:
                self._after[tuple(known[-_GRAM:])] = len(known)
            known.append(token)

    def draft(self, most: int) -> list[int]:
        """Return up to ``most`` tokens that followed the last three when they were seen before."""
        if most <= 0 or len(self._tokens) < _GRAM:
            return []
        at = self._after.get(tuple(self._tokens[-_GRAM:]))
        return [] if at is None else self._tokens[at : at + most]


class Pace:
    """What evaluating some tokens at once costs here, measured as it goes, and so how far to draft."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[int, tuple[float, float]] = {}

    def saw(self, tokens: int, seconds: float) -> None:
        """Take the time of one evaluation of so many tokens."""
        before = self._known(tokens)
        self._seen[tokens] = (seconds if before is None else 0.8 * before + 0.2 * seconds, self._clock())

    def _known(self, tokens: int) -> float | None:
        """Return the seconds measured lately: an old figure may come from a busier time, and is tried anew."""
        seconds, at = self._seen.get(tokens, (0.0, float("-inf")))
        return seconds if self._clock() - at < _FORGET_SECONDS else None

    def _cost(self, tokens: int, one: float) -> float:
        """Return seconds for so many tokens; what was not tried is taken to cost a third of a step for each."""
        known = self._known(tokens)
        return known if known is not None else one * (1 + (tokens - 1) / 3)

    def length(self, accepted: float) -> int:
        """Return how many tokens to draft when each is right with the chance ``accepted``; 0 where it would lose."""
        one = self._known(1)
        if not one:
            return 0
        best, gain = 0, 1.05 / one  # a twentieth faster, or it is not worth the noise
        for length in _LENGTHS:
            expected = sum(accepted**i for i in range(length + 1))
            found = expected / self._cost(length + 1, one)
            if found > gain:
                best, gain = length, found
        return best


class Accepted:
    """How often an answer's guesses were right, as a chance; begins undecided and learns from each draft."""

    def __init__(self) -> None:
        self._right, self._tried = 1.5, 2.0

    def saw(self, right: int, tried: int) -> None:
        """Take the result of one draft: the first wrong guess ends it, so later ones say nothing."""
        self._right = 0.9 * self._right + right
        self._tried = 0.9 * self._tried + min(tried, right + 1)

    @property
    def chance(self) -> float:
        """The chance that the next guess is right."""
        return self._right / self._tried
