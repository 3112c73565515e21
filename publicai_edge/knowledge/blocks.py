"""A document as its reader sees it: headings, paragraphs, lists and tables, in reading order.

Invariant: a block's text is clean (see :func:`clean`) and not empty. A list has one item a line; a table one
row a line with `` | `` between cells, and its first line is the header row where ``has_header`` says so.
"""

import re
import unicodedata
from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["heading", "paragraph", "list", "table"]
CELL_SEPARATOR = " | "

_SPACES = re.compile(r"[^\S\n]+")
_BLANK_LINES = re.compile(r"\s*\n\s*")


@dataclass(frozen=True)
class Block:
    """One block; ``level`` is a heading's depth from 1, ``page`` counts from 1 where the format has pages."""

    kind: Kind
    text: str
    level: int = 0
    page: int | None = None
    has_header: bool = False


@dataclass(frozen=True)
class Extracted:
    """What a document holds: its own title where it has one, its blocks, and what the person should know.

    ``recognized`` counts its pages whose text was recognised in pictures.
    """

    title: str | None
    blocks: tuple[Block, ...]
    warnings: tuple[str, ...] = ()
    recognized: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return plain data, to cross a process boundary."""
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> "Extracted":
        """Read what :meth:`to_json` wrote."""
        blocks = tuple(Block(**block) for block in data["blocks"])
        return Extracted(data["title"], blocks, tuple(data["warnings"]), data.get("recognized", 0))


def clean(text: str) -> str:
    """Return ``text`` in NFC, without control characters, with single spaces and line breaks."""
    kept = "".join(
        char if char == "\n" or unicodedata.category(char) not in {"Cc", "Cs", "Cn"} else " "
        for char in unicodedata.normalize("NFC", text).replace("\u00ad", "").replace("\ufeff", "")
    )
    return _BLANK_LINES.sub("\n", _SPACES.sub(" ", kept)).strip()


def one_line(text: str) -> str:
    """Return clean ``text`` on a single line."""
    return clean(text).replace("\n", " ")


def block(kind: Kind, text: str, *, level: int = 0, page: int | None = None, has_header: bool = False) -> list[Block]:
    """Return a block of the cleaned text, or nothing when nothing is left of it."""
    cleaned = one_line(text) if kind in {"heading", "paragraph"} else clean(text)
    return [Block(kind, cleaned, level, page, has_header)] if cleaned else []


def table(rows: list[list[str]], *, has_header: bool, page: int | None = None) -> list[Block]:
    """Return a table block of ``rows`` of cells."""
    lines = [CELL_SEPARATOR.join(one_line(cell) for cell in row) for row in rows if any(map(str.strip, row))]
    return block("table", "\n".join(lines), has_header=has_header and len(lines) > 1, page=page)


def first_heading(blocks: tuple[Block, ...] | list[Block]) -> str | None:
    """Return the text of the first heading, or None."""
    return next((item.text for item in blocks if item.kind == "heading"), None)
