"""What every benchmark prints: one row a figure, as a table and as JSON, with the machine it was measured on."""

import json
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

_TOLD = "no bound"


@dataclass(frozen=True)
class Row:
    """One figure: the median of ``runs``, held to a bound, beside a peer where there is one.

    ``ratio`` is ours over the peer's; ``bound`` is on the ratio when there is a peer, else on the figure itself.
    """

    figure: str
    unit: str
    ours: float
    runs: tuple[float, ...]
    bound: str
    holds: bool
    peer: float | None = None
    peer_name: str | None = None
    peer_runs: tuple[float, ...] = ()
    ratio: float | None = None


def at_most(figure: str, unit: str, runs: Sequence[float], bound: float) -> Row:
    """Return a row for a figure that must not exceed ``bound``."""
    middle = statistics.median(runs)
    return Row(figure, unit, middle, tuple(runs), f"<= {bound:g} {unit}", middle <= bound)


def against(
    figure: str, unit: str, runs: Sequence[float], peer_name: str, peer_runs: Sequence[float], bound: float
) -> Row:
    """Return a row for a figure whose ratio to a peer's must not exceed ``bound``; runs are paired by order."""
    ours, peer = statistics.median(runs), statistics.median(peer_runs)
    ratio = ours / peer
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
    )


def beyond(
    figure: str, unit: str, runs: Sequence[float], peer_name: str, peer_runs: Sequence[float], bound: float
) -> Row:
    """Return a row for a figure whose ratio to a peer's must be ``bound`` or more; runs are paired by order."""
    row = against(figure, unit, runs, peer_name, peer_runs, bound)
    ratio = row.ours / (row.peer or float("nan"))
    return replace(row, bound=f">= {bound:g} times", holds=ratio >= bound)


def beside(figure: str, unit: str, runs: Sequence[float], peer_name: str | None, peer_runs: Sequence[float]) -> Row:
    """Return a row for a figure that is told and held to nothing, with a peer's beside it where there is one."""
    if peer_name is None:
        return Row(figure, unit, statistics.median(runs), tuple(runs), _TOLD, holds=True)
    return replace(against(figure, unit, runs, peer_name, peer_runs, 1), bound=_TOLD, holds=True)


def missing(figure: str, what: str, unit: str = "", runs: Sequence[float] = ()) -> Row:
    """Return the row that says that a side could not be run, with our own figure if there is one; it never holds."""
    middle = statistics.median(runs) if runs else float("nan")
    return Row(figure, unit, middle, tuple(runs), f"not run: {what}", holds=False)


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


def report(rows: Sequence[Row], target: Path | None) -> int:
    """Print the table, write the JSON; return 1 when a bound does not hold, else 0."""
    width = max(len(row.figure) for row in rows)
    print(f"{'figure':<{width}}  {'median':>10}  {'min .. max':>19}  {'peer':>10}  {'ratio':>6}  bound")
    for row in rows:
        spread = f"{_short(min(row.runs))} .. {_short(max(row.runs))}" if row.runs else ""
        peer = _short(row.peer) if row.peer is not None else ""
        ratio = f"{row.ratio:.2f}" if row.ratio is not None else ""
        verdict = "" if row.holds else "   DOES NOT HOLD"
        name = f"  ({row.peer_name})" if row.peer_name else ""
        print(
            f"{row.figure:<{width}}  {_short(row.ours):>7} {row.unit:<2}  {spread:>19}  {peer:>10}  {ratio:>6}  "
            f"{row.bound}{name}{verdict}"
        )
    if target:
        value = {"environment": environment(), "rows": [asdict(row) for row in rows]}
        target.write_text(json.dumps(value, indent=1) + "\n")
    sys.stdout.flush()
    return 0 if all(row.holds for row in rows) else 1
