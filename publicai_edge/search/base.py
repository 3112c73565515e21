"""Questions to passages: full-text and vector search in one index, what both find weighed together.

Two lists are made for a question: passages by BM25 of its terms, and passages by cosine of its vector. A passage's
score is 0.7 of its cosine and 0.3 of its BM25, each over the best one's: a convex combination, which Bruch, Gai and
Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", ACM TOIS 2023, found better than reciprocal rank fusion,
as `benchmarks/retrieval.py` does (docs/adr/0039).

Scores say which passage is best, never that it is good: the best passage for "how do I bake bread" still is the
first in a town library's rules. So a passage counts as an answer only if one of two things holds:

- its cosine to the question is at least ``min_relevance``, or
- it is a strong lexical match: the question's terms that it holds weigh at least 60 % of all its terms, by
  inverse document frequency, and are at least two (or all there are). A term that the documents do not know
  weighs most, so a question about something else stays unanswered however many small words it shares; a term
  in over half of the passages weighs nothing. This rule finds names, form numbers, and questions in a
  language the embedding model was not trained on.

When nothing counts, the answer is empty, and the kiosk says that nothing was found.
"""

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import apsw

from publicai_edge.engine.embedder import Embedder
from publicai_edge.errors import BundleError
from publicai_edge.search import database, terms

MEANING = 0.7
CANDIDATES = 40
STRONG_COVERAGE = 0.6

# A heading names its subject in few words, so a word there says more than one in the text.
_BM25 = "bm25(words, 2.0, 1.0)"
_SCORED = 10 * CANDIDATES  # by words: what is near in meaning is often not among the first
_PASSAGE = (
    "SELECT passages.id, title, source, heading, page, text "
    "FROM passages JOIN documents ON documents.id = passages.document"
)


@dataclass(frozen=True)
class Passage:
    """A piece of a document (its title); ``source`` is its file name, ``heading`` the trail to it."""

    id: int
    document: str
    source: str
    heading: str
    page: int | None
    text: str


@dataclass(frozen=True)
class Hit:
    """A passage found; ``score`` is what it was ranked by (at most 1), ``relevance`` the cosine."""

    passage: Passage
    score: float
    relevance: float


@dataclass(frozen=True)
class Candidates:
    """The passages that a search chooses from, by id.

    Attributes:
        nearest: by cosine to the question, best first.
        words: BM25 of those that share terms with the question, best first; more is better.
        cosines: of all of them.
    """

    nearest: tuple[int, ...]
    words: Mapping[int, float]
    cosines: Mapping[int, float]

    def scores(self) -> dict[int, float]:
        """Return the score of each, best first; equal ones in the order of their ids."""
        best_cosine = max(self.cosines.values(), default=0.0)
        best_words = max(self.words.values(), default=0.0)
        found = {
            number: MEANING * _share(cosine, best_cosine)
            + (1 - MEANING) * _share(self.words.get(number, 0), best_words)
            for number, cosine in self.cosines.items()
        }
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


class KnowledgeBase:
    """An opened index; several threads may search at once, each on a connection of its own."""

    def __init__(self, path: Path, embedder: Embedder, first: apsw.Connection) -> None:
        self._path = path
        self._embedder = embedder
        self._lock = threading.Lock()
        self._idle = [first]
        self._closed = False
        with database.damage(path):
            (self._count,) = next(iter(first.execute("SELECT count(*) FROM passages")))

    @staticmethod
    def open(path: Path, embedder: Embedder) -> "KnowledgeBase":
        """Open the index at ``path``, built with the same embedding model as ``embedder``.

        Raises:
            BundleError: it is missing, damaged, foreign, or was built with another embedding model.
        """
        connection = database.open_for_reading(path)
        try:
            with database.damage(path):
                meta = database.read_meta(connection)
            _check_embedder(path, meta.get("embedder", "none"), embedder.fingerprint)
            return KnowledgeBase(path, embedder, connection)
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Close the index; a search still running ends first."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def __len__(self) -> int:
        return int(self._count)

    def search(self, question: str, *, top: int, min_relevance: float) -> list[Hit]:
        """Return at most ``top`` passages that answer ``question``, best first; empty when none does.

        Raises:
            BundleError: the index turns out to be damaged.
            EngineError: the embedding model does not run.
        """
        if not question.strip():
            return []
        vector = self._vector(question)
        with self._connection() as connection:
            weights = self._weights(connection, terms.question_terms(question))
            found = _candidates(connection, vector, weights)
            hits = []
            for number, score in found.scores().items():
                passage = self._passage(connection, number)
                cosine = found.cosines[number]
                if cosine >= min_relevance or is_strong(passage, weights):
                    hits.append(Hit(passage, score, cosine))
                if len(hits) == top:
                    break
            return hits

    def candidates(self, question: str, weights: Mapping[str, float] | None = None) -> Candidates:
        """Return what :meth:`search` chooses from, whether it counts as an answer or not.

        Args:
            question: what is asked.
            weights: of the question's terms, where this index is one of several; else by this index alone.

        Raises:
            BundleError: the index turns out to be damaged.
            EngineError: the embedding model does not run.
        """
        vector = self._vector(question)
        with self._connection() as connection:
            own = self._weights(connection, terms.question_terms(question)) if weights is None else weights
            return _candidates(connection, vector, own)

    def held(self, words: Sequence[str]) -> dict[str, int]:
        """Return in how many passages each term is.

        Raises:
            BundleError: the index turns out to be damaged.
        """
        with self._connection() as connection:
            return _held(connection, words)

    def passage(self, number: int) -> Passage:
        """Return the passage with id ``number``.

        Raises:
            KeyError: there is none.
        """
        with self._connection() as connection:
            rows = _passages(connection, "passages.id = ?", number)
        if not rows:
            raise KeyError(number)
        return rows[0]

    def document(self, source: str) -> list[Passage]:
        """Return the passages of the document ``source`` in reading order; empty when there is none."""
        with self._connection() as connection:
            return _passages(connection, "source = ?", source)

    def _vector(self, question: str) -> bytes:
        return bytes(self._embedder.encode([question[: terms.MAX_QUESTION_CHARS]], "query")[0].tobytes())

    def _passage(self, connection: apsw.Connection, number: int) -> Passage:
        rows = _passages(connection, "passages.id = ?", number)
        if not rows:
            raise BundleError(
                f"The index of documents {self._path} is damaged: passage {number} is missing.",
                hint="Copy the bundle again from where it came.",
            )
        return rows[0]

    def _weights(self, connection: apsw.Connection, words: Sequence[str]) -> dict[str, float]:
        """Return each term's inverse document frequency, 0 for one that half of the passages hold."""
        return {word: weight(held, len(self)) for word, held in _held(connection, words).items()}

    @contextmanager
    def _connection(self) -> Iterator[apsw.Connection]:
        with self._lock:
            if self._closed:
                raise RuntimeError("the knowledge base is closed")
            connection = self._idle.pop() if self._idle else None
        connection = connection or database.open_for_reading(self._path)
        try:
            with database.damage(self._path):
                yield connection
        finally:
            with self._lock:
                keep = not self._closed
                if keep:
                    self._idle.append(connection)
            if not keep:
                connection.close()


