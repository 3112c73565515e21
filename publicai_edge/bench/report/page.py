"""Benchmarks as one HTML page, with their plots; see :mod:`publicai_edge.pages` for what every report holds to."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from publicai_edge import pages
from publicai_edge.bench.report import plot
from publicai_edge.bench.report.numbers import meaning, number, planned_rows, shown, spread
from publicai_edge.bench.result import Run
from publicai_edge.bench.roofline import shares

_HERE = Path(__file__).parent
_GENERATOR = "publicai-edge benchmark report"
_MACHINE = {
    "cpu": "processor",
    "physical_cores": "cores",
    "memory_gib": "memory, GiB",
    "system": "system",
    "governor": "governor",
    "boost": "boost",
    "cpu_quota": "processors allowed",
    "features": "features",
}


def render_html(runs: Sequence[Run], losses: Mapping[str, float] | None = None) -> bytes:
    """Return the page in UTF-8.

    Args:
        runs: at least one.
        losses: mean loss of each type, nats per token, from a quality report.
    """
    return pages.environment(_HERE).get_template("page.html").render(_context(runs, dict(losses or {}))).encode()


def _context(runs: Sequence[Run], losses: dict[str, float]) -> dict[str, Any]:
    known = plot.trades(runs, losses)
    names = list(dict.fromkeys(figure.name for run in runs for figure in run.figures))
    return {
        "generator": _GENERATOR,
        "runs": runs,
        "shapes": plot.SHAPES,
        "panels": plot.panels(runs),
        "rooflines": [(run, drawn) for run in runs if (drawn := plot.roofline(run))],
        "shares": {index: shares(run) for index, run in enumerate(runs)},
        "trades": plot.trade_plot(known),
        "known": known,
        "names": names,
        "meaning": meaning,
        "planned": {index: rows for index, run in enumerate(runs) if (rows := planned_rows(run))},
        "number": number,
        "shown": shown,
        "spread": spread,
        "machine": _MACHINE,
        "height": plot.HEIGHT,
        "labels": _labels(runs),
    }


def _labels(runs: Sequence[Run]) -> list[str]:
    """Return what tells the runs apart: their names, with the number of the run where two have the same."""
    names = [run.subject.name for run in runs]
    return [name if names.count(name) == 1 else f"{name} ({index + 1})" for index, name in enumerate(names)]
