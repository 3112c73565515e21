"""PDF, through pypdf: text with its page; lines in larger type are headings."""

import io
import logging
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from publicai_edge.errors import DocumentError
from publicai_edge.knowledge.blocks import Block, Extracted, block, first_heading, one_line

_ITEM = re.compile(r"\s*([-*\u2022\u2023\u25aa\u25cf\u25e6\u2013])\s+")
_PAGE_NUMBER = re.compile(r"(page|seite|p\u00e1gina|p\.)?\s*\d{1,4}(\s*(/|of|de|von)\s*\d{1,4})?", re.IGNORECASE)
_HEADING_RATIO = 1.12  # larger than the body text by so much
_MAX_HEADING_CHARS = 120
_SHORT_LINE = 0.72  # of the page's longest: a paragraph ends here
_UNTITLED = re.compile(r"^$|untitled|^microsoft word - |\.(docx?|odt|indd|tex|pdf)$", re.IGNORECASE)


@dataclass
class _Line:
    text: str = ""
    size: float = 0.0


def extract(data: bytes, name: str) -> Extracted:
    """Read a PDF; its title is its metadata's, or its first line in large type."""
    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it reports each repaired detail of a file
    reader = PdfReader(io.BytesIO(data))
    _unlock(reader)
    pages = [_lines(page) for page in reader.pages]
    if not any(line.text.strip() for lines in pages for line in lines):
        raise DocumentError(f"its {len(pages)} pages hold no text, only images; run OCR over it first (ocrmypdf)")
    body, levels = _sizes([line for lines in pages for line in lines])
    running = _running_lines(pages)
    blocks: list[Block] = []
    for number, lines in enumerate(pages, 1):
        kept = [line for line in lines if not _is_furniture(line.text, running)]
        blocks += _page_blocks(kept, number, body, levels)
    return Extracted(_title(reader) or first_heading(blocks), tuple(blocks))


def _unlock(reader: Any) -> None:
    if not reader.is_encrypted:
        return
    try:
        opened = reader.decrypt("")  # many PDFs only restrict printing and open with no password
    except Exception as error:  # pypdf asks for an optional package for newer ciphers
        raise DocumentError("it is encrypted; save a copy without a password") from error
    if not opened:
        raise DocumentError("it is encrypted with a password; save a copy without one")


def _title(reader: Any) -> str | None:
    title = one_line(str((reader.metadata or {}).get("/Title") or ""))
    return None if _UNTITLED.search(title) else title


def _lines(page: Any) -> list[_Line]:
    """Return the page's lines, each with the largest size of type in it."""
    lines = [_Line()]

    def visit(text: str, _cm: list[float], matrix: list[float], _font: Any, size: float) -> None:
        height = abs(size * (matrix[3] or matrix[0] or 1.0))
        for number, part in enumerate(text.split("\n")):
            if number:
                lines.append(_Line())
            lines[-1].text += part
            if part.strip():
                lines[-1].size = max(lines[-1].size, round(height, 1))

    page.extract_text(visitor_text=visit)
    return lines


def _sizes(lines: list[_Line]) -> tuple[float, dict[float, int]]:
    """Return the body's size of type (the one of most characters), and a level for each larger one."""
    count: Counter[float] = Counter()
    for line in lines:
        count[line.size] += len(line.text)
    body = count.most_common(1)[0][0]
    larger = sorted((size for size in count if size > body * _HEADING_RATIO), reverse=True)
    return body, {size: min(level, 6) for level, size in enumerate(larger, 1)}


def _running_lines(pages: list[list[_Line]]) -> set[str]:
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


def _page_blocks(lines: list[_Line], page: int, body: float, levels: dict[float, int]) -> list[Block]:
    blocks: list[Block] = []
    paragraph: list[str] = []
    width = max((len(line.text.strip()) for line in lines if line.size <= body * _HEADING_RATIO), default=0)

    def settle() -> None:
        text = _join(paragraph)
        blocks.extend(block("list" if _ITEM.match(text) else "paragraph", text, page=page))
        paragraph.clear()

    for line in lines:
        text = line.text.strip()
        if not text:
            settle()
        elif line.size in levels and len(text) <= _MAX_HEADING_CHARS:
            settle()
            blocks += block("heading", text, level=levels[line.size], page=page)
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
