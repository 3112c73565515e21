"""The report for a terminal: the decision first, then one table of losses, languages down and types across.

No line has more characters than the width asked for (40 at least). Verdicts are words and signs; colour only repeats
them. Control and direction characters never reach the terminal; an encoding that lacks a character gets plain ASCII.
"""

import textwrap
import unicodedata
from collections.abc import Callable, Sequence

from publicai_edge.evaluate.report import figures
from publicai_edge.evaluate.report.decision import (
    decide,
    failing_languages,
    has_bounds,
    original,
    stated_facts,
)
from publicai_edge.evaluate.report.languages import language
from publicai_edge.evaluate.report.notes import notes
from publicai_edge.evaluate.report.passages import ReadingRow, places, rows
from publicai_edge.evaluate.report.plot import order
from publicai_edge.evaluate.result import Candidate, Quality

_LEAST_WIDTH, _LABEL, _NAME, _GAP = 40, 20, 14, 1
_BOLD, _RED, _GREEN, _END = "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[0m"
_DASHES, _QUOTES = dict.fromkeys((0x2013, 0x2014, 0x2212), "-"), {0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"'}
_ASCII = {**_DASHES, **_QUOTES, 0x2026: "...", 0x00D7: "x", 0x2264: "<="}

Column = tuple[str, list[str]]


def render_terminal(quality: Quality, width: int = 80, colour: bool = False, *, encoding: str = "utf-8") -> str:
    """Return the report as text that ends with a newline.

    Args:
        quality: what was found.
        width: columns of the terminal.
        colour: use ANSI colours.
        encoding: of the terminal; what it cannot show becomes ASCII.
    """
    width = max(width, _LEAST_WIDTH)
    paint = _paint if colour else _bare
    decision = decide(quality)
    mood = {"chosen": _GREEN, "refused": _RED, "measured": ""}[decision.outcome]
    lines = [paint(line, _BOLD + mood) for line in _wrap(f"{quality.title}: {decision.headline}.", width)]
    lines += _wrap(" ".join(decision.sentences), width)
    for step in decision.next_steps:
        lines += _wrap(step, width, "- ")
    if decision.focus is not None:
        tags = order(quality, decision.focus)
        lines += ["", *_wrap(_heading(quality, tags), width), ""]
        lines += [_signed(line, paint) for line in _table(quality, tags, width)]
        lines += ["", *_legend(quality, width)]
    if quality.reading:
        said = quality.reading_reason if quality.candidates else ""
        lines += [
            "",
            *_wrap(f"Passages read once, or for every question. {said}", width),
            "",
            *_passages(quality, width),
        ]
    for note in notes(quality):
        lines += _wrap(f"Note: {note}", width)
    text = "\n".join(line.rstrip() for line in lines) + "\n"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return _ascii(text)
    return text


def _heading(quality: Quality, tags: Sequence[str]) -> str:
    bound, facts = quality.bounds.of(tags[0]), quality.bounds.max_facts_lost
    parts = [] if bound is None or _own_bounds(quality, tags) else [figures.loss(bound)]
    if facts is not None:
        parts.append(f"{facts or 'no'} fact{'' if facts == 1 else 's'} lost")
    allowed = f" Allowed: {', '.join(parts)}." if parts else ""
    return f"Loss against {original(quality)}: mean KL divergence, nats per token; lower is better.{allowed}"


def _own_bounds(quality: Quality, tags: Sequence[str]) -> bool:
    """Whether languages differ in what is allowed, so that a column has to say it."""
    return len({quality.bounds.of(tag) for tag in tags}) > 1


def _table(quality: Quality, tags: Sequence[str], width: int) -> list[str]:
    """Return the table; where the types do not fit side by side, in blocks below each other."""
    labels = [language(_clean(tag)).name[:_LABEL] for tag in tags] + ["Mean", "Size", "Facts kept", "Verdict"]
    if not any(candidate.measured.answers for candidate in quality.candidates):
        labels.remove("Facts kept")
    stub = max(map(len, labels))
    fixed = [_bounds(quality, tags, labels)] if _own_bounds(quality, tags) else []
    columns = [_column(quality, candidate, tags, labels) for candidate in quality.candidates]
    room = width - stub - sum(_width(column) + _GAP for column in fixed)
    lines: list[str] = []
    for block in _blocks(columns, room):
        shown = fixed + block
        sizes = [_width(column) for column in shown]
        if lines:
            lines.append("")
        for index, label in enumerate(["", *labels]):
            cells = [column[0] if index == 0 else column[1][index - 1] for column in shown]
            padded = (" " * _GAP + cell.rjust(size) for cell, size in zip(cells, sizes, strict=True))
            lines.append(label.ljust(stub) + "".join(padded))
    return lines


def _column(quality: Quality, candidate: Candidate, tags: Sequence[str], labels: Sequence[str]) -> Column:
    measured = candidate.measured
    losses = {item.language: item.mean_kl for item in measured.languages}
    failed = failing_languages(candidate)
    cells = [
        figures.loss(losses[tag].value, 3) + ("!" if tag in failed else " ") if tag in losses else "- " for tag in tags
    ]
    cells.append(figures.loss(measured.mean_kl, 3) + " " if losses else "- ")
    cells.append(figures.size(measured.bytes) + " ")
    if "Facts kept" in labels:
        stated = stated_facts(candidate)
        sign = "!" if any(item.figure == "facts_lost" for item in candidate.verdict.failures) else " "
        cells.append(f"{stated - measured.facts_lost}/{stated}{sign}" if measured.answers else "- ")
    name = _clean(measured.name)[:_NAME]
    return f"{name}*" if measured.name == quality.chosen else f"{name} ", [*cells, _word(quality, candidate) + " "]


def _word(quality: Quality, candidate: Candidate) -> str:
    if not candidate.measured.languages:
        return "unknown"
    if not candidate.verdict.passes:
        return "FAILS"
    if candidate.refused:
        return "set aside"
    if candidate.measured.name == quality.chosen:
        return "chosen"
    return "passes" if has_bounds(quality) else "no bound"


def _bounds(quality: Quality, tags: Sequence[str], labels: Sequence[str]) -> Column:
    bounds = [quality.bounds.of(tag) for tag in tags]
    places = 3 if all(bound is None or round(bound, 3) == bound for bound in bounds) else 4
    cells = ["-" if bound is None else figures.loss(bound, places) for bound in bounds]
    return "allowed ", [f"{cell} " for cell in cells] + [""] * (len(labels) - len(tags))


def _passages(quality: Quality, width: int) -> list[str]:
    """Return a table of what each way of reading passages costs, with as much of the counts and margins as has room."""
    found = rows(quality)
    decimals = places(found)
    labels = [f"{row.name}, {language(_clean(row.language)).name}" if row.language else row.name for row in found]
    columns = [("Loss", [figures.loss(row.mean_kl.value, decimals) if row.mean_kl else "0" for row in found])]
    margins = ("95% margin", [_margin(row, decimals) for row in found])
    questions = ("Questions", [figures.count(row.questions) for row in found])
    columns.append(("Facts", [f"{row.facts}/{row.expected}" for row in found]))
    columns.append(("Tokens to read", [figures.count(row.read) for row in found]))
    loss, *rest = columns
    stub = max(map(len, labels))
    wide = ([loss, margins, questions, *rest], [loss, margins, *rest])
    shown = next((each for each in wide if stub + sum(_width(column) + 2 for column in each) <= width), columns)
    room = width - sum(_width(column) + 2 for column in shown)
    stub = min(stub, max(room, 1))
    lines = []
    for index, label in enumerate(["", *labels]):
        cells = [heading if index == 0 else values[index - 1] for heading, values in shown]
        padded = ("  " + cell.rjust(_width(column)) for cell, column in zip(cells, shown, strict=True))
        lines.append(label[:stub].ljust(stub) + "".join(padded))
    return lines


def _margin(row: ReadingRow, decimals: int) -> str:
    if row.mean_kl is None:
        return "-"
    return f"{figures.loss(row.mean_kl.low, decimals)}-{figures.loss(row.mean_kl.high, decimals)}"


def _blocks(columns: list[Column], room: int) -> list[list[Column]]:
    blocks: list[list[Column]] = [[]]
    left = room
    for column in columns:
        need = _width(column) + _GAP
        if blocks[-1] and need > left:
            blocks.append([])
            left = room
        blocks[-1].append(column)
        left -= need
    return blocks


def _width(column: Column) -> int:
    return max(map(len, [column[0], *column[1]]))


def _legend(quality: Quality, width: int) -> list[str]:
    parts = []
    if any(candidate.verdict.failures for candidate in quality.candidates):
        parts.append("! over what is allowed; for a loss, the upper end of its 95% margin is judged")
    if quality.chosen is not None:
        parts.append("* the type that was chosen or asked for")
    return [line for part in parts for line in _wrap(part, width)]


def _signed(line: str, paint: Callable[[str, str], str]) -> str:
    words = (("FAILS", _RED), ("chosen", _GREEN)) if line.startswith("Verdict") else ()
    for word, code in words:
        line = line.replace(word, paint(word, code))
    return line


def _wrap(text: str, width: int, first: str = "") -> list[str]:
    return textwrap.wrap(_clean(text), width, initial_indent=first, subsequent_indent=" " * len(first))


def _clean(text: str) -> str:
    """Return text without characters that steer: controls, direction marks, lone surrogates."""
    return "".join(
        " " if letter.isspace() else letter
        for letter in text
        if letter.isspace() or unicodedata.category(letter)[0] != "C"
    )


def _ascii(text: str) -> str:
    kept = "".join(
        letter if letter == "\x1b" else unicodedata.normalize("NFKD", letter) for letter in text.translate(_ASCII)
    )
    return (
        "".join(letter for letter in kept if not unicodedata.combining(letter))
        .encode("ascii", "replace")
        .decode("ascii")
    )


def _paint(text: str, code: str) -> str:
    return f"{code}{text}{_END}"


def _bare(text: str, code: str) -> str:
    return text
