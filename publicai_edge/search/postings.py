"""Which passages hold a term, and how often: what a question's words are looked up in.

A term's postings are the numbers of the passages that hold it, rising, as four bytes each, and then how often each
does, as a byte each. A heading names its subject in few words, so a term there counts twice. A passage's score is BM25
as SQLite's FTS5 computes it. FTS5 itself did this before: with many passages it takes too long for questions of
common words, since it works out each score apart, in the order of passages (docs/adr/0040).

Invariant: what is written depends on the terms alone, and terms come in the order of their characters.
"""

import math
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import apsw
import numpy as np
import numpy.typing as npt

from publicai_edge.search.database import DamageError

HEADING = 2  # how often a term in a heading counts
_MOST = 255
K1, B = 1.2, 0.75  # BM25's constants, as FTS5 has them
_ENTRY = 5  # bytes
_BLOCK = 64

Scores = npt.NDArray[np.float32]


class Collected:
    """The postings of an index in the making: about 300 bytes of memory a passage, and 250 a different term."""

    def __init__(self) -> None:
        self._terms: dict[str, tuple[array[int], bytearray]] = {}
        self._lengths = array("I")

    def add(self, heading: Sequence[str], text: Sequence[str]) -> None:
        """Take the terms of the next passage; the first one has the number 1."""
        self._lengths.append(len(heading) + len(text))
        counts = Counter(text)
        for term in heading:
            counts[term] += HEADING
        for term, count in counts.items():
            held = self._terms.get(term)
            if held is None:
                held = self._terms[term] = (array("I"), bytearray())
            held[0].append(len(self._lengths))
            held[1].append(min(count, _MOST))

    def write(self, connection: apsw.Connection) -> None:
        """Write what was collected."""
        rows = (
            (term, len(counts), np.array(numbers, "<u4").tobytes() + counts)
            for term, (numbers, counts) in sorted(self._terms.items())
        )
        connection.executemany("INSERT INTO terms (term, held, postings) VALUES (?, ?, ?)", rows)
        lengths = np.array(self._lengths, "<u4").tobytes()
        connection.execute("INSERT INTO arrays (name, data) VALUES ('lengths', ?)", (lengths,))


@dataclass(frozen=True)
class Term:
    """A term of a question.

    Attributes:
        weight: its inverse document frequency; 0 where more than half of the passages hold it.
        numbers: the passages that hold it, rising; none where the weight is 0.
        counts: how often each does.
    """

    weight: float
    numbers: npt.NDArray[np.uint32]
    counts: npt.NDArray[np.uint8]

    def among(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return which of ``numbers`` hold it."""
        if not len(self.numbers):
            return np.zeros(len(numbers), bool)
        wanted = numbers.astype(np.uint32)
        places = np.searchsorted(self.numbers, wanted)
        found: npt.NDArray[np.bool_] = self.numbers[np.minimum(places, len(self.numbers) - 1)] == wanted
        return found


class Words:
    """The lengths of all passages, in memory, and what scores them; several threads may use it at once."""

    def __init__(self, lengths: bytes, count: int) -> None:
        if len(lengths) != 4 * count:
            raise DamageError("its lengths do not fit its passages")
        found = np.frombuffer(lengths, "<u4").astype(np.float32)
        relative = found / max(float(found.mean()) if count else 0.0, 1e-9)
        self._count = count
        # Place 0 is no passage's.
        self._slowness = np.concatenate([[np.float32(1)], K1 * (1 - B + B * relative)]).astype(np.float32)

    def look_up(
        self, connection: apsw.Connection, words: Sequence[str], weights: Mapping[str, float] | None = None
    ) -> list[Term]:
        """Return what the index knows of each of ``words``.

        Args:
            connection: to the index.
            words: terms.
            weights: theirs, where this index is one of several; else by this index alone.

        Raises:
            DamageError: postings are not what they should be.
        """
        held = self.held(connection, words)
        return [
            self._term(connection, word, count, weight(count, self._count) if weights is None else weights[word])
            for word, count in held.items()
        ]

    def held(self, connection: apsw.Connection, words: Sequence[str]) -> dict[str, int]:
        """Return in how many passages each of ``words`` is.

        Raises:
            DamageError: more hold a term than there are.
        """
        return {word: self._held(connection, word) for word in words}

    def scores(self, terms: Sequence[Term]) -> Scores:
        """Return the BM25 of every passage, by its number; 0 where it holds none of the terms, and at place 0."""
        scores = np.zeros(self._count + 1, np.float32)
        for term in terms:
            held = len(term.numbers)
            if not held:
                continue
            rarity = np.float32(max(math.log((self._count - held + 0.5) / (held + 0.5)), 1e-6))
            counts = term.counts.astype(np.float32)
            scores[term.numbers] += rarity * counts * np.float32(K1 + 1) / (counts + self._slowness[term.numbers])
        return scores

    def _held(self, connection: apsw.Connection, word: str) -> int:
        (held,) = next(iter(connection.execute("SELECT held FROM terms WHERE term = ?", (word,))), (0,))
        if not isinstance(held, int) or not 0 <= held <= self._count:
            raise DamageError("a term is held by more passages than there are")
        return held

    def _term(self, connection: apsw.Connection, word: str, held: int, weight: float) -> Term:
        if weight <= 0:
            return Term(0.0, np.zeros(0, np.uint32), np.zeros(0, np.uint8))
        data = self._postings(connection, word) if held else b""
        if len(data) != _ENTRY * held:
            raise DamageError("postings are of another size than they should be")
        numbers = np.frombuffer(data, "<u4", held)
        if held and not 1 <= int(numbers.min()) <= int(numbers.max()) <= self._count:
            raise DamageError("postings name a passage that is not there")
        return Term(weight, numbers, np.frombuffer(data, np.uint8, held, 4 * held))

    @staticmethod
    def _postings(connection: apsw.Connection, word: str) -> bytes:
        (data,) = next(iter(connection.execute("SELECT postings FROM terms WHERE term = ?", (word,))))
        return data if isinstance(data, bytes) else b""


def weight(held: int, count: int) -> float:
    """Return the inverse document frequency of a term that ``held`` of ``count`` passages have; 0 from a half on."""
    return 0.0 if held * 2 > count else math.log(1 + (count - held + 0.5) / (held + 0.5))


def best(scores: Scores, most: int) -> npt.NDArray[np.int64]:
    """Return the numbers of at most ``most`` passages with the highest scores above 0, best first."""
    highest = np.maximum.reduceat(scores, np.arange(0, len(scores), _BLOCK))
    # So many blocks each have one at least as high as this, so none below it is wanted, and few are left to sort.
    least = np.sort(highest)[-most] if len(highest) >= most else np.float32(0)
    held = np.flatnonzero((scores >= least) & (scores > 0))
    return held[np.lexsort((held, -scores[held]))][:most]
