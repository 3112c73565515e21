"""HTML, through lxml's forgiving parser: what a reader sees of the page, without its navigation."""

from typing import Any

from publicai_edge.errors import DocumentError
from publicai_edge.knowledge.blocks import Block, Extracted, block, first_heading, one_line, table
from publicai_edge.knowledge.extract.encoding import charset_in_html, decode

# fmt: off
_SKIPPED = frozenset({
    "head", "script", "style", "template", "noscript", "nav", "svg", "math", "iframe", "object",
    "embed", "audio", "video", "canvas", "select", "textarea", "datalist", "dialog",
})
# fmt: on
# What MediaWiki puts around an article's text: links to edit it, boxes of links to other articles.
_AROUND = frozenset({"mw-editsection", "mw-jump-link", "navbox"})
_LISTS = frozenset({"ul", "ol"})
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
# fmt: off
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "details", "div", "dd", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "header", "hgroup", "hr", "html", "li",
    "main", "ol", "p", "pre", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead",
    "tr", "ul",
})
# fmt: on


def extract(data: bytes, name: str) -> Extracted:
    """Read an HTML file; its title is its first ``h1``, or else its ``title`` element."""
    text, warnings = decode(data, charset_in_html(data))
    root = _parse(text)
    if root is None:
        raise DocumentError("it holds no HTML elements")
    blocks = _walk(root)
    top = next((item.text for item in blocks if item.kind == "heading" and item.level == 1), None)
    titles = [one_line(element.text_content()) for element in root.iter("title")]
    title = top or next(filter(None, titles), None) or first_heading(blocks)
    return Extracted(title, tuple(blocks), warnings)


def blocks_of(fragment: str) -> list[Block]:
    """Return the blocks of a piece of HTML inside another format."""
    root = _parse(fragment)
    return [] if root is None else _walk(root)


def _parse(text: str) -> Any:
    from lxml import etree
    from lxml import html as lxml_html

    if not text.strip():
        return None
    # Bytes, since lxml refuses text that still carries an XML encoding declaration.
    parser = lxml_html.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True)
    try:
        return lxml_html.document_fromstring(text.encode("utf-8", "replace"), parser=parser)
    except etree.ParserError:
        return None  # only comments, or nothing at all


def _walk(element: Any) -> list[Block]:
    """Return the blocks under ``element``; text between block elements becomes a paragraph of its own."""
    blocks: list[Block] = []
    loose: list[str] = [element.text or ""]

    def settle() -> None:
        blocks.extend(block("paragraph", "".join(loose)))
        loose.clear()

    for child in element:
        tag = child.tag if isinstance(child.tag, str) else ""
        if tag in _BLOCKS or tag in _HEADINGS:
            settle()
            blocks += _block_element(child, tag)
        elif not _is_hidden(child, tag):
            if tag == "br":
                loose.append(" ")
            elif any(isinstance(item.tag, str) and item.tag in _BLOCKS for item in child.iter()):
                settle()
                blocks += _walk(child)  # an inline element around blocks
            else:
                loose.append(_inline_text(child, tag))
        loose.append(child.tail or "")
    settle()
    return blocks


def _block_element(element: Any, tag: str) -> list[Block]:
    if _is_hidden(element, tag):
        return []
    if tag in _HEADINGS:
        return block("heading", _visible_text(element), level=_HEADINGS[tag])
    if tag in _LISTS and any(True for _ in element.iterdescendants("li")):
        return block("list", "\n".join(f"- {item}" for item in _items(element)))
    if tag == "table" and not any(True for _ in element.iterdescendants("table")):
        rows = [[_visible_text(cell) for cell in row.iter("td", "th")] for row in element.iter("tr")]
        has_header = any(True for row in list(element.iter("tr"))[:1] for _ in row.iter("th"))
        captions = [_visible_text(caption) for caption in element.iter("caption")]
        return block("paragraph", " ".join(captions)) + table(rows, has_header=has_header)
    return _walk(element)


def _is_hidden(element: Any, tag: str) -> bool:
    style = (element.get("style") or "").replace(" ", "").lower()
    return (
        tag in _SKIPPED
        or element.get("hidden", "until-found").lower() != "until-found"  # a folded answer is found by a search
        or (tag == "button" and (element.get("type") or "").lower() in {"submit", "reset"})
        or element.get("aria-hidden") == "true"
        or "display:none" in style
        or _is_around(tag, element.get("class"))
    )


def _is_around(tag: str, classes: str | None) -> bool:
    """Say whether an element is what MediaWiki puts around text: also a note's number, "[3]", like a passage's own."""
    if not classes:
        return False
    names = classes.split()
    return not _AROUND.isdisjoint(names) or (tag == "sup" and "reference" in names)


def _items(element: Any) -> list[str]:
    """Return the items of a list and of the lists in it."""
    items = (one_line(_visible_text(item, lists=False)) for item in element.iter("li") if not _is_hidden(item, "li"))
    return [item for item in items if item]


def _visible_text(element: Any, *, lists: bool = True) -> str:
    """Return an element's text; without ``lists`` where those inside it are told apart from it."""
    out = [element.text or ""]
    for child in element:
        tag = child.tag if isinstance(child.tag, str) else ""
        if tag == "img":
            out.append(child.get("alt") or "")
        elif tag == "br":
            out.append(" ")
        elif tag and not _is_hidden(child, tag) and (lists or tag not in _LISTS):
            out.append(_inline_text(child, tag, lists=lists))
        out.append(child.tail or "")
    return "".join(out)


def _inline_text(element: Any, tag: str, *, lists: bool = True) -> str:
    """Return the text of an element as a part of a line, apart from its neighbours where a page shows it so."""
    if tag in _LISTS and (items := _items(element)):
        return f" {'; '.join(items)} "
    text = _visible_text(element, lists=lists)
    return f" {text} " if tag in _BLOCKS or tag in _HEADINGS or tag == "button" else text
