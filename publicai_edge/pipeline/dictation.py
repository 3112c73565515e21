"""The speech model of a recipe: checked by running it, and packed as it was published."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from publicai_edge.artifact import FileSet
from publicai_edge.bundle.manifest import DictationInfo
from publicai_edge.engine.speech import process_bytes
from publicai_edge.pipeline.stages import named
from publicai_edge.pipeline.steps import Runner, Step, StepResult
from publicai_edge.recipe import Recipe
from publicai_edge.recipe.lock import Pin

FOLDER = "data/dictation"

_CODE = ("publicai_edge.engine.speech", "publicai_edge.engine.ondemand.session", "publicai_edge.engine.settings_file")
_LIBRARIES = ("numpy", "onnxruntime", "tokenizers")


@dataclass(frozen=True)
class Speech:
    """The speech model: its files, and the step that checked them."""

    files: FileSet
    step: StepResult

    @property
    def memory(self) -> int:
        """Bytes that the process takes that runs it."""
        return process_bytes(sum(blob.size for _, blob in self.files))


def check(runner: Runner, recipe: Recipe, pins: dict[str, Pin]) -> Speech | None:
    """See that the recipe's speech model runs, and which of the bundle's languages it knows; None where there is none.

    Raises:
        ModelError: it does not run, or knows none of them.
    """
    if recipe.dictation is None:
        return None
    files, languages, name = pins["dictation"].files, recipe.bundle.languages, recipe.dictation.source

    def run(_folder: Path) -> dict[str, Any]:
        from publicai_edge.engine.speech.check import check as try_out

        with runner.store.scratch() as work:
            runner.store.checkout(files, work / "speech")
            with named(work / "speech", name):
                found = try_out(work / "speech", name, languages, runner.progress)
        measured = {"peak_rss_bytes": found.peak_rss_bytes}
        return {"languages": list(found.languages), "measured": measured}

    inputs = {"files": files.sha256, "languages": list(languages)}
    step = runner.run(Step("dictation", _CODE, _LIBRARIES, inputs, run))
    if unknown := [tag for tag in languages if tag not in step.facts["languages"]]:
        runner.progress.warn(
            f"{recipe.dictation.name} does not know {', '.join(unknown)}: there patrons can only type."
        )
    return Speech(files, step)


def describe(recipe: Recipe, pins: dict[str, Pin], facts: dict[str, Any] | None) -> DictationInfo | None:
    """Return what ``bundle.json`` says of it."""
    chosen = recipe.dictation
    if chosen is None or facts is None:
        return None
    return DictationInfo(
        name=chosen.name,
        source=chosen.source,
        revision=pins["dictation"].revision,
        license=chosen.license,
        license_url=chosen.license_url,
        folder=FOLDER,
        languages=tuple(facts["languages"]),
        max_seconds=chosen.max_seconds,
    )
