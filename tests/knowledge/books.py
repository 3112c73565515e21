"""A small book in EPUB, whole or with any of its files changed."""

import io
import zipfile
from collections.abc import Mapping

CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
)
PAGE = (
    '<?xml version="1.0" encoding="utf-8"?><!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml">'
    "<head><title/></head><body>{}</body></html>"
)


def package(items: str, spine: str, title: str = "The Mill") -> str:
    return (
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0">'
        f'<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title> {title} </dc:title></metadata>'
        f"<manifest>{items}</manifest><spine>{spine}</spine></package>"
    )


def item(number: int, href: str, *, kind: str = "application/xhtml+xml", properties: str = "") -> str:
    return f'<item id="i{number}" href="{href}" media-type="{kind}" properties="{properties}"/>'


def spine(*numbers: int) -> str:
    return "".join(f'<itemref idref="i{number}"/>' for number in numbers)


BOOK = {
    "mimetype": "application/epub+zip",
    "META-INF/container.xml": CONTAINER,
    "OEBPS/book.opf": package(
        item(1, "text/one%20page.xhtml")
        + item(2, "text/two.xhtml")
        + item(3, "nav.xhtml", properties="nav")
        + item(4, "cover.jpg", kind="image/jpeg"),
        spine(3, 2, 1, 4, 2, 9),
    ),
    "OEBPS/nav.xhtml": PAGE.format("<nav><ol><li>Contents</li></ol></nav><p>Contents</p>"),
    "OEBPS/text/one page.xhtml": PAGE.format("<h2>After</h2><p>The caf&eacute; closed.</p>"),
    "OEBPS/text/two.xhtml": PAGE.format('<h2>Before</h2><p><a id="p1"/>The mill <span/>opened.</p><p>It ran.</p>'),
    "OEBPS/cover.jpg": "no picture",
}


def book(files: Mapping[str, str | None]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in ({**BOOK, **files}).items():
            if text is not None:
                archive.writestr(name, text)
    return buffer.getvalue()
