"""Questions to passages: by words and by meaning in one index, what both find weighed together.

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

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import apsw
import numpy as np
import numpy.typing as npt

from publicai_edge.engine.embedder import Embedder, Vectors
from publicai_edge.errors import BundleError
from publicai_edge.search import database, postings, terms
from publicai_edge.search.codes import Numbers, Signs, cosines
from publicai_edge.search.postings import Term, Words
from publicai_edge.search.preference import PREFERENCE, preferred, primary

MEANING = 0.7
CANDIDATES = 40
STRONG_COVERAGE = 0.6

_PASSAGE = (
    "SELECT passages.id, title, source, heading, page, text, language "
    "FROM passages JOIN documents ON documents.id = passages.document"
)


@dataclass(frozen=True)
class Passage:
    """A piece of a document (its title); ``source`` is its file name, ``heading`` the trail to it.

    ``language`` is a primary language subtag as "sw", or "" where it is not known.
    """

    id: int
    document: str
    source: str
    heading: str
    page: int | None
    text: str
    language: str = ""


@dataclass(frozen=True)
class Hit:
    """A passage found; ``score`` is what it was ranked by (see :meth:`Candidates.scores`), ``relevance`` the cosine."""

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
        strong: those that are a strong lexical match.
        preferred: those in the language that is preferred.
    """

    nearest: tuple[int, ...]
    words: Mapping[int, float]
    cosines: Mapping[int, float]
    strong: frozenset[int] = frozenset()
    preferred: frozenset[int] = frozenset()

    def scores(self) -> dict[int, float]:
        """Return the score of each, best first; equal ones in the order of their ids.

        It is at most 1, and :data:`publicai_edge.search.preference.PREFERENCE` more where the language is preferred.
        """
        best_cosine = max(self.cosines.values(), default=0.0)
        best_words = max(self.words.values(), default=0.0)
        found = {
            number: MEANING * _share(cosine, best_cosine)
            + (1 - MEANING) * _share(self.words.get(number, 0), best_words)
            + PREFERENCE * (number in self.preferred)
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
            centre, signs, lengths = (database.read_array(first, name) for name in ("centre", "signs", "lengths"))
            self._languages = frozenset(database.read_meta(first).get("languages", "").split())
            self._signs = Signs(centre, signs, self._count, embedder.dim)
            self._words = Words(lengths, self._count)

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

    def search(self, question: str, *, top: int, min_relevance: float, language: str = "") -> list[Hit]:
        """Return at most ``top`` passages that answer ``question``, best first; empty when none does.

        Passages in ``language`` come before others that are about as good.

        Raises:
            BundleError: the index turns out to be damaged.
            EngineError: the embedding model does not run.
        """
        if not question.strip():
            return []
        vector = self._vector(question)
        with self._connection() as connection:
            found = self._candidates(connection, vector, question, language=language)
            good = (
                (number, score)
                for number, score in found.scores().items()
                if found.cosines[number] >= min_relevance or number in found.strong
            )
            return [
                Hit(self._passage(connection, number), score, found.cosines[number])
                for number, score in islice(good, top)
            ]

    def candidates(
        self, question: str, weights: Mapping[str, float] | None = None, *, language: str = ""
    ) -> Candidates:
        """Return what :meth:`search` chooses from, whether it counts as an answer or not.

        Args:
            question: what is asked.
            weights: of the question's terms, where this index is one of several; else by this index alone.
            language: the one that is preferred.

        Raises:
            BundleError: the index turns out to be damaged.
            EngineError: the embedding model does not run.
        """
        vector = self._vector(question)
        with self._connection() as connection:
            return self._candidates(connection, vector, question, weights, language)

    def held(self, words: Sequence[str]) -> dict[str, int]:
        """Return in how many passages each term is.

        Raises:
            BundleError: the index turns out to be damaged.
        """
        with self._connection() as connection:
            return self._words.held(connection, words)

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

    def sources(self) -> list[str]:
        """Return the documents there are, by their sources."""
        with self._connection() as connection:
            return [str(source) for (source,) in connection.execute("SELECT source FROM documents ORDER BY source")]

    def _vector(self, question: str) -> Vectors:
        vector: Vectors = self._embedder.encode([question[: terms.MAX_QUESTION_CHARS]], "query")[0]
        return vector

    def _candidates(
        self,
        connection: apsw.Connection,
        vector: Vectors,
        question: str,
        weights: Mapping[str, float] | None = None,
        language: str = "",
    ) -> Candidates:
        asked = self._words.look_up(connection, terms.question_terms(question), weights)
        scores = self._words.scores(asked)
        worded = postings.best(scores, CANDIDATES)
        looked_at = np.union1d(self._signs.likely(vector), worded)
        found = cosines(connection, looked_at, vector)
        order = np.lexsort((looked_at, -found))
        nearest = looked_at[order[:CANDIDATES]]
        chosen = np.union1d(nearest, worded)
        by_words = chosen[np.lexsort((chosen, -scores[chosen]))]
        return Candidates(
            nearest=tuple(nearest.tolist()),
            words={int(number): float(scores[number]) for number in by_words if scores[number] > 0},
            cosines=dict(zip(chosen.tolist(), found[np.searchsorted(looked_at, chosen)].tolist(), strict=True)),
            strong=frozenset(chosen[_strong(asked, chosen)].tolist()),
            preferred=self._preferred(connection, chosen, language),
        )

    def _preferred(self, connection: apsw.Connection, numbers: Numbers, language: str) -> frozenset[int]:
        """Return which passages are preferred; none where all would be, so that nothing is looked up in vain."""
        if primary(language) not in self._languages or len(self._languages) == 1:
            return frozenset()
        marks = ",".join("?" * len(numbers))
        rows = connection.execute(
            f"SELECT id, language FROM passages WHERE id IN ({marks})",  # noqa: S608 - question marks alone
            numbers.tolist(),
        )
        return preferred({int(number): str(found) for number, found in rows}, language)

    def _passage(self, connection: apsw.Connection, number: int) -> Passage:
        rows = _passages(connection, "passages.id = ?", number)
        if not rows:
            raise BundleError(
                f"The index of documents {self._path} is damaged: passage {number} is missing.",
                hint="Copy the bundle again from where it came.",
            )
        return rows[0]

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


def _check_embedder(path: Path, built_with: str, given: str) -> None:
    if built_with != given:
        raise BundleError(
            f"{path} was built with another embedding model than the one given (fingerprint "
            f"{built_with[:12]}, expected {given[:12]}).",
            hint="Use the embedding folder of the same bundle, or build the bundle again.",
        )


def _share(value: float, best: float) -> float:
    """Return a part of the best; where nothing is any good, the value itself, so that order stays."""
    return value / best if best > 0 else value


def _passages(connection: apsw.Connection, condition: str, value: int | str) -> list[Passage]:
    rows = connection.execute(f"{_PASSAGE} WHERE {condition} ORDER BY passages.id", (value,))
    return [
        Passage(int(number), str(title), str(source), str(heading), page, str(text), str(language))
        for number, title, source, heading, page, text, language in rows
    ]


def is_strong(passage: Passage, weights: Mapping[str, float]) -> bool:
    """Say whether a passage holds most of what a question asks, by its terms and their weights."""
    weighing = {term: weight for term, weight in weights.items() if weight > 0}
    held = weighing.keys() & set(terms.terms(f"{passage.document} {passage.heading} {passage.text}"))
    coverage = sum(weighing[term] for term in held)
    return (
        bool(weighing) and coverage >= STRONG_COVERAGE * sum(weighing.values()) and len(held) >= min(2, len(weighing))
    )


def _strong(asked: Sequence[Term], numbers: Numbers) -> npt.NDArray[np.bool_]:
    """Return which passages hold enough of a question's terms."""
    weighing = [term for term in asked if term.weight > 0]
    if not weighing:
        return np.zeros(len(numbers), bool)
    weights, held = np.zeros(len(numbers)), np.zeros(len(numbers), int)
    for term in weighing:
        holds = term.among(numbers)
        weights += term.weight * holds
        held += holds
    enough = STRONG_COVERAGE * sum(term.weight for term in weighing)
    strong: npt.NDArray[np.bool_] = (weights >= enough) & (held >= min(2, len(weighing)))
    return strong
