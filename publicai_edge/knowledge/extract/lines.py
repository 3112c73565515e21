"""Lines of pages to blocks: paragraphs, items and headings, without what stands on every page.

Invariant: a line is a heading by its ``level`` where whoever made it knew that (a recognised page), else by its type
being larger than the document's body text.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from publicai_edge.knowledge.blocks import Block, block

_ITEM = re.compile(r"\s*([-*\u2022\u2023\u25aa\u25cf\u25e6\u2013])\s+")
_PAGE_NUMBER = re.compile(r"(page|seite|p\u00e1gina|p\.)?\s*\d{1,4}(\s*(/|of|de|von)\s*\d{1,4})?", re.IGNORECASE)
_HEADING_RATIO = 1.12  # larger than the body text by so much
_MAX_HEADING_CHARS = 120
_SHORT_LINE = 0.72  # of the page's longest: a paragraph ends here
_MOST_LEVELS = 6


@dataclass
class Line:
    """A line of a page; an empty one ends a paragraph.

    Attributes:
        text: as it stands there.
        size: the largest size of type in it, in points; 0 where that is not known.
        level: of a heading, from 1; 0 for body text; None where the size has to tell.
    """

    text: str = ""
    size: float = 0.0
    level: int | None = None


def blocks_of(pages: Sequence[Sequence[Line]]) -> list[Block]:
    """Return the blocks of a document's pages, in order."""
    body, levels = _sizes([line for lines in pages for line in lines if line.level is None])
    running = _running_lines(pages)
    blocks: list[Block] = []
    for number, lines in enumerate(pages, 1):
        kept = [line for line in lines if not _is_furniture(line.text, running)]
        blocks += _page_blocks(kept, number, body, levels)
    return blocks


def _sizes(lines: list[Line]) -> tuple[float, dict[float, int]]:
    """Return the body's size of type (the one of most characters), and a level for each larger one."""
    count: Counter[float] = Counter()
    for line in lines:
        count[line.size] += len(line.text)
    body = max(count, key=lambda size: count[size], default=0.0)
    larger = sorted((size for size in count if size > body * _HEADING_RATIO), reverse=True)
    return body, {size: min(level, _MOST_LEVELS) for level, size in enumerate(larger, 1)}


def _running_lines(pages: Sequence[Sequence[Line]]) -> set[str]:
    """Return the lines that stand at the top or the bottom of most pages."""
    if len(pages) < 3:  # noqa: PLR2004 - two pages prove no pattern
        return set()
    edges: Counter[str] = Counter()
    for lines in pages:
        texts = [line.text.strip() for line in lines if line.text.strip()]
        edges.update(set(texts[:1] + texts[-1:]))
    return {text for text, count in edges.items() if count > len(pages) / 2}


def _is_furniture(text: str, running: set[str]) -> bool:
    stripped = text.strip()
    return stripped in running or bool(_PAGE_NUMBER.fullmatch(stripped))


def _page_blocks(lines: list[Line], page: int, body: float, levels: dict[float, int]) -> list[Block]:
    blocks: list[Block] = []
    paragraph: list[str] = []
    width = max((len(line.text.strip()) for line in lines if line.size <= body * _HEADING_RATIO), default=0)

    def settle() -> None:
        text = _join(paragraph)
        blocks.extend(block("list" if _ITEM.match(text) else "paragraph", text, page=page))
        paragraph.clear()

    for line in lines:
        text = line.text.strip()
        level = levels.get(line.size, 0) if line.level is None else line.level
        if not text:
            settle()
        elif level and len(text) <= _MAX_HEADING_CHARS:
            settle()
            blocks += block("heading", text, level=level, page=page)
        else:
            if _ITEM.match(text):
                settle()
                text = _ITEM.sub("- ", text)
            paragraph.append(text)
            if len(text) < width * _SHORT_LINE and text.endswith((".", "!", "?", ":", "\u3002")):
                settle()
    settle()
    return blocks


def _join(lines: list[str]) -> str:
    """Return the lines as one, with words that were hyphenated at a line's end made whole."""
    out = ""
    for line in lines:
        if out.endswith("-") and out[-2:-1].isalpha() and line[:1].islower():
            out = out[:-1] + line
        else:
            out += (" " if out else "") + line
    return out
