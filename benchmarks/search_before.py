"""How passages were searched before: FTS5 and sqlite-vec, every vector in float32 compared with the question's.

The queries are those of index format 1, in one connection. :func:`exact` is the same search without its shortcuts: BM25
of all passages that share a term, not of the 400 best.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import apsw
import sqlite_vec

from publicai_edge.engine.embedder import Vectors
from publicai_edge.search import terms
from publicai_edge.search.base import CANDIDATES, STRONG_COVERAGE, Candidates

_WORDS = (
    "CREATE VIRTUAL TABLE words USING fts5 (heading, text, content='', "
    "tokenize=\"unicode61 remove_diacritics 2 categories 'L* M* N* Co'\")"
)
_VECTORS = "CREATE VIRTUAL TABLE vectors USING vec0 (embedding float[{}] distance_metric=cosine, chunk_size=256)"
_BM25 = "bm25(words, 2.0, 1.0)"
_SCORED = 10 * CANDIDATES
_PASSAGES = (
    "CREATE TABLE documents (id INTEGER PRIMARY KEY, source TEXT NOT NULL UNIQUE, title TEXT NOT NULL)",
    "CREATE TABLE passages (id INTEGER PRIMARY KEY, document INTEGER NOT NULL, heading TEXT NOT NULL, "
    "page INTEGER, text TEXT NOT NULL)",
)


def build(index: Path, vectors: Iterable[Vectors], dim: int, target: Path) -> None:
    """Write an index of the old form, with the passages of ``index`` and their ``vectors``."""
    connection = apsw.Connection(str(target))
    _load(connection)
    connection.execute("PRAGMA journal_mode = OFF")
    for statement in (*_PASSAGES, _WORDS, _VECTORS.format(dim)):
        connection.execute(statement)
    connection.execute("ATTACH ? AS new", (str(index),))
    connection.execute("BEGIN")
    connection.execute("INSERT INTO documents SELECT id, source, title FROM new.documents")
    connection.execute("INSERT INTO passages SELECT id, document, heading, page, text FROM new.passages")
    rows = connection.execute(
        "SELECT passages.id, title, heading, text FROM new.passages AS passages "
        "JOIN new.documents AS documents ON documents.id = document ORDER BY passages.id"
    )
    for (number, title, heading, text), vector in zip(list(rows), vectors, strict=True):
        row = (number, " ".join(terms.terms(f"{title} {heading}")), " ".join(terms.terms(text)))
        connection.execute("INSERT INTO words (rowid, heading, text) VALUES (?, ?, ?)", row)
        connection.execute("INSERT INTO vectors (rowid, embedding) VALUES (?, ?)", (number, vector.tobytes()))
    connection.execute("INSERT INTO words (words) VALUES ('optimize')")
    connection.execute("COMMIT")
    connection.execute("DETACH new")
    connection.execute("VACUUM")
    connection.close()


class Before:
    """An index of the old form, opened."""

    def __init__(self, path: Path) -> None:
        self._connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        _load(self._connection)
        ((self._count,),) = self._connection.execute("SELECT count(*) FROM passages")

    def search(self, question: str, vector: Vectors, top: int, min_relevance: float) -> list[int]:
        """Return the numbers of the passages that answer a question, and read their text."""
        weights = self._weights(terms.question_terms(question))
        found = self.candidates(vector, weights)
        hits = []
        for number in found.scores():
            title, heading, text = self._passage(number)
            if found.cosines[number] >= min_relevance or _is_strong(f"{title} {heading} {text}", weights):
                hits.append(number)
            if len(hits) == top:
                break
        return hits

    def candidates(self, vector: Vectors, weights: Mapping[str, float], scored: int = _SCORED) -> Candidates:
        """Return what the old search chose from; ``scored`` -1 is all that share a term with the question."""
        data = vector.tobytes()
        near, by_words = self._nearest(data), self._by_words(weights, scored)
        best = set(list(by_words)[:CANDIDATES])
        apart = {number: self._cosine(number, data) for number in by_words if number in best - near.keys()}
        words = {number: score for number, score in by_words.items() if number in best or number in near}
        return Candidates(tuple(near), words, near | apart)

    def ranked(self, question: str, vector: Vectors) -> list[int]:
        """Return the candidates of the old search, best first."""
        return list(self.candidates(vector, self._weights(terms.question_terms(question))).scores())

    def exact(self, question: str, vector: Vectors) -> Candidates:
        """Return what is chosen from when every passage is scored by everything."""
        return self.candidates(vector, self._weights(terms.question_terms(question)), -1)

    def _weights(self, words: Sequence[str]) -> dict[str, float]:
        weights = {}
        for word in words:
            ((held,),) = self._connection.execute("SELECT count(*) FROM words WHERE words MATCH ?", (f'"{word}"',))
            common = held * 2 > self._count
            weights[word] = 0.0 if common else math.log(1 + (self._count - held + 0.5) / (held + 0.5))
        return weights

    def _nearest(self, vector: bytes) -> dict[int, float]:
        query = "SELECT distance, rowid FROM vectors WHERE embedding MATCH ? AND k = ?"
        return {number: 1.0 - distance for distance, number in sorted(self._connection.execute(query, (vector, 40)))}

    def _by_words(self, weights: Mapping[str, float], scored: int) -> dict[int, float]:
        match = " OR ".join(f'"{term}"' for term, weight in weights.items() if weight > 0)
        if not match:
            return {}
        query = f"SELECT rowid, -{_BM25} AS score FROM words WHERE words MATCH ? ORDER BY score DESC, rowid LIMIT ?"
        return dict(self._connection.execute(query, (match, scored)))

    def _cosine(self, number: int, vector: bytes) -> float:
        query = "SELECT vec_distance_cosine(embedding, ?) FROM vectors WHERE rowid = ?"
        ((distance,),) = self._connection.execute(query, (vector, number))
        return 1.0 - float(distance)

    def _passage(self, number: int) -> tuple[str, str, str]:
        query = (
            "SELECT title, heading, text FROM passages JOIN documents ON documents.id = document WHERE passages.id = ?"
        )
        (row,) = self._connection.execute(query, (number,))
        return row


def _is_strong(text: str, weights: Mapping[str, float]) -> bool:
    weighing = {term: weight for term, weight in weights.items() if weight > 0}
    if not weighing:
        return False
    held = weighing.keys() & set(terms.terms(text))
    coverage = sum(weighing[term] for term in held) / sum(weighing.values())
    return coverage >= STRONG_COVERAGE and len(held) >= min(2, len(weighing))


def _load(connection: apsw.Connection) -> None:
    connection.enable_load_extension(True)
    connection.load_extension(sqlite_vec.loadable_path())
    connection.enable_load_extension(False)
