"""How long a search takes: guessed before it begins, by the model's size and what the machine's memory and cores give.

The guess is a rough one, as it says: kernels of 8 bits are faster than the arithmetic in float32 that is measured, and
what a type loses takes as long as it has tokens to read. Once the first point was measured, the speeds are known better
(:func:`rungs`), and once the first type was judged, so is the rest of the judging.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from publicai_edge.tune.measure import Sample

_BYTES_A_WEIGHT = 0.65  # of the types that are likely to be fast: some five bits
_PROCESS_SECONDS = 1.5  # a process starts, and loads the model
_QUANTIZE_SECONDS = 3e-8  # for a weight
_SIXTEEN_BITS = 2.0  # times as long as the fast types, to read the same text
_JUDGING = 1.6  # times as long as reading alone: predictions of every token, and their divergences
_OFF = 1.5  # by which factor the guess may be wrong in either direction
_MINUTE = 60.0
_WORTH_TELLING = 1.0  # second; what was judged or measured in less was kept, or in the cache


@dataclass(frozen=True)
class Reading:
    """What is read to judge types; tokens of all languages together.

    Attributes:
        evaluation: by the original once, and by each type that is judged.
        calibration: by the original, for the importance matrix; 0 without one.
        sensitivity: by the original, for mixtures of types; 0 where none is offered.
        types: how many types may have to be judged, each KV cache counted.
    """

    evaluation: int = 0
    calibration: int = 0
    sensitivity: int = 0
    types: int = 0

    def seconds(self, read: float, judged: int) -> float:
        """Return how long it takes to judge so many types, where a fast type reads a token in ``read`` seconds."""
        once = _SIXTEEN_BITS * (self.evaluation + self.calibration + self.sensitivity)
        return read * (once + judged * _JUDGING * self.evaluation) + judged * _PROCESS_SECONDS


class Left:
    """What is left of a search, mended by what was measured of it.

    Args:
        rungs: seconds that each of the rungs will take, and the last comparison.
    """

    def __init__(self, rungs: Sequence[float]) -> None:
        self._rungs = list(rungs)
        self._first = True
        self._asked: list[float] = []

    def told(self) -> str:
        """Return a sentence to be added to another; "" where nothing is known."""
        return f" Left: about {minutes(sum(self._rungs))}." if self._rungs else ""

    def rung_ended(self, seconds: float) -> None:
        """Take note of how long the first of the rungs that are left took."""
        if not self._rungs:
            return
        guess = self._rungs.pop(0)
        if not self._first and guess > 0 and seconds > _WORTH_TELLING:  # the first one also makes the types
            self._rungs = [rung * seconds / guess for rung in self._rungs]
        self._first = False

    def judged(self, seconds: float, others: int) -> str | None:
        """Take note of how long it took to judge a model; return what that says of the rest, if anything.

        Args:
            seconds: that it took.
            others: that may have to be judged after it.
        """
        if seconds < _WORTH_TELLING:
            return None
        self._asked.append(seconds)
        most = others * fmean(self._asked)
        rest = f", and before that {minutes(most)} at most for what the other {others} lose" if others else ""
        return f"Left: about {minutes(sum(self._rungs))} for the speeds{rest}."


def guessed(weights: int, gigabytes: float, gigaflops: float) -> Sample:
    """Return the seconds of a token, read and written, that a machine's limits suggest for a model.

    Args:
        weights: how many it has.
        gigabytes: that the memory gives a second.
        gigaflops: operations on float32, in 10^9 a second.
    """
    return Sample(2 * weights / (gigaflops * 1e9), _BYTES_A_WEIGHT * weights / (gigabytes * 1e9))


def speeds(rungs: Sequence[float], blocks: int, types: int, weights: int) -> float:
    """Return the seconds of all rungs with what is around them: processes are started, and types are made."""
    return sum(rungs) + blocks * _PROCESS_SECONDS + types * weights * _QUANTIZE_SECONDS


def between(least: float, most: float) -> str:
    """Return a guess in words, as wide as it is unsure: "3 to 14 minutes"."""
    low, high = (max(1, round(seconds / _MINUTE)) for seconds in (least / _OFF, most * _OFF))
    return minutes(low * _MINUTE) if low == high else f"{low} to {high} minutes"


def minutes(seconds: float) -> str:
    """Return a time that is left, in words."""
    whole = max(1, round(seconds / _MINUTE))
    return "a minute" if whole == 1 else f"{whole} minutes"
