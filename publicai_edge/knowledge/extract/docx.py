"""Word documents (OOXML), through python-docx."""

import io
import re
import zipfile
from typing import Any

from publicai_edge.errors import DocumentError
from publicai_edge.knowledge.blocks import Block, Extracted, block, first_heading, one_line, table

_OLE = b"\xd0\xcf\x11\xe0"
_MAX_UNPACKED_BYTES = 300 << 20
_HEADING = re.compile(r"heading (\d)", re.IGNORECASE)


def extract(data: bytes, name: str) -> Extracted:
    """Read a .docx; its title is its properties', or the paragraph in style Title, or its first heading."""
    from docx import Document

    if data.startswith(_OLE):
        raise DocumentError("it is encrypted, or an old .doc; save it as .docx without a password")
    _check_zip(data)
    document = Document(io.BytesIO(data))
    blocks = _merged([item for content in document.iter_inner_content() for item in _blocks(content)])
    title = one_line(document.core_properties.title or "")
    return Extracted(title or first_heading(blocks), tuple(blocks))


def _check_zip(data: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(item.file_size for item in archive.infolist())
    except zipfile.BadZipFile as error:
        raise DocumentError("it is damaged, or not a .docx file") from error
    if size > _MAX_UNPACKED_BYTES:
        raise DocumentError(f"it unpacks to {size / 1e6:,.0f} MB, more than a document holds")


def _blocks(content: Any) -> list[Block]:
    from docx.table import Table

    if isinstance(content, Table):
        return table([_cells(row) for row in content.rows], has_header=True)
    style = (content.style.name or "") if content.style is not None else ""
    if style == "Title":
        return block("heading", content.text, level=1)
    if found := _HEADING.fullmatch(style):
        return block("heading", content.text, level=int(found[1]))
    properties = content._p.pPr
    numbered = properties is not None and properties.numPr is not None
    if (numbered or style.startswith("List")) and content.text.strip():
        return block("list", "- " + one_line(content.text))
    return block("paragraph", content.text)


def _cells(row: Any) -> list[str]:
    """Return the row's cells; one that spans columns is listed once."""
    cells: list[Any] = []
    for cell in row.cells:
        if not cells or cell._tc is not cells[-1]._tc:
            cells.append(cell)
    return [cell.text for cell in cells]


def _merged(blocks: list[Block]) -> list[Block]:
    """Join neighbouring list items, each a paragraph in Word, into one list."""
    out: list[Block] = []
    for item in blocks:
        if item.kind == "list" and out and out[-1].kind == "list":
            out[-1] = Block("list", f"{out[-1].text}\n{item.text}")
        else:
            out.append(item)
    return out
