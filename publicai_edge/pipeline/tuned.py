"""Which engine settings a bundle is built with: the recipe's own, else what tuning found, else the usual ones."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from publicai_edge.errors import RecipeError
from publicai_edge.progress import Progress
from publicai_edge.recipe import AUTO, Engine, Recipe
from publicai_edge.recipe.tuned import Tuned, read, tuned_path
from publicai_edge.tuning import Tuning


@dataclass(frozen=True)
class EngineSettings:
    """The settings, and the recipe with the type that tuning chose.

    Attributes:
        recipe: the recipe to build, with these settings as its own.
        tuning: how the engine evaluates.
        warm: whether the bundle holds the service prompts' states.
        tuned_on: the machine it was tuned on, in words; None where it was not.
    """

    recipe: Recipe
    tuning: Tuning = Tuning()  # noqa: RUF009 - frozen
    warm: bool = True
    tuned_on: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what the build report tells."""
        return {**self.tuning.to_json(), "warm": self.warm, "tuned_on": self.tuned_on}


def settings(recipe: Recipe, place: Path, progress: Progress) -> EngineSettings:
    """Return the settings of the recipe at ``place``.

    Raises:
        RecipeError: the tuned file beside it is damaged, or does not go with the recipe.
    """
    path = tuned_path(place)
    own = recipe.engine.model_dump(exclude_none=True)
    found = read(path) if recipe.model.engine == "llama" else None
    if found and found.source != recipe.model.source:
        progress.warn(f"{path.name} is for {found.source}, another model: not used. Run `publicai-edge tune` again.")
        found = None
    given = found.engine if found else {}
    try:
        tuning = recipe.engine.tuning(given)
        Engine(**given)
    except (ValueError, TypeError) as error:
        raise RecipeError(
            f"{path} does not go with [engine] in {place}: {error}.", hint="Run `publicai-edge tune` again."
        ) from error
    warm = bool({"warm": True, **given, **own}["warm"])
    recipe = recipe.model_copy(update={"engine": Engine(**{**given, **own})})
    if found is None:
        return EngineSettings(recipe, tuning, warm)
    progress.say(f"Engine settings from {path.name}, found on {found.device}: {tuning}.")
    return EngineSettings(_typed(recipe, found), tuning, warm, found.device)


def _typed(recipe: Recipe, found: Tuned) -> Recipe:
    """Return the recipe with the type that was found, where it lets one choose; it is still held to every bound."""
    if recipe.quantize.type != AUTO or found.type is None:
        return recipe
    return recipe.model_copy(update={"quantize": recipe.quantize.model_copy(update={"candidates": [found.type]})})
