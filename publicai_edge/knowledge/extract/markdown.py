"""Markdown (CommonMark with tables), through markdown-it-py."""

import re
from typing import TYPE_CHECKING

from publicai_edge.knowledge.blocks import Block, Extracted, block, first_heading, table
from publicai_edge.knowledge.extract import html
from publicai_edge.knowledge.extract.encoding import decode

if TYPE_CHECKING:
    from markdown_it.token import Token

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.{0,20000}?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title:[ \t]*[\"']?(.+?)[\"']?[ \t]*$", re.MULTILINE)


def extract(data: bytes, name: str) -> Extracted:
    """Read a Markdown file; its title is the front matter's, or its first heading."""
    from markdown_it import MarkdownIt

    text, warnings = decode(data)
    text = text.replace("\r\n", "\n")
    title = None
    if front := _FRONT_MATTER.match(text):
        text = text[front.end() :]
        if found := _FRONT_TITLE.search(front[1]):
            title = found[1]
    blocks = _walk(MarkdownIt("commonmark").enable("table").parse(text))
    return Extracted(title or first_heading(blocks), tuple(blocks), warnings)


def _walk(tokens: "list[Token]") -> list[Block]:
    blocks: list[Block] = []
    position = 0
    while position < len(tokens):
        token = tokens[position]
        end = position
        match token.type:
            case "heading_open":
                blocks += block("heading", _inline(tokens[position + 1]), level=int(token.tag[1:]))
                end = position + 2
            case "bullet_list_open" | "ordered_list_open":
                end = _closing(tokens, position)
                blocks += block("list", "\n".join(_items(tokens[position:end])))
            case "table_open":
                end = _closing(tokens, position)
                blocks += table(_rows(tokens[position:end]), has_header=True)
            case "inline":
                blocks += block("paragraph", _inline(token))
            case "fence" | "code_block":
                blocks += block("paragraph", token.content)
            case "html_block":
                blocks += html.blocks_of(token.content)
        position = end + 1
    return blocks


def _closing(tokens: "list[Token]", start: int) -> int:
    """Return where the container opened at ``start`` is closed."""
    level = tokens[start].level
    wanted = tokens[start].type.replace("_open", "_close")
    for position in range(start + 1, len(tokens)):
        if tokens[position].level == level and tokens[position].type == wanted:
            return position
    return len(tokens) - 1


def _items(tokens: "list[Token]") -> list[str]:
    items: list[str] = []
    fresh = False
    for token in tokens:
        if token.type == "list_item_open":
            fresh = True
        elif token.type in {"inline", "fence", "code_block"}:
            text = _inline(token) if token.type == "inline" else token.content
            text = " ".join(text.split())
            if fresh or not items:
                items.append("- " + text)
            else:
                items[-1] += " " + text
            fresh = False
    return items


def _rows(tokens: "list[Token]") -> list[list[str]]:
    rows: list[list[str]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and rows:
            rows[-1].append(_inline(token))
    return rows


def _inline(token: "Token") -> str:
    out = []
    for child in token.children or ():
        if child.type in {"text", "code_inline", "image"}:
            out.append(child.content)  # an image's content is its description
        elif child.type in {"softbreak", "hardbreak"} or (
            child.type == "html_inline" and child.content.lower().startswith("<br")
        ):
            out.append(" ")
    return "".join(out)
