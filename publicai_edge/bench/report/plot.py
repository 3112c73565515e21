"""Where everything lies in the plots of a benchmark; the page draws it.

Panels have one line a figure, a mark a run, and the 95 % interval as a bar through it; their scale begins at zero.
The roofline has logarithmic scales both ways. In all of them, positions across are percentages of the plot's width and
those down are pixels: a phone and a sheet of paper get plots of their width, and text of its own size in them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from publicai_edge.bench.report.numbers import meaning, number, shown, spread
from publicai_edge.bench.result import Figure, Run
from publicai_edge.bench.roofline import work_at

SHAPES = ("circle", "square", "diamond", "up", "down", "cross", "plus", "hourglass")
_MARGIN = 1.06
_LANE, _PADDING, _LEAST = 16, 9, 40
_STEPS = (1, 2, 2.5, 5)
_MOST_TICKS = 6
# Titles and sentences of the panels, and the figures that belong in each.
_PANELS = (
    ("Writing", "Tokens a second for one, behind so many tokens of conversation. More is better.", ("decode",)),
    ("Reading", "Tokens a second of a prompt. More is better.", ("prefill",)),
    ("Patrons", "Tokens a second of all together, prompts included. More is better.", ("patrons",)),
    ("Waiting", "Seconds. Less is better.", ("first_token_cold", "first_token_warm", "load", "start")),
    ("Search", "Seconds from a question to its passages. Less is better.", ("search",)),
    ("Indexing", "Texts a second, each of a passage's length. More is better.", ("embed",)),
    ("Memory", "The most that was held. Less is better.", ("memory", "gpu_memory")),
    ("Energy", "Joules for a written token. Less is better.", ("energy",)),
)
WRITING = "decode@0"
HEIGHT = 300  # of the roofline and the trade-off, in pixels
WRITTEN, READ = "circle", "square"
_LABEL = 16
_MIDDLE, _ABOVE, _BELOW = 5, 12, 23  # from a mark's middle to the line its label stands on
_LEAST_RADIUS, _MORE_RADIUS = 4, 14


@dataclass(frozen=True)
class Mark:
    """One run's figure: a shape at ``x`` with a bar from ``low`` to ``high``, ``y`` pixels off the line's middle."""

    shape: str
    x: float
    low: float
    high: float
    y: float


@dataclass(frozen=True)
class Line:
    """One figure: its name, what it is, the value of each run in words, and the marks."""

    name: str
    meaning: str
    values: tuple[str, ...]
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Tick:
    """A number on a scale, at ``x`` percent."""

    x: float
    text: str


@dataclass(frozen=True)
class Panel:
    """Figures of one unit; ``height`` is a line's, in pixels."""

    title: str
    sentence: str
    lines: tuple[Line, ...]
    ticks: tuple[Tick, ...]
    height: int


@dataclass(frozen=True)
class Point:
    """A figure in the roofline with its label, the tokens before it or of its prompt, at a place of its own."""

    x: float
    y: float
    shape: str
    label: str
    label_x: float
    label_y: float

    @property
    def behind(self) -> bool:
        """Whether the label stands behind the mark, and not above or below it."""
        return self.shape == WRITTEN


@dataclass(frozen=True)
class Roofline:
    """The two lines of the roof, each from one ``(x, y)`` to another; points, scales, and the limits in words."""

    roof: tuple[tuple[tuple[float, float], tuple[float, float]], ...]
    points: tuple[Point, ...]
    across: tuple[Tick, ...]
    up: tuple[tuple[float, str], ...]
    memory: str
    arithmetic: str


@dataclass(frozen=True)
class Trade:
    """One run in the plot of loss against speed; the radius of its circle in pixels."""

    x: float
    y: float
    radius: float
    label: str


@dataclass(frozen=True)
class Trades:
    """The plot of loss against speed: its circles and its scales."""

    marks: tuple[Trade, ...]
    across: tuple[Tick, ...]
    up: tuple[tuple[float, str], ...]


def panels(runs: Sequence[Run]) -> list[Panel]:
    """Return the panels that these runs have figures for."""
    names = list(dict.fromkeys(figure.name for run in runs for figure in run.figures))
    found = []
    for title, sentence, kinds in _PANELS:
        chosen = [name for kind in kinds for name in names if name.partition("@")[0] == kind]
        if chosen:
            found.append(_panel(title, sentence, chosen, runs))
    return found


def _panel(title: str, sentence: str, names: Sequence[str], runs: Sequence[Run]) -> Panel:
    there = [figure for name in names for run in runs if (figure := run.figure(name))]
    highs = [high for figure in there for high in (figure.median.value, figure.median.high) if math.isfinite(high)]
    top = _MARGIN * max(highs)
    height = max(_LEAST, _LANE * len(runs) + 2 * _PADDING)
    lines = tuple(_line(name, runs, top) for name in names)
    return Panel(title, sentence, lines, _ticks(top, there[0].unit), height)


def _line(name: str, runs: Sequence[Run], top: float) -> Line:
    marks, values = [], []
    for index, run in enumerate(runs):
        figure = run.figure(name)
        values.append(f"{shown(figure.median.value, figure.unit)} {spread(figure)}" if figure else "not measured")
        if figure:
            marks.append(_mark(figure, index, len(runs), top))
    return Line(name, meaning(name), tuple(values), tuple(marks))


