"""Several indexes searched as one: a bundle's documents, and those that staff added to it.

Invariants: every passage is weighed by the same measure, whichever index it is in; a passage's id and a document's
source name one thing only; a document that is hidden is neither found nor opened.

Cosines of two indexes compare as they are: one search model made them all. BM25 does not: it depends on how many
passages of *its* index hold a term, and in an index of one added document the very word that it is about is in every
passage and weighs nothing. So terms are counted over all indexes together, the candidates of both are chosen by those
weights, and BM25 of the candidates is computed here (as search/postings.py does for one index, but the average length
is that of the candidates, since all passages are cut to one measure). Then
:class:`publicai_edge.search.base.Candidates` weighs words and meaning as it does for one index. With nothing added and
nothing hidden, the bundle's own index answers alone.
"""

import threading
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from publicai_edge.engine.embedder import Embedder, Kind, Vectors
from publicai_edge.search import database, terms
from publicai_edge.search.base import Candidates, Hit, KnowledgeBase, Passage, is_strong
from publicai_edge.search.postings import HEADING, K1, B, weight
from publicai_edge.search.preference import preferred

GENERATION = 1 << 24
"""Ids of added passages are apart from the bundle's, and from those of an earlier index of additions."""


@dataclass(frozen=True)
class Shown:
    """What is searched beside the bundle.

    Attributes:
        added: the index of the additions, where there is one.
        generation: its number, from 1; each new index has a higher one.
        hidden: sources, of the bundle and of ``added``, that are not shown.
    """

    added: KnowledgeBase | None = None
    generation: int = 0
    hidden: frozenset[str] = frozenset()


class LastVector:
    """An embedding model that remembers its last question: each index asks it the same one."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._last: tuple[tuple[str, ...], Kind, Vectors] | None = None

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._embedder.dim

    @property
    def fingerprint(self) -> str:
        """Digest of everything that decides a text's vector."""
        return self._embedder.fingerprint

    def encode(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """Return one unit vector a text."""
        last = self._last
        if last and last[:2] == (tuple(texts), kind):
            return last[2]
        found = self._embedder.encode(texts, kind)
        self._last = (tuple(texts), kind, found)
        return found

    def forget(self) -> None:
        """Drop the question."""
        self._last = None


class CombinedBase:
    """A bundle's documents and the additions, behind the interface of one :class:`KnowledgeBase`."""

    def __init__(self, bundle: KnowledgeBase, embedder: LastVector) -> None:
        self._bundle = bundle
        self._embedder = embedder
        self._shown = Shown()
        self._lock = threading.Lock()  # nothing is exchanged while a search is under way

    @property
    def shown(self) -> Shown:
        """What is searched beside the bundle."""
        return self._shown

    def show(self, shown: Shown) -> None:
        """Search this from now on; an index that is no longer among it is closed."""
        with self._lock:
            before, self._shown = self._shown, shown
        if before.added and before.added is not shown.added:
            before.added.close()

    def search(self, question: str, *, top: int, min_relevance: float, language: str = "") -> list[Hit]:
        """Return at most ``top`` passages that answer ``question``, best first; empty when none does.

        Passages in ``language`` come before others that are about as good.

        Raises:
            BundleError: an index turns out to be damaged.
            EngineError: the embedding model does not run.
        """
        with self._lock:
            shown = self._shown
            try:
                if shown.added is None and not shown.hidden:
                    return self._bundle.search(question, top=top, min_relevance=min_relevance, language=language)
                return self._search(shown, question, top, min_relevance, language) if question.strip() else []
            finally:
                self._embedder.forget()

    def document(self, source: str) -> list[Passage]:
        """Return a document's passages in reading order; empty when there is none, or it is hidden."""
        with self._lock:
            shown = self._shown
            if source in shown.hidden:
                return []
            if shown.added and (found := shown.added.document(source)):
                return [_numbered(passage, shown.generation) for passage in found]
            return self._bundle.document(source)

    def sources(self) -> list[str]:
        """Return the documents there are, by their sources; not those that are hidden."""
        with self._lock:
            shown = self._shown
            found = [*self._bundle.sources(), *(shown.added.sources() if shown.added else ())]
        return [source for source in found if source not in shown.hidden]

    def close(self) -> None:
        """Close all of it."""
        self.show(Shown())
        self._bundle.close()

    def _search(self, shown: Shown, question: str, top: int, min_relevance: float, language: str) -> list[Hit]:
        bases = [(self._bundle, 0)] + ([(shown.added, shown.generation)] if shown.added else [])
        weights = _weights([base for base, _ in bases], terms.question_terms(question))
        passages: dict[int, Passage] = {}
        cosines: dict[int, float] = {}
        for base, generation in bases:
            for number, cosine in base.candidates(question, weights).cosines.items():
                passage = _numbered(base.passage(number), generation)
                if passage.source not in shown.hidden:
                    passages[passage.id], cosines[passage.id] = passage, cosine
        words = {number: score for number, score in bm25(passages.values(), weights).items() if score > 0}
        first = preferred({number: passage.language for number, passage in passages.items()}, language)
        hits = []
        for number, score in Candidates((), words, cosines, preferred=first).scores().items():
            if cosines[number] >= min_relevance or is_strong(passages[number], weights):
                hits.append(Hit(passages[number], score, cosines[number]))
            if len(hits) == top:
                break
        return hits


def bm25(passages: Collection[Passage], weights: Mapping[str, float]) -> dict[int, float]:
    """Return the BM25 of each passage, by id, for terms with these weights; title and headings count double."""
    counts: dict[int, Counter[str]] = {}
    lengths: dict[int, int] = {}
    for passage in passages:
        heading, text = terms.terms(f"{passage.document} {passage.heading}"), terms.terms(passage.text)
        found = Counter(text)
        for term in heading:
            found[term] += HEADING
        counts[passage.id], lengths[passage.id] = found, len(heading) + len(text)
    average = sum(lengths.values()) / max(1, len(lengths)) or 1.0
    scores = {}
    for number, found in counts.items():
        around = K1 * (1 - B + B * lengths[number] / average)
        scores[number] = sum(
            value * found[term] * (K1 + 1) / (found[term] + around) for term, value in weights.items() if term in found
        )
    return scores


def _weights(bases: Sequence[KnowledgeBase], words: Sequence[str]) -> dict[str, float]:
    """Return each term's inverse document frequency over all passages there are."""
    held: Counter[str] = Counter(dict.fromkeys(words, 0))
    for base in bases:
        held.update(base.held(words))
    count = sum(len(base) for base in bases)
    return {word: weight(held[word], count) for word in words}


def _numbered(passage: Passage, generation: int) -> Passage:
    return replace(passage, id=generation * GENERATION + passage.id)


@dataclass(frozen=True)
class Listed:
    """A document of an index: its source, its title, how many passages it has."""

    source: str
    title: str
    passages: int


def listed(path: Path) -> list[Listed]:
    """Return the documents of an index, by title.

    Raises:
        BundleError: it is missing, damaged or foreign.
    """
    query = (
        "SELECT source, title, count(passages.id) FROM documents LEFT JOIN passages "
        "ON passages.document = documents.id GROUP BY documents.id ORDER BY title, source"
    )
    with closing(database.open_for_reading(path)) as connection, database.damage(path):
        return [Listed(str(source), str(title), int(count)) for source, title, count in connection.execute(query)]
