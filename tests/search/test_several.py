"""Several places searched as one."""

import pytest

from publicai_edge.errors import BundleError
from publicai_edge.search import Hit, Passage
from publicai_edge.search.several import Several


class Shelf:
    """A place with given hits."""

    def __init__(self, *hits: Hit, failure: BundleError | None = None) -> None:
        self.hits, self.failure, self.closed = hits, failure, False

    def search(self, question: str, *, top: int, min_relevance: float, language: str = "") -> list[Hit]:
        if self.failure:
            raise self.failure
        return list(self.hits)[:top]

    def document(self, source: str) -> list[Passage]:
        return [hit.passage for hit in self.hits if hit.passage.source == source]

    def sources(self) -> list[str]:
        return sorted({hit.passage.source for hit in self.hits})

    def close(self) -> None:
        self.closed = True


def hit(number: int, text: str, relevance: float, score: float = 1.0, language: str = "") -> Hit:
    return Hit(Passage(number, "Title", f"{number}.md", "", None, text, language), score, relevance)


def test_the_best_of_all_places_comes_first_whatever_its_place_thought_of_it():
    library = Shelf(hit(1, "The reading room is quiet.", 0.31), hit(2, "The lift is broken.", 0.3, 0.9))
    encyclopedia = Shelf(hit(3, "A volcano gives off lava.", 0.8), hit(4, "Lava is hot rock.", 0.7, 0.6))
    found = Several([library, encyclopedia]).search("What is lava of a volcano?", top=3, min_relevance=0.3)
    assert [item.passage.id for item in found] == [3, 4, 1]
    assert found[0].score >= found[1].score >= found[2].score


def test_words_decide_between_passages_that_mean_the_same():
    one, other = Shelf(hit(1, "Open on Monday.", 0.5)), Shelf(hit(2, "Form A38 is at the desk.", 0.5))
    found = Several([one, other]).search("Where is form A38?", top=2, min_relevance=0.3)
    assert [item.passage.id for item in found] == [2, 1]


def test_of_equals_the_one_in_the_patrons_language_comes_first():
    one, other = Shelf(hit(1, "Lava", 0.5, language="en")), Shelf(hit(2, "Lava", 0.5, language="es"))
    for language, first in (("es", [2, 1]), ("es-MX", [2, 1]), ("en", [1, 2]), ("uk", [1, 2]), ("", [1, 2])):
        found = Several([one, other]).search("lava", top=2, min_relevance=0.3, language=language)
        assert [item.passage.id for item in found] == first


def test_a_place_that_fails_takes_nothing_away_from_the_others():
    broken = Shelf(failure=BundleError("x.zim cannot be read."))
    assert Several([broken, Shelf(hit(1, "Lava", 0.5))]).search("lava", top=3, min_relevance=0.3)
    with pytest.raises(BundleError, match=r"x\.zim"):
        Several([Shelf(), broken]).search("lava", top=3, min_relevance=0.3)


def test_a_document_is_found_where_it_is_and_all_are_closed():
    places = [Shelf(hit(1, "One", 0.5)), Shelf(hit(2, "Two", 0.5))]
    several = Several(places)
    assert [passage.id for passage in several.document("2.md")] == [2]
    assert several.document("3.md") == []
    several.close()
    assert all(place.closed for place in places)
