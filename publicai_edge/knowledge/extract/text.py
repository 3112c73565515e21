"""Plain text: paragraphs between blank lines, headings underlined or in capitals, lists with marks."""

import re
from collections.abc import Iterator

from publicai_edge.knowledge.blocks import Block, Extracted, block, first_heading
from publicai_edge.knowledge.extract.encoding import decode

_UNDERLINE = re.compile(r"\s*(={3,}|-{3,}|~{3,})\s*$")
_ITEM = re.compile(r"\s*([-*\u2022\u2023\u25e6\u2013]|\d{1,3}[.)])\s+")
_SENTENCE_END = re.compile(r"[.!?:;,\u3002\uff01\uff1f\u061f\u0964]$")
_MAX_HEADING_CHARS = 90


def extract(data: bytes, name: str) -> Extracted:
    """Read a text file; its title is its first line where that stands alone."""
    text, warnings = decode(data)
    blocks: list[Block] = []
    for lines in _chunks(text.expandtabs(4).splitlines()):
        blocks += _blocks(lines, first=not blocks)
    return Extracted(first_heading(blocks), tuple(blocks), warnings)


def _chunks(lines: list[str]) -> Iterator[list[str]]:
    """Yield runs of lines that are not blank; a form feed counts as blank."""
    run: list[str] = []
    for line in lines:
        if line.strip():
            run.append(line)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _blocks(lines: list[str], *, first: bool) -> list[Block]:
    if len(lines) > 1 and _UNDERLINE.match(lines[1]) and _looks_like_heading(lines[0]):
        level = 1 if "=" in lines[1] else 2
        return block("heading", lines[0], level=level) + (_blocks(lines[2:], first=False) if lines[2:] else [])
    if len(lines) == 1 and _looks_like_heading(lines[0]) and (first or lines[0].isupper()):
        return block("heading", lines[0], level=1 if first else 2)
    if _ITEM.match(lines[0]):
        return block("list", "\n".join(_items(lines)))
    item = next((number for number, line in enumerate(lines) if _ITEM.match(line)), len(lines))
    rest = block("list", "\n".join(_items(lines[item:])))
    return block("paragraph", " ".join(lines[:item])) + rest


def _items(lines: list[str]) -> list[str]:
    items: list[str] = []
    for line in lines:
        if _ITEM.match(line) or not items:
            items.append(_ITEM.sub("- ", line, count=1))
        else:
            items[-1] += " " + line.strip()
    return items


def _looks_like_heading(line: str) -> bool:
    stripped = line.strip()
    return len(stripped) <= _MAX_HEADING_CHARS and not _SENTENCE_END.search(stripped) and not _ITEM.match(line)
