"""A library of 100,000 passages of real text, from packages of Debian that do not change any more.

The Debian FAQ, the Universal Declaration of Human Rights in four languages, the Debian Administrator's Handbook in
three, the manual of GIMP, the Free On-line Dictionary of Computing, and then the Collaborative International Dictionary
of English (Webster 1913 and additions), an entry a section, as many as are needed; entries of fewer than 20 words are
left out, as is every paragraph that was there before. So it is more than half a dictionary: its passages are shorter
than a library's rules are, 64 words on average, and its words rarer.
"""

import gzip
import html
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks import material
from publicai_edge.knowledge.blocks import Block, Extracted
from publicai_edge.knowledge.extract import extract

PASSAGES = 100_000
LANGUAGES = ("en", "es", "ar", "sw")
PACKAGES = {
    "debian-faq": ("11.1", "427426e0cfa6888622fc1d72631071cb4b5a1f86ccde722e7820bcef284de5d0"),
    "debian-handbook": ("11.20220922", "3d5dbeac1f1afc9c094eab9d0f701f6ecff99c4927d5a4794cf6c85678134faa"),
    "gimp-help-en": ("2.10.34-2", "a2deec76763aaf2fcdd197bac0736cdcb0770ba993d48d233329e1c92b0bfe36"),
    "dict-foldoc": ("20230119-1", "745cbedb55c2da609cc88ee0284e9d11a67a11ae3709daf7bad0e895ac3294c3"),
    "dict-gcide": ("0.48.5+nmu2", "7b0af5cfde3cbdef5e9d6e78f92ec335ced7c2790f37a40f49bebc6f7347ac0f"),
}
_HANDBOOK = ("en-US", "es-ES", "ar-MA")
_LIMIT = 20_000_000
_ENTRIES, _LEAST_WORDS = 500, 20
_DIGITS = {char: value for value, char in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")}


def documents() -> Iterator[tuple[str, Extracted]] | None:
    """Yield documents by name, more than are needed; None where apt has not all of the packages."""
    folders = {name: material.debian_package(name, *pinned) for name, pinned in PACKAGES.items()}
    found = {name: folder / "usr/share" for name, folder in folders.items() if folder}
    return _distinct(_documents(found)) if len(found) == len(PACKAGES) else None


def _distinct(found: Iterator[tuple[str, Extracted]]) -> Iterator[tuple[str, Extracted]]:
    """Leave out every paragraph that was there before: what translators left in English, and lines of navigation."""
    seen: set[str] = set()
    for name, document in found:
        blocks = tuple(block for block in document.blocks if block.kind == "heading" or block.text not in seen)
        seen.update(block.text for block in blocks if block.kind != "heading")
        if any(block.kind != "heading" for block in blocks):
            yield name, replace(document, blocks=blocks)


def _documents(folders: dict[str, Path]) -> Iterator[tuple[str, Extracted]]:
    yield from _pages("faq", folders["debian-faq"] / "doc/debian/FAQ", "*.en.html")
    for language in LANGUAGES:
        yield f"declaration/{language}", _declaration(language)
    for language in _HANDBOOK:
        folder = folders["debian-handbook"] / "doc/debian-handbook/html" / language
        yield from _pages(f"handbook/{language}", folder, "*.html")
    yield from _pages("gimp", folders["gimp-help-en"] / "gimp/2.0/help/en", "*.html")
    yield from _dictionary(folders["dict-foldoc"] / "dictd", "foldoc", "The Free On-line Dictionary of Computing")
    yield from _dictionary(
        folders["dict-gcide"] / "dictd", "gcide", "Collaborative International Dictionary of English"
    )


def _pages(name: str, folder: Path, pattern: str) -> Iterator[tuple[str, Extracted]]:
    for path in sorted(folder.glob(pattern)):
        if not path.name.startswith("index."):
            yield f"{name}/{path.name}", extract(path, path.name, _LIMIT, _LIMIT)


def _declaration(language: str) -> Extracted:
    blocks = []
    for document in material.declaration([language]).documents:
        blocks.append(Block("heading", document.id.rpartition("-")[2], 2))
        blocks.append(Block("paragraph", document.text))
    return Extracted("Universal Declaration of Human Rights", tuple(blocks))


def _dictionary(folder: Path, name: str, title: str) -> Iterator[tuple[str, Extracted]]:
    """Yield a dictionary of dictd's form, so many entries a document."""
    data = gzip.decompress((folder / f"{name}.dict.dz").read_bytes())
    places: dict[tuple[int, int], str] = {}
    for line in (folder / f"{name}.index").read_text("utf-8").splitlines():
        word, start, length, *_ = line.split("\t")
        if not word.startswith(("00database", "00-database")):
            places.setdefault((_number(start), _number(length)), word)
    blocks: list[Block] = []
    number = 0
    for (start, length), word in sorted(places.items()):
        text = " ".join(html.unescape(data[start : start + length].decode("utf-8", "replace")).split())
        if len(text.split()) < _LEAST_WORDS:
            continue
        blocks += [Block("heading", word, 2), Block("paragraph", text)]
        if len(blocks) == 2 * _ENTRIES:
            yield f"{name}/{number:03}", Extracted(title, tuple(blocks))
            blocks, number = [], number + 1


def _number(digits: str) -> int:
    value = 0
    for digit in digits:
        value = value * 64 + _DIGITS[digit]
    return value
