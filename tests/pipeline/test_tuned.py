"""Which engine settings a bundle is built with."""

from pathlib import Path

import pytest

from publicai_edge.errors import RecipeError
from publicai_edge.pipeline.tuned import settings
from publicai_edge.progress import Silent
from publicai_edge.recipe import Engine, Recipe, load
from publicai_edge.recipe.tuned import Tuned, tuned_path, write
from publicai_edge.tuning import Tuning

RECIPE = Path(__file__).parents[2] / "recipes" / "mini-pc.toml"


class Heard(Silent):
    """Keeps warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture
def recipe() -> Recipe:
    return load(RECIPE)


def found(recipe: Recipe, **engine: object) -> Tuned:
    return Tuned(recipe.model.source, "a small PC", dict(engine), "fast:Q4_K_S", 0, {})


def test_without_a_tuned_file_settings_are_usual(recipe: Recipe, tmp_path: Path) -> None:
    got = settings(recipe, tmp_path / "r.toml", Silent())
    assert (got.tuning, got.warm, got.tuned_on) == (Tuning(), True, None)


def test_what_the_recipe_says_goes_before_what_was_found(recipe: Recipe, tmp_path: Path) -> None:
    write(tuned_path(tmp_path / "r.toml"), found(recipe, batch=256, flash_attention="on", warm=False))
    fixed = recipe.model_copy(update={"engine": Engine(flash_attention="off", warm=True)})
    got = settings(fixed, tmp_path / "r.toml", Silent())
    assert got.tuning == Tuning(batch=256, flash_attention="off")
    assert got.warm
    assert got.tuned_on == "a small PC"
    assert got.recipe.engine.batch == 256, "the budget is held against the settings that are used"


def test_the_type_that_was_found_is_the_one_to_build_where_the_recipe_leaves_it_open(
    recipe: Recipe, tmp_path: Path
) -> None:
    write(tuned_path(tmp_path / "r.toml"), found(recipe))
    opened = recipe.model_copy(update={"quantize": recipe.quantize.model_copy(update={"type": "auto"})})
    assert settings(opened, tmp_path / "r.toml", Silent()).recipe.quantize.candidates == ["fast:Q4_K_S"]
    named = recipe.model_copy(update={"quantize": recipe.quantize.model_copy(update={"type": "Q8_0"})})
    assert settings(named, tmp_path / "r.toml", Silent()).recipe.quantize.candidates is None


def test_settings_of_another_model_are_not_used(recipe: Recipe, tmp_path: Path) -> None:
    other = Tuned("file:other.gguf", "a small PC", {"batch": 256}, None, 0, {})
    write(tuned_path(tmp_path / "r.toml"), other)
    heard = Heard()
    assert settings(recipe, tmp_path / "r.toml", heard).tuning == Tuning()
    assert "another model" in heard.warnings[0]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 2}', '{"format": 1, "batch": 1}'])
def test_a_damaged_file_is_named(recipe: Recipe, tmp_path: Path, content: str) -> None:
    tuned_path(tmp_path / "r.toml").write_text(content)
    with pytest.raises(RecipeError, match=r"r\.tuned\.json cannot be read"):
        settings(recipe, tmp_path / "r.toml", Silent())


@pytest.mark.parametrize("engine", [{"kv_type": "q8_0", "flash_attention": "off"}, {"turbo": True}, {"batch": 7}])
def test_settings_that_do_not_go_together_are_refused(
    recipe: Recipe, tmp_path: Path, engine: dict[str, object]
) -> None:
    write(tuned_path(tmp_path / "r.toml"), found(recipe, **engine))
    with pytest.raises(RecipeError, match="does not go with"):
        settings(recipe, tmp_path / "r.toml", Silent())
