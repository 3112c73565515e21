"""A trial as a file: Markdown, a page, or JSON, by the name's ending.

Invariants: what a model wrote is escaped in each; the same trial gives the same bytes.
"""

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

from publicai_edge import atomic, pages
from publicai_edge.errors import RecipeError
from publicai_edge.kiosk.trial.result import Line, Score, Trial, scores

_HERE = Path(__file__).parent
UNKNOWN = "-"
COLUMNS = ("right", "passages", "facts", "nothing found", "with sources", "to passages", "first word", "whole")
"""Of a score: questions that were right; of those that ask for it, passages that were shown, facts that were said, and
"nothing found" that was rightly said; answers that name a passage; seconds."""


def check(places: tuple[Path, ...]) -> None:
    """Refuse a place for a report before anything is asked.

    Raises:
        RecipeError: its ending is not known, or it is a folder.
        HostError: it cannot be written to.
    """
    for place in places:
        if place.suffix.lower() not in _FORMS:
            raise RecipeError(
                f"{place} has the ending {place.suffix!r}; a report ends in {', '.join(_FORMS)}.",
                hint="Name it, for example, report.html.",
            )
        atomic.check_target(place, suffix=place.suffix)


def write(trial: Trial, place: Path) -> None:
    """Write a trial into a file, in the form that its ending asks for.

    Raises:
        HostError: it cannot be written.
    """
    atomic.write_bytes(place, _FORMS[place.suffix.lower()](trial).encode())


def to_json(trial: Trial) -> str:
    """Return a trial as JSON."""
    return json.dumps(trial.to_json(), indent=2, ensure_ascii=False) + "\n"


def to_html(trial: Trial) -> str:
    """Return a trial as a page that needs nothing else."""
    context = {
        "generator": "publicai-edge trial",
        "trial": trial,
        "headline": headline(trial),
        "facts": head(trial),
        "columns": COLUMNS,
        "rows": [(name(item), cells(item)) for item in rows(trial)],
        "lines": [(line, remarks(line)) for line in trial.lines],
    }
    return pages.environment(_HERE).get_template("page.html").render(context)


def to_markdown(trial: Trial) -> str:
    """Return a trial as Markdown."""
    out = [f"# {_cell(trial.title)}: {headline(trial)}", ""]
    out += [f"- {term}: {_cell(text)}" for term, text in head(trial)]
    out += ["", f"| service | {' | '.join(COLUMNS)} |", f"|---{'|---' * len(COLUMNS)}|"]
    out += [f"| {_cell(name(item))} | {' | '.join(cells(item))} |" for item in rows(trial)]
    out += ["", "## Questions", ""]
    out += ["| | service | question | what came of it | answer |", "|---|---|---|---|---|"]
    for line in trial.lines:
        said = "; ".join(remarks(line))
        where = f"{line.service}, {line.language}"
        verdict = "right" if line.right else "wrong"
        parts = [verdict, where, line.question, said, line.answer or UNKNOWN]
        out.append(f"| {' | '.join(map(_cell, parts))} |")
    return "\n".join(out) + "\n"


_FORMS: dict[str, Callable[[Trial], str]] = {".html": to_html, ".md": to_markdown, ".json": to_json}


def headline(trial: Trial) -> str:
    """Return the result in one sentence without an end."""
    total = trial.total
    cut = "" if trial.whole else f" (interrupted: {len(trial.lines)} of {trial.planned} were asked)"
    return f"{total.right} questions answered right, {total.percent:.0f}%{cut}"


def head(trial: Trial) -> list[tuple[str, str]]:
    """Return what was tried, where and when."""
    return [
        ("Date", trial.when),
        ("Bundle", f"{trial.bundle} {trial.version}"),
        ("Digest (tag manifest, SHA-256)", trial.digest or "it has no tag manifest"),
        ("Model", trial.model),
        ("Machine that asked", trial.machine),
        ("Kiosk", trial.url or "started for this test"),
    ]


def rows(trial: Trial) -> tuple[Score, ...]:
    """Return a score for each service and language, and the sum where there are several."""
    each = scores(trial.lines)
    return (*each, trial.total) if len(each) > 1 else each


def name(item: Score) -> str:
    """Return what a row is called."""
    return f"{item.service}, {item.language}" if item.service else "all"


def cells(item: Score) -> list[str]:
    """Return a row's cells, under :data:`COLUMNS`."""
    shares = (item.right, item.passages, item.facts, item.nothing, item.cited)
    return [*map(str, shares), *map(seconds, (item.to_passages, item.to_first_word, item.to_end))]


def seconds(value: float | None) -> str:
    """Return seconds with as many digits as they deserve."""
    return UNKNOWN if value is None else f"{value:.2f} s" if value < 10 else f"{value:.0f} s"  # noqa: PLR2004


def remarks(line: Line) -> list[str]:
    """Return what came of a question, in short sentences without ends."""
    found = []
    if line.nothing is not None:
        found.append("rightly said that nothing was found" if line.nothing else "did not say that nothing was found")
    if line.passage is not None:
        shown = ", ".join(line.shown) or "none"
        place = f"expected passage at place {line.place}" if line.passage else f"expected passage not shown: {shown}"
        found.append(place)
    for said, word in ((True, "said"), (False, "not said")):
        if facts := [fact.fact for fact in line.facts if fact.said is said]:
            found.append(f"{word}: {', '.join(facts)}")
    if line.cited is False:
        found.append("no sentence names a passage")
    if line.trouble:
        found.append("the answer was cut at its longest" if line.trouble == "length" else f"error: {line.trouble}")
    times = (("passages", line.to_passages), ("first word", line.to_first_word), ("whole", line.to_end))
    if known := [f"{what} {seconds(value)}" for what, value in times if value is not None]:
        found.append(", ".join(known))
    return found


def _cell(text: str) -> str:
    """Return text for one cell of a Markdown table: one line, and no markup of its own."""
    flat = " ".join("".join(" " if unicodedata.category(letter) == "Cc" else letter for letter in text).split())
    for mark in "\\`*_[]<>|#!":
        flat = flat.replace(mark, f"\\{mark}")
    return flat
