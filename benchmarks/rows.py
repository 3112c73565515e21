"""What every benchmark prints: one row a figure, as a table and as JSON, with the machine it was measured on."""

import json
import math
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from publicai_edge.bench import statistics as estimates

_TOLD = "no bound"


@dataclass(frozen=True)
class Row:
    """One figure: the median of ``runs``, held to a bound, beside a peer where there is one.

    ``ratio`` is ours over the peer's: of the medians, or of each pair of runs and then their middle, with the interval
    that holds it with 95 % confidence, where runs were paired. ``bound`` is on the ratio when there is a peer, else on
    the figure itself. A row that was not ``run``, since one side of it is not there, does not hold and does not fail.
    ``ours`` is None where there is no figure at all.
    """

    figure: str
    unit: str
    ours: float | None
    runs: tuple[float, ...]
    bound: str
    holds: bool
    peer: float | None = None
    peer_name: str | None = None
    peer_runs: tuple[float, ...] = ()
    ratio: float | None = None
    interval: tuple[float, float] | None = None
    run: bool = True


def at_most(figure: str, unit: str, runs: Sequence[float], bound: float) -> Row:
    """Return a row for a figure that must not exceed ``bound``."""
    middle = statistics.median(runs)
    return Row(figure, unit, middle, tuple(runs), f"<= {bound:g} {unit}", middle <= bound)


def at_least(figure: str, unit: str, runs: Sequence[float], bound: float) -> Row:
    """Return a row for a figure that must reach ``bound``."""
    row = at_most(figure, unit, runs, bound)
    middle = statistics.median(runs)
    return replace(row, bound=f">= {bound:g} {unit}".rstrip(), holds=middle >= bound)


def against(
    figure: str,
    unit: str,
    runs: Sequence[float],
    peer_name: str,
    peer_runs: Sequence[float],
    bound: float,
    *,
    paired: bool = False,
) -> Row:
    """Return a row for a figure whose ratio to a peer's must not exceed ``bound``.

    Args:
        figure: what was measured.
        unit: of the runs.
        runs: ours.
        peer_name: whose the others are.
        peer_runs: theirs.
        bound: the most that the ratio may be.
        paired: whether the runs of the same place in both were measured side by side.
    """
    ours, peer = statistics.median(runs), statistics.median(peer_runs)
    ratio, interval = ours / peer, None
    if paired:
        found = estimates.paired([own / other for own, other in zip(runs, peer_runs, strict=True)])
        ratio, interval = found.value, (found.low, found.high)
    return Row(
        figure,
        unit,
        ours,
        tuple(runs),
        f"<= {bound:g} times",
        ratio <= bound,
        peer,
        peer_name,
        tuple(peer_runs),
        ratio,
        interval,
    )


def beyond(
    figure: str,
    unit: str,
    runs: Sequence[float],
    peer_name: str,
    peer_runs: Sequence[float],
    bound: float,
    *,
    paired: bool = False,
) -> Row:
    """Return a row for a figure whose ratio to a peer's must be ``bound`` or more, as :func:`against` does."""
    row = against(figure, unit, runs, peer_name, peer_runs, bound, paired=paired)
    return replace(row, bound=f">= {bound:g} times", holds=row.ratio is not None and row.ratio >= bound)


def beside(
    figure: str,
    unit: str,
    runs: Sequence[float],
    peer_name: str | None,
    peer_runs: Sequence[float],
    *,
    paired: bool = False,
) -> Row:
    """Return a row for a figure that is told and held to nothing, with a peer's beside it where there is one."""
    if peer_name is None:
        return Row(figure, unit, statistics.median(runs), tuple(runs), _TOLD, holds=True)
    return replace(against(figure, unit, runs, peer_name, peer_runs, 1, paired=paired), bound=_TOLD, holds=True)


def joined(row: Row, told: Row) -> Row:
    """Return ``row`` with its own bound, and the peer that ``told`` has beside it."""
    return replace(row, peer=told.peer, peer_name=told.peer_name, peer_runs=told.peer_runs, ratio=told.ratio)


def missing(figure: str, what: str, unit: str = "", runs: Sequence[float] = ()) -> Row:
    """Return the row that says that a side could not be run, with our own figure if there is one."""
    middle = statistics.median(runs) if runs else None
    return Row(figure, unit, middle, tuple(runs), f"missing: {what}", holds=False, run=False)


def environment() -> dict[str, Any]:
    """Return what a comparison needs to know of this machine."""
    from importlib.metadata import version

    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "llama-cpp-python": version("llama-cpp-python"),
        "publicai-edge": version("publicai-edge"),
        "load_at_end": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def _short(value: float) -> str:
    """Return a number with three figures, and never as a power of ten."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _finite(value: Any) -> Any:
    """Return plain data as JSON can hold it: what is not finite, such as the end of an open interval, is null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def report(rows: Sequence[Row], target: Path | None) -> int:
    """Print the table, write the JSON; return 1 when a bound that was measured does not hold, else 0."""
    width = max(len(row.figure) for row in rows)
    print(f"{'figure':<{width}}  {'median':>10}  {'min .. max':>19}  {'peer':>10}  {'ratio':>6}  bound")
    for row in rows:
        spread = f"{_short(min(row.runs))} .. {_short(max(row.runs))}" if row.runs else ""
        ours = _short(row.ours) if row.ours is not None else ""
        peer = _short(row.peer) if row.peer is not None else ""
        ratio = f"{row.ratio:.3f}" if row.ratio is not None else ""
        sure = f"  [{row.interval[0]:.3f}, {row.interval[1]:.3f}]" if row.interval else ""
        verdict = "" if row.holds or not row.run else "   DOES NOT HOLD"
        name = f"  ({row.peer_name})" if row.peer_name else ""
        print(
            f"{row.figure:<{width}}  {ours:>7} {row.unit:<2}  {spread:>19}  {peer:>10}  {ratio:>6}  "
            f"{row.bound}{name}{sure}{verdict}"
        )
    if target:
        value = {"environment": environment(), "rows": [asdict(row) for row in rows]}
        target.write_text(json.dumps(_finite(value), indent=1, allow_nan=False) + "\n")
    sys.stdout.flush()
    return 0 if all(row.holds or not row.run for row in rows) else 1
