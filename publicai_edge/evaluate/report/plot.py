"""Where everything lies in the plot of losses; the page draws it.

The scale starts at zero and grows with the square root of the loss, so that 0.002 and 0.5 can both be read: twice as
far to the right is four times the loss. Positions are percentages of the plot's width, so that the plot fits a phone
and a sheet of paper alike; heights are CSS pixels. Every position is from 0 to 100.
"""

import math
from dataclasses import dataclass

from publicai_edge.evaluate.result import Candidate, Interval, Quality

SHAPES = ("circle", "square", "diamond", "up", "down", "cross", "plus", "hourglass")

_MARGIN = 1.04  # room to the right of the greatest value
_SPACING = 14.0  # between two ticks, in percent: their numbers must not touch on a phone
_SERIES = tuple(digit * 10.0**power for power in range(-5, 4) for digit in (1, 2, 5))
_LANES = ((1, 20), (3, 16), (5, 13))  # up to this many types: this many pixels each
_LANE, _PADDING, _LEAST = 11, 9, 52


@dataclass(frozen=True)
class Mark:
    """One type in one language: a dot at ``x`` with a bar from ``low`` to ``high``, on the line ``y``."""

    name: str
    shape: str
    strong: bool
    over: bool
    x: float
    low: float
    high: float
    y: float


@dataclass(frozen=True)
class Row:
    """One language: its marks in the order of the candidates, and its bound."""

    language: str
    marks: tuple[Mark, ...]
    bound: float | None


@dataclass(frozen=True)
class Tick:
    """A number on the scale."""

    x: float
    text: str


@dataclass(frozen=True)
class Plot:
    """The whole plot.

    Attributes:
        top: the loss at the right edge, nats per token.
        height: of a row, pixels.
        rows: worst language first.
        ticks: from left to right.
        bound: position of the one bound of all rows; None where they differ or there is none.
    """

    top: float
    height: int
    rows: tuple[Row, ...]
    ticks: tuple[Tick, ...]
    bound: float | None


def order(quality: Quality, focus: Candidate) -> tuple[str, ...]:
    """Return the languages, the one that loses most in ``focus`` first; those it lacks last."""
    ranked = sorted(focus.measured.languages, key=lambda item: (-_rank(item.mean_kl.value), item.language))
    rest = [item.language for candidate in quality.candidates for item in candidate.measured.languages]
    return tuple(dict.fromkeys([item.language for item in ranked] + rest))


def plot(quality: Quality, focus: Candidate) -> Plot:
    """Return the plot of all candidates, with ``focus`` as the strong one."""
    languages = order(quality, focus)
    bounds = [quality.bounds.of(language) for language in languages]
    losses = [item.mean_kl for candidate in quality.candidates for item in candidate.measured.languages]
    values = [value for loss in losses for value in (loss.value, loss.high)] + [bound for bound in bounds if bound]
    top = _MARGIN * max((value for value in values if math.isfinite(value)), default=0.0) or 1.0
    lane = next((size for most, size in _LANES if len(quality.candidates) <= most), _LANE)
    rows = tuple(
        _row(quality, focus, language, top, lane, bound) for language, bound in zip(languages, bounds, strict=True)
    )
    common = rows[0].bound if len(set(bounds)) == 1 else None
    height = max(_LEAST, lane * len(quality.candidates) + 2 * _PADDING)
    return Plot(top, height, rows, _ticks(top), common)


def position(value: float, top: float) -> float:
    """Return where a loss lies, in percent of the width; what is no finite number lies at the edge it leans to."""
    if math.isnan(value) or value <= 0:
        return 0.0
    return round(100 * math.sqrt(min(value, top) / top), 2)


def shape(index: int) -> str:
    """Return the shape of the candidate at ``index``; shapes repeat after the last, lanes do not."""
    return SHAPES[index % len(SHAPES)]


def _row(quality: Quality, focus: Candidate, language: str, top: float, lane: int, bound: float | None) -> Row:
    marks = []
    for index, candidate in enumerate(quality.candidates):
        for item in candidate.measured.languages:
            if item.language == language:
                y = lane * (index + 0.5 - len(quality.candidates) / 2)
                marks.append(_mark(candidate, item.mean_kl, shape(index), top, y, bound, strong=candidate is focus))
    return Row(language, tuple(marks), None if bound is None else position(bound, top))


def _mark(
    candidate: Candidate, loss: Interval, shape_: str, top: float, y: float, bound: float | None, *, strong: bool
) -> Mark:
    low, x, high = (position(value, top) for value in (loss.low, loss.value, loss.high))
    over = bound is not None and loss.high > bound
    return Mark(candidate.measured.name, shape_, strong, over, x, low, high, y)


def _ticks(top: float) -> tuple[Tick, ...]:
    chosen: list[float] = []
    for value in reversed(_SERIES):
        x = position(value, top)
        if value < top and x > _SPACING and all(position(other, top) - x > _SPACING for other in chosen):
            chosen.append(value)
    return tuple(
        Tick(position(value, top), f"{value:.5f}".rstrip("0").rstrip(".")) for value in [0.0, *reversed(chosen)]
    )


def _rank(value: float) -> float:
    return value if math.isfinite(value) else math.inf
