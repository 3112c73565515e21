"""Numbers as people read them: few digits, with their unit, and never more exact than they are known."""

import math

from publicai_edge.bench.compare import Comparison
from publicai_edge.bench.result import Figure, Run
from publicai_edge.bench.statistics import Estimate

_SCALES = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_NAMES = {
    "prefill": "reading a prompt of {at} tokens",
    "decode": "writing behind {at} tokens",
    "patrons": "{at} patrons at once, all together",
    "load": "loading the model",
    "start": "from nothing until the model answers",
    "first_token_cold": "first word of the first answer",
    "first_token_warm": "first word of the next patron's",
    "memory": "most memory held",
    "gpu_memory": "memory of the graphics processor",
    "energy": "energy of a written token",
    "embed": "passages read for the search",
    "search": "passages found for a question",
    "bandwidth": "the memory's bandwidth",
    "peak": "the processor's arithmetic, float32",
}


def number(value: float) -> str:
    """Return three digits that count, and all of those before the point."""
    if not math.isfinite(value):
        return "?"
    if value == 0:
        return "0"
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{places}f}"


def shown(value: float, unit: str) -> str:
    """Return a value with its unit."""
    if unit == "bytes":
        for scale, name in _SCALES:
            if value >= scale:
                return f"{number(value / scale)} {name}"
    if unit == "s" and 0 < value < 1:
        return f"{number(1000 * value)} ms"
    return f"{number(value)} {unit}"


def meaning(name: str) -> str:
    """Return what a figure is, in words."""
    what, _, at = name.partition("@")
    if what == "decode" and at == "0":
        return "writing, nothing before it"
    if what == "patrons" and at == "1":
        return "one patron, prompt included"
    return _NAMES.get(what, name).format(at=at)


def spread(figure: Figure) -> str:
    """Return how far the median may be off, as a share; "?" with too few samples."""
    reach = figure.median.spread
    return f"±{100 * reach:.1f} %" if math.isfinite(reach) else "?"


def planned_rows(run: Run) -> list[tuple[str, str, str, str]]:
    """Return, for each figure that was planned, its name, the range, what was measured, and whether it lies in it."""
    if run.planned is None:
        return []
    found = []
    for name, (low, _, high) in run.planned.ranges.items():
        if (figure := run.figure(name)) is None:
            continue
        value = figure.median.value
        word = "as planned"
        if value < low:
            word = f"{1 - value / low:.0%} below the range"
        elif value > high:
            word = f"{value / high - 1:.0%} above the range"
        found.append((name, f"{number(low)} to {number(high)}", shown(value, figure.unit), word))
    return found


def change(ratio: Estimate) -> str:
    """Return a ratio as a change with its interval: "-9.8 % (-11.2 … -8.1)"."""
    if not math.isfinite(ratio.high):
        return f"{_percent(ratio.value)} (?)"
    return f"{_percent(ratio.value)} ({_bare(ratio.low)} … {_bare(ratio.high)})"


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f} %"


def _bare(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f}"


def verdict_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """Return the verdicts as rows of text: figure, before, after, change with its interval, verdict."""
    return [
        (
            verdict.figure,
            shown(verdict.before, verdict.unit),
            shown(verdict.after, verdict.unit),
            change(verdict.ratio),
            f"{verdict.word}: {verdict.why}" if verdict.why else verdict.word,
        )
        for verdict in comparison.verdicts
    ]
