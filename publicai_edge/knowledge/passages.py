"""Blocks to passages: pieces small enough to read on a page and to fit a model's window.

Invariants: a passage has at most ``limit`` words (a table's long header row may exceed it);
no text is lost; a passage never crosses a heading, and carries the trail of headings above it, so that a
heading is never apart from its text; it never crosses a page either, so that the page it names is the one its words
stand on; rows of a table and items of a list stay whole where they fit, and a
table that is cut repeats its header row.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from publicai_edge.knowledge.blocks import Block, Extracted
from publicai_edge.knowledge.sentences import count_words, split_sentences, split_words

TRAIL_SEPARATOR = " \u203a "


@dataclass(frozen=True)
class Draft:
    """A passage before it has a number: the trail of headings above it, its page, its text."""

    heading: str
    page: int | None
    text: str


@dataclass(frozen=True)
class _Unit:
    """What is not divided further; ``glue`` joins it to what is before it, ``header`` opens a new passage."""

    text: str
    glue: str
    page: int | None
    header: str = ""


def cut(document: Extracted, title: str, limit: int) -> Iterator[Draft]:
    """Yield the passages of ``document`` in reading order; a document that is only its title has that as its text."""
    drafts = _cut(document, title, limit)
    first = next(drafts, None)
    if first:
        yield first
        yield from drafts
    elif document.blocks:
        yield Draft("", document.blocks[0].page, document.blocks[0].text)


def _cut(document: Extracted, title: str, limit: int) -> Iterator[Draft]:
    trail: list[tuple[int, str]] = []
    units: list[_Unit] = []
    bare: Block | None = None  # a heading that has nothing under it yet
    for block in document.blocks:
        if block.kind != "heading":
            units += _units(block, limit)
            bare = None
            continue
        yield from _pack(units, _trail(trail, title), limit)
        units = []
        if bare and block.level <= bare.level and bare.text != title:
            yield Draft(_trail(trail[:-1], title), bare.page, bare.text)
        trail = [item for item in trail if item[0] < block.level]
        trail.append((block.level, block.text))
        bare = block
    yield from _pack(units, _trail(trail, title), limit)
    if bare and bare.text != title:
        yield Draft(_trail(trail[:-1], title), bare.page, bare.text)


def _trail(trail: list[tuple[int, str]], title: str) -> str:
    """Return the headings as one line; the title is shown beside the passage already."""
    return TRAIL_SEPARATOR.join(text for _, text in trail if text != title)


def _pack(units: list[_Unit], heading: str, limit: int) -> Iterator[Draft]:
    text, page, words = "", None, 0
    for unit in units:
        size = count_words(unit.text)
        if text and (words + size > limit or unit.page != page):
            yield Draft(heading, page, text)
            text, words = "", 0
        if text:
            text += unit.glue + unit.text
        else:
            text = f"{unit.header}\n{unit.text}" if unit.header else unit.text
            page = unit.page
            words = count_words(unit.header)
        words += size
    if text:
        yield Draft(heading, page, text)


def _units(block: Block, limit: int) -> list[_Unit]:
    lines = block.text.split("\n")
    if block.kind == "table":
        header, rows = (lines[0], lines[1:]) if block.has_header else ("", lines)
        first = [_Unit(header, "\n\n", block.page)] if header else []
        room = max(1, limit - count_words(header))
        pieces = [part for row in rows for part in _fitting(row, room)]
        return _keep_header_with_first_row(first, [_Unit(piece, "\n", block.page, header) for piece in pieces])
    if block.kind == "list":
        pieces = [part for line in lines for part in _fitting(line, limit)]
        return [_Unit(piece, "\n" if number else "\n\n", block.page) for number, piece in enumerate(pieces)]
    pieces = _fitting(block.text, limit)
    return [_Unit(piece, " " if number else "\n\n", block.page) for number, piece in enumerate(pieces)]


def _keep_header_with_first_row(first: list[_Unit], rows: list[_Unit]) -> list[_Unit]:
    if not first or not rows:
        return first or rows
    start = rows[0]
    # The header travels inside the first row's unit, so the two cannot be parted; later rows bring their own.
    return [_Unit(f"{first[0].text}\n{start.text}", "\n\n", start.page), *rows[1:]]


def _fitting(text: str, limit: int) -> list[str]:
    if count_words(text) <= limit:
        return [text]
    out: list[str] = []
    for sentence in split_sentences(text):
        out += [sentence] if count_words(sentence) <= limit else split_words(sentence, limit)
    return out
