"""The questions of a service: what they expect fits the service and the bundle, or is named with its line."""

from pathlib import Path

import pytest

from publicai_edge.bundle import questions
from publicai_edge.errors import RecipeError
from publicai_edge.recipe import load, parse
from tests.recipe.test_quality import QUALITY, recipe, refused

RECIPES = Path(__file__).parents[2] / "recipes"
DEMO = (RECIPES / "demo.toml").read_text("utf-8")


def test_the_demo_asks_in_each_of_its_languages_and_beyond_its_documents() -> None:
    found = questions.of(load(RECIPES / "demo.toml"))
    assert found is not None
    asked = found.questions
    assert len(asked) >= 12
    assert {item.language for item in asked} == {"en", "es"}
    assert sum(item.outside for item in asked) >= 3
    documents = [f"documents/demo/{place.name}" for place in (RECIPES / "documents" / "demo").iterdir()]
    questions.check_sources(found, documents)


def test_what_quality_asks_is_tried_as_well_and_once() -> None:
    both = parse(recipe())
    found = questions.of(both)
    assert found is not None
    last = found.questions[-1]
    assert (last.question, last.facts) == ("When do you close on Monday?", (("6 pm", "18:00"), ("Monday",)))
    twice = QUALITY.replace("When do you close on Monday?", "Is there a lift?")
    again = questions.of(parse(recipe(twice)))
    assert again is not None
    assert [item.question for item in again.questions].count("Is there a lift?") == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('language = "es"\nquestion', 'language = "fr"\nquestion', "[bundle] languages does not list 'fr'"),
        ('facts = ["heating", "Monday"]', "outside = true", "the service does not search, so it has facts only"),
        ('facts = ["heating", "Monday"]', "", "nothing is expected; give facts, passages or outside = true"),
        ("outside = true", 'outside = true\nfacts = ["1998"]', "has no facts and no passages"),
        ('facts = ["heating", "Monday"]', 'fact = ["heating"]', "unknown key 'services[1].questions[0].fact'; did you"),
        ("page = 1", "page = 0", "key 'services[0].questions[6].passages[0].page' is 0"),
    ],
)
def test_what_does_not_fit_is_named(old: str, new: str, said: str) -> None:
    assert old in DEMO
    assert said in refused(DEMO.replace(old, new, 1))


def test_an_error_in_a_question_names_its_line() -> None:
    """Also where the service has one before it that has questions, too."""
    broken = DEMO.replace('facts = ["heating", "Monday"]', 'facts = "heating"')
    line = next(at for at, text in enumerate(broken.splitlines(), 1) if text == 'facts = "heating"')
    assert f"my.toml:{line}: key 'services[1].questions[0].facts'" in refused(broken)


def test_a_passage_of_a_document_that_is_not_there_is_refused() -> None:
    found = questions.of(load(RECIPES / "demo.toml"))
    assert found is not None
    with pytest.raises(RecipeError, match=r"no document of \[knowledge\] has that path"):
        questions.check_sources(found, ["documents/demo/opening-hours.md", "x-opening-hours.md"])
