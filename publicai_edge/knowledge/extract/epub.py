"""Books in EPUB (W3C, EPUB 3.3; and EPUB 2): the pages of the spine in their order, each read as HTML.

Invariant: nothing but members of the archive is read; what a book refers to outside itself is left alone.
"""

import io
import posixpath
import re
from typing import Any
from urllib.parse import unquote

from publicai_edge import archives
from publicai_edge.archives.zip import ZipArchive
from publicai_edge.errors import DocumentError
from publicai_edge.knowledge.blocks import Block, Extracted, first_heading, one_line
from publicai_edge.knowledge.extract.encoding import charset_in_html, decode
from publicai_edge.knowledge.extract.html import blocks_of

_MAX_UNPACKED_BYTES = 300 << 20  # pages alone; pictures are never unpacked
_LIMITS = archives.Limits(members=50_000, ratio=2_000)
_CONTAINER, _ENCRYPTION = "META-INF/container.xml", "META-INF/encryption.xml"
_PAGES = frozenset(["application/xhtml+xml", "text/html", "text/x-oeb1-document"])
# Fonts are scrambled by these two so that they are no font files any more; the text stays readable.
_FONTS = frozenset(["http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"])
# XHTML closes any element that is empty like this; a parser of HTML takes "<title/>" for one that goes on and on.
_CLOSED = re.compile(r"<([A-Za-z][\w.-]*)((?:\s[^<>]*)?)/>")
_VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]
)


def extract(data: bytes, name: str) -> Extracted:
    """Read an .epub; its title is its metadata's, or its first heading."""
    try:
        with archives.opened_zip(io.BytesIO(data), len(data), _LIMITS) as archive:
            return _book(archive)
    except ValueError as error:
        raise DocumentError(f"it is damaged, or not an .epub file: {error}") from error


def _book(archive: ZipArchive) -> Extracted:
    sizes = {member.name: member.size for member in archive.members if member.kind == "file"}
    if _CONTAINER not in sizes:
        raise DocumentError(f"it is damaged, or not an .epub file: it has no {_CONTAINER}")
    _check_protection(archive, sizes)
    package_name = _package_name(archive, sizes)
    package = _xml(archive, package_name, sizes)
    pages = _pages(package, posixpath.dirname(package_name))
    if missing := [page for page in pages if page not in sizes]:
        raise DocumentError(f"it is damaged: its page {missing[0][:120]!r} is missing")
    if sum(sizes[page] for page in pages) > _MAX_UNPACKED_BYTES:
        raise DocumentError("it unpacks to more than a document holds")
    blocks: list[Block] = []
    warnings: dict[str, None] = {}
    for page in pages:
        content = _content(archive, page, sizes)
        text, found = decode(content, charset_in_html(content))
        blocks += blocks_of(_CLOSED.sub(_opened, text))
        warnings |= dict.fromkeys(found)
    titles = (one_line("".join(item.itertext())) for item in package.iterfind(".//{*}metadata/{*}title"))
    return Extracted(next(filter(None, titles), None) or first_heading(blocks), tuple(blocks), tuple(warnings))


def _check_protection(archive: ZipArchive, sizes: dict[str, int]) -> None:
    if _ENCRYPTION not in sizes:
        return
    used = {item.get("Algorithm", "") for item in _xml(archive, _ENCRYPTION, sizes).iter("{*}EncryptionMethod")}
    if used - _FONTS:
        raise DocumentError("it is copy-protected (DRM); ask its publisher for a file without it")


def _package_name(archive: ZipArchive, sizes: dict[str, int]) -> str:
    for item in _xml(archive, _CONTAINER, sizes).iter("{*}rootfile"):
        if (path := item.get("full-path", "")) in sizes:
            return str(path)
    raise DocumentError("it is damaged: the list of its pages is missing")


def _pages(package: Any, folder: str) -> list[str]:
    """Return the names of the pages in reading order, each once, without the table of contents."""
    items = {item.get("id"): item for item in package.iterfind(".//{*}manifest/{*}item")}
    pages: dict[str, None] = {}
    for reference in package.iterfind(".//{*}spine/{*}itemref"):
        item = items.get(reference.get("idref"))
        if item is None or item.get("media-type") not in _PAGES or "nav" in item.get("properties", "").split():
            continue
        place = unquote(item.get("href", "").partition("#")[0])
        pages[posixpath.normpath(posixpath.join(folder, place))] = None
    return list(pages)


def _xml(archive: ZipArchive, name: str, sizes: dict[str, int]) -> Any:
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True, remove_comments=True)
    try:
        return etree.fromstring(_content(archive, name, sizes), parser)
    except etree.XMLSyntaxError as error:
        raise DocumentError(f"it is damaged: {name[:120]} is not XML ({error.msg})") from error


def _content(archive: ZipArchive, name: str, sizes: dict[str, int]) -> bytes:
    with archive.open(name) as stream:
        content = stream.read()
    if len(content) != sizes[name]:
        raise DocumentError(f"it is damaged: {name[:120]!r} does not have the size that is stated")
    return content


def _opened(found: "re.Match[str]") -> str:
    tag, rest = found[1], found[2]
    return found[0] if tag.lower() in _VOID else f"<{tag}{rest}></{tag}>"
