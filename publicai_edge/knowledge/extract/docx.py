"""Word documents (OOXML), through python-docx.

Invariant: the text is that of the document with all its tracked changes accepted.
"""

import io
import re
from typing import Any

from publicai_edge import archives
from publicai_edge.errors import DocumentError
from publicai_edge.knowledge.blocks import Block, Extracted, block, first_heading, one_line, table

_OLE = b"\xd0\xcf\x11\xe0"
_MAX_UNPACKED_BYTES = 300 << 20
_LIMITS = archives.Limits(members=20_000, ratio=2_000)  # text repeats itself, so a high ratio is no sign of malice
_DROPPED = ("w:del", "w:moveFrom")
# What stands around text without being text; python-docx passes over all that is in them.
_WRAPPERS = ("w:sdt", "w:ins", "w:moveTo", "w:hyperlink", "w:smartTag", "w:customXml", "w:fldSimple", "w:dir", "w:bdo")
_HEADING = re.compile(r"heading (\d)", re.IGNORECASE)


def extract(data: bytes, name: str) -> Extracted:
    """Read a .docx; its title is its properties', or the paragraph in style Title, or its first heading."""
    from docx import Document

    if data.startswith(_OLE):
        raise DocumentError("it is encrypted, or an old .doc; save it as .docx without a password")
    _check_zip(data)
    document = Document(io.BytesIO(data))
    _unwrap(document.element.body)
    blocks = _merged([item for content in document.iter_inner_content() for item in _blocks(content)])
    title = one_line(document.core_properties.title or "")
    return Extracted(title or first_heading(blocks), tuple(blocks))


def _check_zip(data: bytes) -> None:
    try:
        with archives.opened_zip(io.BytesIO(data), len(data), _LIMITS) as archive:
            size = sum(member.size for member in archive.members)
    except ValueError as error:
        raise DocumentError(f"it is damaged, or not a .docx file: {error}") from error
    if size > _MAX_UNPACKED_BYTES:
        raise DocumentError(f"it unpacks to {size / 1e6:,.0f} MB, more than a document holds")


def _unwrap(body: Any) -> None:
    """Drop what is tracked as deleted, and put what is inside wrappers in the wrappers' place."""
    from docx.oxml.ns import qn

    for element in list(body.iter(*map(qn, _DROPPED))):
        element.getparent().remove(element)
    for element in list(body.iter(*map(qn, _WRAPPERS))):
        for holder in element.findall(qn("w:sdtContent")) if element.tag == qn("w:sdt") else [element]:
            for child in list(holder):
                element.addprevious(child)
        element.getparent().remove(element)


def _blocks(content: Any) -> list[Block]:
    from docx.table import Table

    if isinstance(content, Table):
        if content._tbl.xpath(".//w:tbl"):
            return _layout(content)
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


def _layout(content: Any) -> list[Block]:
    """Return the blocks in the cells of a table that holds tables: it only lays out the page."""
    from docx.table import _Cell

    cells = (_Cell(tc, content) for row in content._tbl.tr_lst for tc in row.tc_lst)
    return [item for cell in cells for inner in cell.iter_inner_content() for item in _blocks(inner)]


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
