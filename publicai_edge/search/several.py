"""Documents in several places, searched one after the other and ranked together.

A place's scores are shares of its own best, so they say nothing beside another's. Of what the places found, all are
ranked anew by the same rule (:mod:`publicai_edge.search.base`): cosines are comparable, since all places use one search
model, and in place of BM25, which depends on the place, stands the share of the question's terms that a passage holds,
each weighed by how few of the passages found hold it.

Invariant: a place that fails takes nothing away from what others found; when nothing was found, it is told.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from publicai_edge.errors import BundleError
from publicai_edge.search import terms
from publicai_edge.search.base import Candidates, Hit, Passage
from publicai_edge.search.preference import preferred


class Place(Protocol):
    """One of them, as :class:`publicai_edge.search.KnowledgeBase` is one."""

    def search(self, question: str, *, top: int, min_relevance: float, language: str = "") -> Sequence[Hit]:
        """Return the passages that answer a question, best first; those in ``language`` before others as good."""
        ...

    def document(self, source: str) -> Sequence[Passage]:
        """Return a document's passages in reading order; empty when there is no such document."""
        ...

    def sources(self) -> Sequence[str]:
        """Return the documents whose passages can be listed; none where there are too many, as in an encyclopedia."""
        ...

    def close(self) -> None:
        """Let it go."""
        ...


class Several:
    """All of them, as if they were one."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = tuple(places)

    def search(self, question: str, *, top: int, min_relevance: float, language: str = "") -> list[Hit]:
        """Return at most ``top`` passages that answer ``question``, best first; empty when none does.

        Passages in ``language`` come before others that are about as good.

        Raises:
            BundleError: nothing was found, and one of the places cannot be read.
            EngineError: the search model does not run.
        """
        hits: list[Hit] = []
        failure: BundleError | None = None
        for place in self._places:
            try:
                hits += place.search(question, top=top, min_relevance=min_relevance, language=language)
            except BundleError as error:
                failure = failure or error
        if failure and not hits:
            raise failure
        return _ranked(hits, terms.question_terms(question), language)[:top]

    def document(self, source: str) -> list[Passage]:
        """Return the passages of the document ``source``, from the first place that has it."""
        return next((list(found) for place in self._places if (found := place.document(source))), [])

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that read for them."""
        return tuple(pid for place in self._places for pid in getattr(place, "pids", ()))

    def scrub(self) -> None:
        """Have other processes overwrite what they have let go."""
        for place in self._places:
            if scrub := getattr(place, "scrub", None):
                scrub()

    def sources(self) -> list[str]:
        """Return the documents of all places whose passages can be listed."""
        return [source for place in self._places for source in place.sources()]

    def close(self) -> None:
        """Let all of them go."""
        for place in self._places:
            place.close()


def _ranked(hits: Sequence[Hit], words: Sequence[str], language: str) -> list[Hit]:
    held = [
        set(words) & set(terms.terms(f"{hit.passage.document} {hit.passage.heading} {hit.passage.text}"))
        for hit in hits
    ]
    counts = {word: sum(word in some for some in held) for word in words}
    weights = {word: math.log(1 + (len(hits) - count + 0.5) / (count + 0.5)) for word, count in counts.items()}
    shares = {number: sum(weights[word] for word in some) for number, some in enumerate(held)}
    cosines = {number: hit.relevance for number, hit in enumerate(hits)}
    first = preferred({number: hit.passage.language for number, hit in enumerate(hits)}, language)
    found = Candidates((), shares, cosines, preferred=first)
    return [replace(hits[number], score=score) for number, score in found.scores().items()]
