"""Whether two documents share a long passage, in any script.

A text is compared as the sequence of its words, or of its letters in scripts that put no space between words: a
shingle is some consecutive ones of these (Broder 1997). Two documents share a passage when

- a run of :data:`RUN` words (or :data:`RUN_LETTERS` letters) of one stands in the other, or
- the whole of the shorter one does, when it is at least a shingle long, or
- at least half of the shorter one's shingles, and as many as such a run has, stand in the other: a copy with changes.

The bounds were set on the 532 translations of the Universal Declaration, a legal text full of formulas. Between two
of its articles, formulas reach 17 words, or 37 letters; the next longer ones, from 25 words or 69 letters, are articles
that a declaration holds twice by mistake. A test over all of them keeps that true.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from publicai_edge.corpus.documents import Document

RUN = 24
RUN_LETTERS = 48
_SHINGLE = 8
_SHINGLE_LETTERS = 16
_SHARE = 0.5
_SHOWN = 12

# Thai, Lao, Tai, Myanmar, Khmer, Balinese, Javanese; kana, Han, Yi: scripts with no space between words.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u1b00-\u1b7f\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u9fff\ua000-\ua4cf\ua980-\ua9ff\uaa60-\uaadf\uf900-\ufaff\U00020000-\U0003ffff"
)
_TOKEN = re.compile(f"[{_UNSPACED}]|[^{_UNSPACED}\\s]+")
_LETTER = re.compile(f"[{_UNSPACED}]")


class _Plain(dict[int, str]):
    """A table for ``str.translate``: letters and digits stay, the marks on them too, anything else is a space.

    Marks go where :data:`_LETTER` matches: there they would count as letters of their own.
    """

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        kind = unicodedata.category(letter)[0]
        drop = kind == "M" and _LETTER.match(letter)
        self[code] = "" if drop else letter if kind in "LMN" else " "
        return self[code]


_PLAIN = _Plain()


class Text(NamedTuple):
    """A document as it is compared: its words or letters, the hashes of its shingles, and how long these are."""

    tokens: list[str]
    shingles: list[int]
    unique: frozenset[int]
    width: int

    @property
    def run(self) -> int:
        """Shingles in a row that the shortest passage has."""
        return (RUN if self.width == _SHINGLE else RUN_LETTERS) - self.width + 1


@dataclass(frozen=True)
class Shared:
    """Two documents that share a passage, and how it begins."""

    first: Document
    second: Document
    passage: str


def text_of(text: str) -> Text:
    """Return a text as it is compared with others."""
    tokens = _TOKEN.findall(unicodedata.normalize("NFKC", text).casefold().translate(_PLAIN))
    letters = sum(1 for token in tokens if _LETTER.match(token))
    width = _SHINGLE_LETTERS if letters * 2 > len(tokens) else _SHINGLE
    shingles = [hash(tuple(tokens[at : at + width])) for at in range(len(tokens) - width + 1)]
    return Text(tokens, shingles, frozenset(shingles), width)


def shared_between(left: Iterable[Document], right: Iterable[Document]) -> Shared | None:
    """Return a pair of a document of each side that share a passage, or None if there is none."""
    ours = [(document, text_of(document.text)) for document in left]
    theirs = [(document, text_of(document.text)) for document in right]
    common = _union(ours) & _union(theirs)
    holders: dict[int, list[int]] = {}
    for number, (_, text) in enumerate(ours):
        for shingle in text.unique & common:
            holders.setdefault(shingle, []).append(number)
    for document, text in theirs:
        for number in sorted({number for shingle in text.unique & common for number in holders[shingle]}):
            other, other_text = ours[number]
            if passage := passage_shared(text, other_text):
                return Shared(other, document, passage)
    return None


def links(documents: Sequence[Document]) -> Iterator[tuple[int, int]]:
    """Yield pairs of places of documents that share a passage: enough to link what belongs together, not every pair.

    Each document is compared with those that were the first to hold one of its shingles.
    """
    first: dict[int, int] = {}
    texts: list[Text] = []
    for number, document in enumerate(documents):
        text = text_of(document.text)
        texts.append(text)
        for other in sorted({first[shingle] for shingle in text.unique if shingle in first}):
            if passage_shared(text, texts[other]):
                yield other, number
        for shingle in text.unique:
            first.setdefault(shingle, number)


def passage_shared(one: Text, two: Text) -> str | None:
    """Return how the passage that two texts share begins, or None when they share none."""
    if one.width != two.width:
        return None
    short, long = (one, two) if len(one.shingles) <= len(two.shingles) else (two, one)
    common = short.unique & long.unique
    enough = min(short.run, len(short.shingles))
    if not common or sum(shingle in common for shingle in short.shingles) < enough:
        return None
    start, length = _longest_run(short.shingles, long.shingles, common)
    copied = len(common) >= short.run and len(common) >= _SHARE * len(short.unique)
    if length < enough and not copied:
        return None
    joint, shown = (" ", _SHOWN) if short.width == _SHINGLE else ("", 2 * _SHOWN)
    return joint.join(short.tokens[start : start + min(shown, length + short.width - 1)])


def _union(side: Iterable[tuple[Document, Text]]) -> set[int]:
    return {shingle for _, text in side for shingle in text.unique}


def _longest_run(short: list[int], long: list[int], common: frozenset[int]) -> tuple[int, int]:
    """Return where in ``short`` the longest run of shingles begins that stands in ``long`` in the same order."""
    places: dict[int, list[int]] = {}
    for at, shingle in enumerate(long):
        if shingle in common:
            places.setdefault(shingle, []).append(at)
    best = (0, 0)
    before: dict[int, int] = {}  # length of the run that ends at a place of ``long``
    for at, shingle in enumerate(short):
        now = {place: before.get(place - 1, 0) + 1 for place in places.get(shingle, ())}
        length = max(now.values(), default=0)
        if length > best[1]:
            best = (at - length + 1, length)
        before = now
    return best
