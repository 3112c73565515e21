"""A small document of every format that staff may add: what a finished runtime is given to read."""

import io
import zipfile
import zlib
from collections.abc import Mapping

SENTENCE = "Residents get a parking permit at counter seven."
"""What each of them says."""
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MAIN = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
_DOCX = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels" '
    'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/word/document.xml" ContentType="{_MAIN}"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="main" '
    f'Type="{_OFFICE}/officeDocument" Target="word/document.xml"/></Relationships>',
    "word/document.xml": f'<w:document xmlns:w="{_WORD}"><w:body><w:p><w:r><w:t>{SENTENCE}</w:t></w:r></w:p>'
    "</w:body></w:document>",
}
_HTML = f'<html xmlns="http://www.w3.org/1999/xhtml"><body><p>{SENTENCE}</p></body></html>'
_EPUB = {
    "mimetype": "application/epub+zip",
    "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>',
    "book.opf": '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><manifest>'
    '<item id="page" href="page.xhtml" media-type="application/xhtml+xml"/></manifest>'
    '<spine><itemref idref="page"/></spine></package>',
    "page.xhtml": _HTML,
}


def documents() -> dict[str, bytes]:
    """Return the documents by file name."""
    return {
        "sample.txt": SENTENCE.encode(),
        "sample.md": f"# Permits\n\n{SENTENCE}\n".encode(),
        "sample.html": _HTML.encode(),
        "sample.pdf": _pdf(),
        "sample.docx": _zip(_DOCX),
        "sample.epub": _zip(_EPUB),
    }


def _zip(files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def _pdf() -> bytes:
    """Return one page of PDF 1.4 (ISO 32000-1, 7.5) with its text compressed."""
    text = zlib.compress(f"BT /F 12 Tf 72 700 Td ({SENTENCE}) Tj ET".encode())
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>",
        b"<</Filter/FlateDecode/Length %d>>stream\n%s\nendstream" % (len(text), text),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    out, places = bytearray(b"%PDF-1.4\n"), []
    for number, content in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    entries = b"".join(b"%010d 00000 n \n" % place for place in places)
    table, count = len(out), len(objects) + 1
    out += b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<</Size %d/Root 1 0 R>>\n" % (count, entries, count)
    return bytes(out + b"startxref\n%d\n%%%%EOF\n" % table)
