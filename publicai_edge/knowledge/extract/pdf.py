"""PDF, through pypdf: text with its page; pages without text of their own are recognised, where that is asked for."""

import io
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from publicai_edge.errors import DocumentError
from publicai_edge.knowledge.blocks import Extracted, first_heading, one_line
from publicai_edge.knowledge.extract.lines import Line, blocks_of

LEAST_LETTERS = 32
"""Letters and digits below which a page counts as one without text: a scanner's stamp or a page number is no text."""

_UNTITLED = re.compile(r"^$|untitled|^microsoft word - |\.(docx?|odt|indd|tex|pdf)$", re.IGNORECASE)


class Scans(Protocol):
    """What recognises the text of pages that are pictures, see :mod:`publicai_edge.knowledge.ocr.scans`."""

    def read(self, data: bytes, wanted: Sequence[int], pages: int) -> tuple[Mapping[int, list[Line]], tuple[str, ...]]:
        """Return the lines of each of the ``wanted`` pages of a PDF that has ``pages``, and warnings.

        Raises:
            DocumentError: the PDF cannot be drawn, or too many pages are wanted.
        """
        ...


def extract(data: bytes, name: str, scans: Scans | None = None) -> Extracted:
    """Read a PDF; its title is its metadata's, or its first line in large type."""
    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it reports each repaired detail of a file
    reader = PdfReader(io.BytesIO(data))
    _unlock(reader)
    pages = [_lines(page) for page in reader.pages]
    recognized, warnings = _recognize(data, pages, scans) if scans else (0, ())
    if not any(map(_letters, pages)):
        raise _no_text(len(pages), scans)
    blocks = blocks_of(pages)
    return Extracted(_title(reader) or first_heading(blocks), tuple(blocks), warnings, recognized)


def _recognize(data: bytes, pages: list[list[Line]], scans: Scans) -> tuple[int, tuple[str, ...]]:
    """Put recognised lines in the place of pages without text; return how many pages got some, and warnings."""
    wanted = [number for number, lines in enumerate(pages, 1) if _letters(lines) < LEAST_LETTERS]
    if not wanted:
        return 0, ()
    try:
        found, warnings = scans.read(data, wanted, len(pages))
    except DocumentError as error:
        if len(wanted) == len(pages):
            raise
        return 0, (f"has pages that are left out: {error.message}",)
    # What is drawn shows the page's few letters of its own as well, so the recognised lines take their place.
    better = {number: lines for number, lines in found.items() if _letters(lines) > _letters(pages[number - 1])}
    for number, lines in better.items():
        pages[number - 1] = lines
    return len(better), warnings


def _no_text(pages: int, scans: Scans | None) -> DocumentError:
    if scans:
        return DocumentError(f"no text was recognised on its {_pages(pages)}")
    return DocumentError(
        f"it has no text layer: on its {_pages(pages)} are only pictures, as a scanner makes them",
        hint="put ocr = true under [knowledge] and run: pip install 'publicai-edge[ocr]'",
    )


def _pages(count: int) -> str:
    return "one page" if count == 1 else f"{count} pages"


def _letters(lines: Sequence[Line]) -> int:
    return sum(char.isalnum() for line in lines for char in line.text)


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


def _lines(page: Any) -> list[Line]:
    """Return the page's lines, each with the largest size of type in it."""
    lines = [Line()]

    def visit(text: str, _cm: list[float], matrix: list[float], _font: Any, size: float) -> None:
        height = abs(size * (matrix[3] or matrix[0] or 1.0))
        for number, part in enumerate(text.split("\n")):
            if number:
                lines.append(Line())
            lines[-1].text += part
            if part.strip():
                lines[-1].size = max(lines[-1].size, round(height, 1))

    page.extract_text(visitor_text=visit)
    return lines
