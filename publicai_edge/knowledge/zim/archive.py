"""A ZIM file as libzim reads it: what its full-text index finds, and its articles as text. For child processes only.

libzim's index takes no alternatives: it finds the articles that hold all the words it is given, stemmed, and its stop
words excepted. People ask in sentences, of which no article holds every word. So the words are counted first, one by
one; then sets of them that articles hold are looked up, the heaviest first, until enough articles are found.

Invariants: the index is given only what :mod:`publicai_edge.search.terms` made, letters and digits between spaces, so
nothing that was typed is an operator; an article's size, its text and the look-ups for a question are bounded.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from publicai_edge.errors import DocumentError
from publicai_edge.knowledge.blocks import one_line
from publicai_edge.knowledge.extract import html
from publicai_edge.knowledge.passages import Draft, cut

MOST_ARTICLE_BYTES = 4 << 20
MOST_PASSAGES = 400
"""Most passages that are made of one article."""

_MOST_CHARACTERS = 2_000_000
_MOST_TERMS, _SEEDS = 8, 5  # so a question costs at most some hundred look-ups
_TRIED = 200
_MEANINGLESS = ["q" * length for length in (240, 120, 60)]  # Xapian looks up no word of more than 245 bytes
_PAGES = ("text/html", "application/xhtml+xml")


class ZimFile:
    """An opened archive."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            RuntimeError: libzim finds that it is no ZIM file, or that its structure is damaged.
        """
        from libzim.reader import Archive
        from libzim.search import Searcher

        self._archive = Archive(path)
        self._searcher = Searcher(self._archive)

    @property
    def has_index(self) -> bool:
        """Whether it brings a full-text index."""
        return bool(self._archive.has_fulltext_index)

    def is_whole(self) -> bool:
        """Compare the whole file with its own checksum; takes as long as reading it."""
        return bool(self._archive.has_checksum and self._archive.check())

    def facts(self) -> dict[str, Any]:
        """Return what it says about itself."""
        names = ("Title", "Language", "Date", "License")
        return {"articles": int(self._archive.article_count), **{name.lower(): self._metadata(name) for name in names}}

    def search(self, words: Sequence[str], most: int) -> tuple[dict[str, float], list[str]]:
        """Return the weight of each word, by how few articles hold it, and the paths of at most ``most`` articles."""
        weights, counts = self._weigh(words)
        held = sorted((word for word in words if weights[word] > 0 and counts[word]), key=lambda word: -weights[word])
        paths: dict[str, None] = {}
        for some in self._sets(held[:_MOST_TERMS], weights):
            paths |= dict.fromkeys(self._look_up(some).getResults(0, most))
            if len(paths) >= most:
                break
        return weights, list(paths)[:most]

    def article(self, path: str, passage_words: int) -> tuple[str, str, list[Draft]] | None:
        """Return the path, the title and the passages of an article; None where there is no text under ``path``."""
        try:
            item = self._archive.get_entry_by_path(path).get_item()
        except KeyError:
            return None
        if not item.mimetype.startswith(_PAGES) or not 0 < item.size <= MOST_ARTICLE_BYTES:
            return None
        try:
            extracted = html.extract(bytes(item.content), path)
        except DocumentError:
            return None
        title = one_line(item.title) or extracted.title or path
        return item.path, title, list(_bounded(cut(extracted, title, passage_words)))

    def forget(self) -> None:
        """Overwrite the last words that were looked up, which the index keeps in buffers of its own."""
        for word in _MEANINGLESS:
            self._count([word])

    def first_article(self) -> tuple[str, str, list[Draft]] | None:
        """Return the first article that holds text, of the first few entries; None where none of them does."""
        for number in range(min(_TRIED, int(self._archive.entry_count))):
            found = self.article(self._archive._get_entry_by_id(number).path, passage_words=_TRIED)
            if found and found[2]:
                return found
        return None

    def _sets(self, words: Sequence[str], weights: Mapping[str, float]) -> list[tuple[str, ...]]:
        """Return sets of these words, the heaviest first, of which an article holds all.

        Each begins with one of the heaviest, and takes in the next heaviest as long as an article holds them together.
        """
        found: dict[frozenset[str], tuple[str, ...]] = {}
        for seed in words[:_SEEDS]:
            some: tuple[str, ...] = ()
            for word in (seed, *words):
                longer = (*some, word)
                if word not in some and (frozenset(longer) in found or not some or self._count(longer)):
                    found[frozenset(longer)] = some = longer
        return sorted(found.values(), key=lambda some: -sum(weights[word] for word in some))

    def _weigh(self, words: Sequence[str]) -> tuple[dict[str, float], dict[str, int]]:
        """Return weights (inverse document frequency; 0 for what half of the articles hold) and counts of articles."""
        counts = {word: self._count([word]) for word in words}
        known = min((word for word in words if counts[word]), key=lambda word: counts[word], default=None)
        every = max(int(self._archive.article_count), 1, *counts.values())
        weights = {}
        for word, held in counts.items():
            # A stop word is in no article of its own, and takes none away from another word's.
            ignored = not held and known is not None and self._count([known, word]) > 0
            common = ignored or held * 2 > every
            weights[word] = 0.0 if common else math.log(1 + (every - held + 0.5) / (held + 0.5))
        return weights, counts

    def _count(self, words: Sequence[str]) -> int:
        return int(self._look_up(words).getEstimatedMatches())

    def _look_up(self, words: Sequence[str]) -> Any:
        from libzim.search import Query

        return self._searcher.search(Query().set_query(" ".join(words)))

    def _metadata(self, name: str) -> str:
        try:
            text = bytes(self._archive.get_metadata(name)).decode("utf-8", "replace")
        except (KeyError, RuntimeError):
            return ""
        return one_line(text[:200])


def _bounded(drafts: Iterator[Draft]) -> Iterator[Draft]:
    characters = 0
    for draft in islice(drafts, MOST_PASSAGES):
        characters += len(draft.heading) + len(draft.text)
        if characters > _MOST_CHARACTERS:
            return
        yield draft