def _mark(figure: Figure, index: int, count: int, top: float) -> Mark:
    median = figure.median
    high = median.high if math.isfinite(median.high) else max(figure.samples)
    low = median.low or min(figure.samples)
    x, low, high = (round(100 * min(value, top) / top, 2) for value in (median.value, low, high))
    return Mark(SHAPES[index % len(SHAPES)], x, low, high, _LANE * (index + 0.5 - count / 2))


def _ticks(top: float, unit: str) -> tuple[Tick, ...]:
    scale = 1.0
    if unit == "bytes":
        scale = float(1 << 20) if top < 4 << 30 else float(1 << 30)
    step = _step(top / scale) * scale
    count = int(top / step)
    return tuple(Tick(round(100 * i * step / top, 2), _tick(i * step, unit, scale)) for i in range(count + 1))


def _tick(value: float, unit: str, scale: float) -> str:
    if unit == "bytes":
        return f"{value / scale:,.10g} {'MiB' if scale < 1 << 30 else 'GiB'}" if value else "0"
    return f"{value:,.10g}"


def _step(top: float) -> float:
    """Return a round step that makes at most some numbers up to ``top``."""
    power = 10.0 ** math.floor(math.log10(top / _MOST_TICKS))
    return next((step * power for step in (*_STEPS, 10) if top / (step * power) <= _MOST_TICKS), 10 * power)


def roofline(run: Run) -> Roofline | None:
    """Return the roofline of one run; None where its machine or its model was not measured for one."""
    bandwidth, peak = run.figure("bandwidth"), run.figure("peak")
    if not (bandwidth and peak and run.work.bytes_per_token and run.work.operations_per_token):
        return None
    read, done = bandwidth.median.value, peak.median.value
    points = []
    for figure in run.figures:
        cost = work_at(run.work, figure.name)
        if cost:
            points.append((cost[1] / cost[0], figure.median.value * cost[1] / 1e9, figure.name))
    ridge = done / read
    xs = [ridge, *(point[0] for point in points)]
    ys = [done, *(point[1] for point in points)]
    left, right = math.log10(min(xs) / 2), math.log10(max(xs) * 3)
    low, high = math.log10(min(ys) / 3), math.log10(max(ys) * 2)

    def at(intensity: float, speed: float) -> tuple[float, float]:
        x = (math.log10(intensity) - left) / (right - left) * 100
        y = HEIGHT * (1 - (math.log10(speed) - low) / (high - low))
        return round(x, 2), round(y, 1)

    start = max(10**left, 10**low / read)
    ends = [at(start, start * read), at(ridge, done), at(10**right, done)]
    return Roofline(
        roof=tuple(pairwise(ends)),
        points=_labelled([(*at(x, y), name) for x, y, name in points]),
        across=tuple(Tick(at(10**p, done)[0], f"{10.0**p:,g}") for p in range(math.ceil(left), math.floor(right) + 1)),
        up=tuple((at(ridge, 10**p)[1], f"{10.0**p:,g}") for p in range(math.ceil(low), math.floor(high) + 1)),
        memory=f"{number(read)} GB/s",
        arithmetic=f"{number(done)} GFLOP/s",
    )


def _labelled(points: Sequence[tuple[float, float, str]]) -> tuple[Point, ...]:
    """Return the points with places for their labels.

    What is written lies in one heap, with a column of labels behind it; what is read lies in a row, whose labels stand
    above and below in turn.
    """
    written, read = (
        sorted(point for point in points if point[2].startswith("decode") == wanted) for wanted in (True, False)
    )
    found, last = [], -math.inf
    right = max((x for x, _, _ in written), default=0.0)
    for x, y, name in sorted(written, key=lambda point: point[1]):
        last = max(y + _MIDDLE, last + _LABEL)
        found.append(Point(x, y, WRITTEN, _at(name), right, round(last, 1)))
    found += [
        Point(x, y, READ, _at(name), x, round(y + (_BELOW if number % 2 else -_ABOVE), 1))
        for number, (x, y, name) in enumerate(read)
    ]
    return tuple(found)


def _at(name: str) -> str:
    return f"{int(name.partition('@')[2]):,}"


def trades(runs: Sequence[Run], losses: dict[str, float]) -> list[tuple[Run, float]]:
    """Return the runs whose type's loss is known, smallest loss first."""
    known = [(run, losses[run.subject.type]) for run in runs if run.subject.type in losses]
    return sorted(known, key=lambda item: item[1])


def trade_plot(known: Sequence[tuple[Run, float]]) -> Trades | None:
    """Return circles: to the right what writes faster, further down what loses less, larger what takes more room.

    None where there are fewer than two, or the speed of one was not measured.
    """
    speeds = [figure.median.value for run, _ in known if (figure := run.figure(WRITING))]
    if not 1 < len(speeds) == len(known):
        return None
    top_speed = _MARGIN * max(speeds)
    top_loss = _MARGIN * max(loss for _, loss in known) or 1.0
    most = max(run.subject.size for run, _ in known)
    marks = [
        Trade(
            x=round(100 * speed / top_speed, 2),
            y=round(HEIGHT * (1 - loss / top_loss), 1),
            radius=round(_LEAST_RADIUS + _MORE_RADIUS * math.sqrt(run.subject.size / most), 1),
            label=run.subject.type,
        )
        for (run, loss), speed in zip(known, speeds, strict=True)
    ]
    up = [(round(HEIGHT * (1 - tick.x / 100), 1), tick.text) for tick in _ticks(top_loss, "")]
    return Trades(tuple(marks), _ticks(top_speed, ""), tuple(up))