def weight(held: int, count: int) -> float:
    """Return the inverse document frequency of a term that ``held`` of ``count`` passages have; 0 from a half on."""
    return 0.0 if held * 2 > count else math.log(1 + (count - held + 0.5) / (held + 0.5))


def _held(connection: apsw.Connection, words: Sequence[str]) -> dict[str, int]:
    query = "SELECT count(*) FROM words WHERE words MATCH ?"
    return {word: int(next(iter(connection.execute(query, (terms.match_any([word]),))))[0]) for word in words}


def _check_embedder(path: Path, built_with: str, given: str) -> None:
    if built_with != given:
        raise BundleError(
            f"{path} was built with another embedding model than the one given (fingerprint "
            f"{built_with[:12]}, expected {given[:12]}).",
            hint="Use the embedding folder of the same bundle, or build the bundle again.",
        )


def _candidates(connection: apsw.Connection, vector: bytes, weights: Mapping[str, float]) -> Candidates:
    near, scored = _nearest(connection, vector), _by_words(connection, weights)
    best = set(list(scored)[:CANDIDATES])
    apart = {number: _cosine(connection, number, vector) for number in scored if number in best - near.keys()}
    words = {number: score for number, score in scored.items() if number in best or number in near}
    return Candidates(tuple(near), words, near | apart)


def _share(value: float, best: float) -> float:
    """Return a part of the best; where nothing is any good, the value itself, so that order stays."""
    return value / best if best > 0 else value


def _nearest(connection: apsw.Connection, vector: bytes) -> dict[int, float]:
    """Return the nearest passages with their cosines, best first; equal ones in the order of their ids."""
    query = "SELECT distance, rowid FROM vectors WHERE embedding MATCH ? AND k = ?"
    rows = sorted(connection.execute(query, (vector, CANDIDATES)))
    return {int(number): 1.0 - float(distance) for distance, number in rows}


def _by_words(connection: apsw.Connection, weights: Mapping[str, float]) -> dict[int, float]:
    """Return the passages with the question's terms and their BM25 as a positive number, best first."""
    words = [term for term, weight in weights.items() if weight > 0]
    if not words:
        return {}
    query = f"SELECT rowid, -{_BM25} AS score FROM words WHERE words MATCH ? ORDER BY score DESC, rowid LIMIT ?"  # noqa: S608
    return {int(number): float(score) for number, score in connection.execute(query, (terms.match_any(words), _SCORED))}


def _cosine(connection: apsw.Connection, number: int, vector: bytes) -> float:
    query = "SELECT vec_distance_cosine(embedding, ?) FROM vectors WHERE rowid = ?"
    distance = next(iter(connection.execute(query, (vector, number))), (1.0,))[0]
    return 1.0 - float(distance)


def _passages(connection: apsw.Connection, condition: str, value: int | str) -> list[Passage]:
    rows = connection.execute(f"{_PASSAGE} WHERE {condition} ORDER BY passages.id", (value,))
    return [
        Passage(int(number), str(title), str(source), str(heading), page, str(text))
        for number, title, source, heading, page, text in rows
    ]


def is_strong(passage: Passage, weights: Mapping[str, float]) -> bool:
    """Say whether a passage holds most of what a question asks, by its terms and their weights."""
    weighing = {term: weight for term, weight in weights.items() if weight > 0}
    if not weighing:
        return False
    held = weighing.keys() & set(terms.terms(f"{passage.document} {passage.heading} {passage.text}"))
    coverage = sum(weighing[term] for term in held) / sum(weighing.values())
    return coverage >= STRONG_COVERAGE and len(held) >= min(2, len(weighing))
