"""Where everything lies in the plots of a benchmark; the page draws it.

Panels have one line a figure, a mark a run, and the 95 % interval as a bar through it; their scale begins at zero.
Positions are percentages of a plot's width, so that it fits a phone and a sheet of paper alike. The roofline has
logarithmic scales both ways and lies in a drawing of fixed shape.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
WIDTH, HEIGHT = 640, 360
_LABEL = 14
_LEFT, _BOTTOM, _TOP, _RIGHT = 62, 44, 16, 20


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
    """A figure in the roofline, in pixels, with its label."""

    x: float
    y: float
    shape: str
    label: str
    label_y: float


@dataclass(frozen=True)
class Roofline:
    """The roof as a path, the points under it, and the numbers beside it, in pixels."""

    roof: str
    points: tuple[Point, ...]
    across: tuple[tuple[float, str], ...]
    up: tuple[tuple[float, str], ...]
    ridge: tuple[float, float]
    slope: str
    flat: str


@dataclass(frozen=True)
class Trade:
    """One run in the plot of loss against speed: ``size`` is the radius of its circle; in pixels."""

    x: float
    y: float
    radius: float
    label: str


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
        x = _LEFT + (math.log10(intensity) - left) / (right - left) * (WIDTH - _LEFT - _RIGHT)
        y = HEIGHT - _BOTTOM - (math.log10(speed) - low) / (high - low) * (HEIGHT - _BOTTOM - _TOP)
        return round(x, 1), round(y, 1)

    start = max(10**left, 10**low / read)
    roof = [at(start, start * read), at(ridge, done), at(10**right, done)]
    return Roofline(
        roof=" ".join(f"{'M' if i == 0 else 'L'}{x} {y}" for i, (x, y) in enumerate(roof)),
        points=_labelled([(*at(x, y), name) for x, y, name in points]),
        across=tuple((at(10**p, done)[0], f"{10.0**p:,g}") for p in range(math.ceil(left), math.floor(right) + 1)),
        up=tuple((at(ridge, 10**p)[1], f"{10.0**p:,g}") for p in range(math.ceil(low), math.floor(high) + 1)),
        ridge=at(ridge, done),
        slope=f"memory: {number(read)} GB/s",
        flat=f"arithmetic: {number(done)} GFLOP/s",
    )


def _labelled(points: Sequence[tuple[float, float, str]]) -> tuple[Point, ...]:
    """Return the points with places for their labels, one below the other where points lie close together."""
    found, last = [], {"circle": -math.inf, "square": -math.inf}
    for x, y, name in sorted(points, key=lambda point: point[1]):
        shape = "circle" if name.startswith("decode") else "square"
        last[shape] = max(y + 4, last[shape] + _LABEL)
        found.append(Point(x, y, shape, name, round(last[shape], 1)))
    return tuple(found)


def trades(runs: Sequence[Run], losses: dict[str, float]) -> list[tuple[Run, float]]:
    """Return the runs whose type's loss is known, smallest loss first."""
    known = [(run, losses[run.subject.type]) for run in runs if run.subject.type in losses]
    return sorted(known, key=lambda item: item[1])


def trade_plot(known: Sequence[tuple[Run, float]]) -> list[Trade]:
    """Return circles: to the right what writes faster, further down what loses less, larger what takes more room."""
    speeds = [figure.median.value for run, _ in known if (figure := run.figure(WRITING))]
    if not 1 < len(speeds) == len(known):
        return []
    top_speed = _MARGIN * max(speeds)
    top_loss = _MARGIN * max(loss for _, loss in known) or 1.0
    most = max(run.subject.size for run, _ in known)
    return [
        Trade(
            x=round(_LEFT + speed / top_speed * (WIDTH - _LEFT - _RIGHT), 1),
            y=round(_TOP + (1 - loss / top_loss) * (HEIGHT - _BOTTOM - _TOP), 1),
            radius=round(4 + 14 * math.sqrt(run.subject.size / most), 1),
            label=run.subject.type,
        )
        for (run, loss), speed in zip(known, speeds, strict=True)
    ]
