"""A ZIM file as the kiosk's documents: its own index finds articles, and their passages are ranked as all others are.

Nothing of an archive is indexed anew. Its index names a few articles for a question; these are cut into passages when
they are asked for, and of their passages those with most of the question's words, and each article's first, are
compared by meaning. A passage's score is what :mod:`publicai_edge.search.base` says, and so is what counts as an
answer; how rare a word is, the archive's index tells.

Kept in memory, and nowhere else: passages of the articles used last, and vectors of passages; never a question, nor its
vector. A vector costs some milliseconds, so one question may bring :data:`MOST_VECTORS` new ones.
"""

import re
import unicodedata
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from publicai_edge.knowledge.zim.archive import MOST_PASSAGES
from publicai_edge.knowledge.zim.reader import Limits, ZimReader
from publicai_edge.search import Hit, Passage, terms
from publicai_edge.search.base import Candidates, is_strong
from publicai_edge.search.combined import bm25

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from publicai_edge.engine.embedder import Embedder

MOST_ARTICLES = 6
MOST_VECTORS = 16
_KEPT_ARTICLES = 64
_KEPT_VECTORS = 4096
_MARKS = re.compile("[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670]")

T = TypeVar("T")


class ZimLibrary:
    """A ZIM file that is searched; see :class:`publicai_edge.kiosk.library.Documents`."""

    def __init__(self, name: str, reader: ZimReader, embedder: "Embedder", language: str = "") -> None:
        self._name = name
        self._language = language
        self._reader = reader
        self._embedder = embedder
        self._articles: _Kept[tuple[Passage, ...]] = _Kept(_KEPT_ARTICLES)
        self._vectors: _Kept[NDArray[np.float32]] = _Kept(_KEPT_VECTORS)

    @staticmethod
    def open(
        path: Path,
        name: str,
        embedder: "Embedder",
        passage_words: int,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        *,
        language: str = "",
    ) -> "ZimLibrary":
        """Open the archive at ``path``.

        Args:
            path: the file.
            name: what patrons call it ("Wikipedia"); it stands behind each article's title.
            embedder: the bundle's search model.
            passage_words: longest passage.
            limits: of the process that reads it.
            language: of its articles, as a primary language subtag; "" where it is not known.

        Raises:
            BundleError: it cannot be opened.
        """
        reader = ZimReader(path, passage_words, limits)
        reader.open()
        return ZimLibrary(name, reader, embedder, language)

    @property
    def pids(self) -> tuple[int, ...]:
        """The process that reads the archive, while it runs."""
        pid = self._reader.pid
        return () if pid is None else (pid,)

    def scrub(self) -> None:
        """Overwrite what the last questions left in the memory of that process."""
        self._reader.scrub()

    def close(self) -> None:
        """End the process that reads the archive."""
        self._reader.close()

    def sources(self) -> list[str]:
        """Return nothing: the articles of an encyclopedia are found, not listed."""
        return []

    def search(self, question: str, *, top: int, min_relevance: float, language: str = "") -> list[Hit]:
        """Return at most ``top`` passages that answer ``question``, best first; empty when none does.

        All are in one language, so ``language`` changes nothing here.

        Raises:
            BundleError: the archive cannot be read.
            EngineError: the search model does not run.
        """
        words = terms.question_terms(question)
        found = self._reader.search(words, MOST_ARTICLES) if words else None
        if not found or not found.paths:
            return []
        chosen = _chosen([self._article(path) for path in found.paths], found.weights)
        cosines = self._cosines(question, chosen)
        scores = Candidates((), bm25(chosen, found.weights), cosines).scores()
        by_id = {passage.id: passage for passage in chosen}
        hits = []
        for number, score in scores.items():
            if cosines[number] >= min_relevance or is_strong(by_id[number], found.weights):
                hits.append(Hit(by_id[number], score, cosines[number]))
        return hits[:top]

    def document(self, source: str) -> list[Passage]:
        """Return the passages of an article, whose ``source`` is the file's name and its path there."""
        name, _, path = source.partition("/")
        return list(self._article(path)) if name == self._reader.name and path else []

    def _article(self, path: str) -> tuple[Passage, ...]:
        return self._articles.get(path, lambda: self._read(path))

    def _read(self, path: str) -> tuple[Passage, ...]:
        found = self._reader.article(path)
        if found is None:
            return ()
        source = f"{self._reader.name}/{found.path}"
        first = (1 << 44) + zlib.crc32(source.encode("utf-8", "replace")) * 2 * MOST_PASSAGES  # beyond an index's ids
        return tuple(
            Passage(number, f"{found.title} ({self._name})", source, heading, None, text, self._language)
            for number, (heading, text) in enumerate(found.passages, first)
        )

    def _cosines(self, question: str, passages: Iterable[Passage]) -> dict[int, float]:
        asked = self._embedder.encode([question[: terms.MAX_QUESTION_CHARS]], "query")[0]
        return {passage.id: float(self._vector(passage) @ asked) for passage in passages}

    def _vector(self, passage: Passage) -> "NDArray[np.float32]":
        title = passage.document.removesuffix(f" ({self._name})")
        text = "\n".join(filter(None, (title, passage.heading, passage.text)))
        return self._vectors.get(f"{passage.source} {passage.id}", lambda: self._embedder.encode([text], "passage")[0])


class _Kept(Generic[T]):
    """What was used last, so many of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._items: OrderedDict[str, T] = OrderedDict()

    def get(self, key: str, make: Callable[[], T]) -> T:
        if key not in self._items:
            self._items[key] = make()
            if len(self._items) > self._most:
                self._items.popitem(last=False)
        self._items.move_to_end(key)
        return self._items[key]


def _chosen(articles: Sequence[Sequence[Passage]], weights: Mapping[str, float]) -> list[Passage]:
    """Return the passages worth comparing: each article's first, and those with most of the question's words.

    There may be thousands, so this looks for words as they are written, accents aside.
    """
    first = {article[0].id: article[0] for article in articles if article}
    weighing = [word for word, weight in weights.items() if weight > 0]
    if weighing:
        others = [passage for article in articles for passage in article[1:]]
        scored = [(_weight_in(_folded(passage), weighing, weights), passage) for passage in others]
        scored.sort(key=lambda item: -item[0])  # equal ones stay in the order of the articles and of reading
        first |= {passage.id: passage for score, passage in scored[: MOST_VECTORS - len(first)] if score > 0}
    return list(first.values())


def _weight_in(text: str, words: Sequence[str], weights: Mapping[str, float]) -> float:
    # Not by a pattern made of the words: Python keeps the last few hundred patterns.
    return sum(weights[word] for word in words if word in text)


def _folded(passage: Passage) -> str:
    text = unicodedata.normalize("NFKD", f"{passage.heading} {passage.text}".casefold())
    return unicodedata.normalize("NFC", _MARKS.sub("", text))
