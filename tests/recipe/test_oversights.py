"""What a sound recipe may still have by mistake."""

import pytest

from publicai_edge.recipe import parse
from publicai_edge.recipe.oversights import oversights
from publicai_edge.recipe.template import new_recipe
from tests import voiced
from tests.recipe.test_load import DEMO


def test_an_address_of_an_example_is_named_with_its_key() -> None:
    assert oversights(parse(DEMO)) == [
        "steward.contact has 'desk@alderford.example', an address of an example: patrons will see it."
    ]
    (said,) = oversights(parse(new_recipe("Hill Street Library")))
    assert said.startswith("steward.contact has 'kiosk@example.org'")


@pytest.mark.parametrize("contact", ["desk@hill-street.org", "+44 20 7946 0000", "by example at the desk", "example"])
def test_what_is_somebodys_is_not_named(contact: str) -> None:
    assert oversights(parse(DEMO.replace("desk@alderford.example", contact))) == []


def test_languages_that_no_voice_speaks_are_named_where_one_speaks() -> None:
    text = DEMO.replace("desk@alderford.example", "desk@hill-street.org")
    assert oversights(parse(text.replace("[knowledge]", f"{voiced.TABLE}\n[knowledge]", 1))) == [
        "No voice speaks es: there, answers are read aloud only where the kiosk's browser can."
    ]
