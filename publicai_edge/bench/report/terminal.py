"""A benchmark and a comparison as plain text, no line wider than asked for where that can be helped."""

import textwrap
from collections.abc import Sequence

from publicai_edge import columns
from publicai_edge.bench.compare import Comparison
from publicai_edge.bench.report.numbers import meaning, planned_rows, shown, spread, verdict_rows
from publicai_edge.bench.result import Run
from publicai_edge.bench.roofline import shares

_LEAST_WIDTH = 60


def render(run: Run, width: int = 100) -> str:
    """Return a benchmark as text that ends with a newline."""
    width = max(width, _LEAST_WIDTH)
    rounds = max((len(figure.samples) for figure in run.figures), default=0)
    machine, subject = run.machine, run.subject
    head = [subject.name, subject.format, subject.type, shown(subject.size, "bytes")]
    lines = [", ".join(part for part in head if part)]
    lines.append(f"{machine.get('cpu', 'unknown processor')}, {run.settings['threads']} threads; {rounds} rounds")
    lines.append("")
    rows = [("figure", "median", "95 %", "")]
    rows += [
        (figure.name, shown(figure.median.value, figure.unit), spread(figure), meaning(figure.name))
        for figure in run.figures
    ]
    lines += columns.lines(rows, right={1, 2})
    if run.planned and (planned := planned_rows(run)):
        lines += ["", f"Planned with {run.planned.device}:"]
        lines += columns.lines([("figure", "planned", "measured", ""), *planned], right={1, 2})
    if found := shares(run):
        lines.append("")
        lines += [f"{share}." for share in found if share.figure in _told(run)]
    for note in run.notes:
        lines += textwrap.wrap(note, width, initial_indent="- ", subsequent_indent="  ")
    return "\n".join(lines) + "\n"


def _told(run: Run) -> set[str]:
    """Return the figures whose share is worth a sentence: writing, and reading the longest prompt."""
    lengths = [figure.name for figure in run.figures if figure.name.startswith("prefill@")]
    return {"decode@0", *lengths[-1:]}


def render_comparison(comparison: Comparison) -> str:
    """Return a comparison as text that ends with a newline."""
    rows: list[Sequence[str]] = [("figure", "before", "after", "change", "verdict"), *verdict_rows(comparison)]
    lines = [f"{comparison.before} → {comparison.after}", "", *columns.lines(rows, right={1, 2, 3})]
    for name, (before, after) in comparison.changed.items():
        lines.append(f"{name}: {before} → {after}")
    if comparison.missing:
        lines.append(f"In one of the two only: {', '.join(comparison.missing)}.")
    return "\n".join(lines) + "\n"
