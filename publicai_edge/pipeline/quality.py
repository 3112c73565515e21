"""From a model and what a recipe says of quality to the model that is packed, and the report on it."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from publicai_edge import atomic
from publicai_edge.artifact import Blob, FileSet
from publicai_edge.errors import RecipeError
from publicai_edge.evaluate import gate
from publicai_edge.evaluate.questions import Question
from publicai_edge.evaluate.report import is_report_html, is_report_json, render_html, render_json
from publicai_edge.evaluate.result import Bounds, Method, TextUse
from publicai_edge.evaluate.result import Quality as Report
from publicai_edge.evaluate.statistics import RESAMPLES
from publicai_edge.pipeline import candidates, choosing, corpora
from publicai_edge.pipeline.choosing import Choice, Fits
from publicai_edge.pipeline.corpora import Sides, TextsPart
from publicai_edge.pipeline.fetching import texts_role
from publicai_edge.pipeline.measuring import Measuring, Settings, Subject
from publicai_edge.pipeline.steps import Runner, StepResult
from publicai_edge.recipe import AUTO, Quality, Recipe
from publicai_edge.recipe.lock import Pin
from publicai_edge.tuning import Tuning

HTML, JSON = "quality.html", "quality.json"
_FEW_DOCUMENTS = 5


@dataclass(frozen=True)
class Reference:
    """The unquantized model: its file in the store, its published name, its type, whether it was quantized before."""

    model: Blob
    name: str
    type: str
    is_quantized: bool


def _quality_of(recipe: Recipe) -> Quality:
    if recipe.quality is None:
        raise RuntimeError("a recipe without [quality] has nothing to choose by")
    return recipe.quality


def laboratory(
    runner: Runner, recipe: Recipe, reference: Reference, pins: Mapping[str, Pin], questions: tuple[Question, ...]
) -> tuple[Measuring, StepResult]:
    """Return what measures the types of a recipe's model, and the step that divided its texts.

    Args:
        runner: runs the steps.
        recipe: has [quality].
        reference: the unquantized model.
        pins: with the texts.
        questions: prepared for the model.
    """
    quality = _quality_of(recipe)
    parts = [TextsPart(texts, pins[texts_role(number)].files) for number, texts in enumerate(quality.texts, 1)]
    calibrated = recipe.quantize.imatrix
    split = corpora.split_texts(runner, parts, quality, recipe.bundle.languages, calibrated=calibrated)
    settings = Settings(
        context=quality.context,
        calibrate=calibrated,
        allow_requantize=recipe.quantize.allow_requantize,
        answer_context=recipe.target.context,
        kv_type=recipe.engine.kv_type or Tuning.kv_type,
    )
    return Measuring(runner, Subject(reference.model, reference.name), Sides.of(split), settings, questions), split


@dataclass(frozen=True)
class Chosen:
    """The step that made the model to pack, and the report on what it cost."""

    step: StepResult
    report: Report


def choose(
    runner: Runner,
    recipe: Recipe,
    reference: Reference,
    pins: Mapping[str, Pin],
    questions: tuple[Question, ...],
    fits: Fits,
    refused: Path,
) -> Chosen:
    """Quantize as the recipe says, measure, and hold the result to its bounds.

    Args:
        runner: runs the steps.
        recipe: has [quality], and a type other than "keep".
        reference: the unquantized model.
        pins: with the texts.
        questions: prepared for the model.
        fits: says whether a size fits the device.
        refused: where the report goes when nothing passes, a path without ending.

    Raises:
        RecipeError: no type passes in every language and fits; the message names the worst one.
    """
    measuring, split = laboratory(runner, recipe, reference, pins, questions)
    names = candidates.check(recipe.quantize, calibrated=measuring.settings.calibrate)
    bounds = choosing.bounds_of(_quality_of(recipe))
    choice = choosing.choose(measuring, names, bounds, fits, runner.progress)
    made = report(
        recipe.bundle.title[recipe.bundle.languages[0]],
        reference,
        choice,
        bounds,
        split,
        measuring,
        reason=choosing.reason(choice, names),
        fits=fits,
    )
    if choice.step is None:
        raise _refusal(choice, made, refused, automatic=recipe.quantize.type == AUTO)
    return Chosen(choice.step, made)


def report(
    title: str,
    reference: Reference,
    choice: Choice,
    bounds: Bounds,
    split: StepResult,
    measuring: Measuring,
    *,
    reason: str,
    fits: Fits = lambda _size: None,
) -> Report:
    """Return everything a report tells."""
    used = corpora.calibrated_with(measuring.runner.store, split, measuring.calibration_documents)
    return Report(
        title=title,
        reference=reference.name,
        reference_type=reference.type,
        reference_bytes=reference.model.size,
        reference_is_quantized=reference.is_quantized,
        candidates=choice.candidates,
        chosen=choice.name,
        reason=reason,
        bounds=bounds,
        texts=tuple(_text_use(item, count) for item, count in zip(split.facts["texts"], used, strict=True)),
        method=Method(
            engine=_engine(),
            context=measuring.settings.context,
            tokens_per_language=None,
            resamples=RESAMPLES,
            imatrix=measuring.calibrated,
        ),
        untested=_untested(measuring, choice, fits),
        notes=(*_text_notes(split), *measuring.notes),
    )


def unmeasured(recipe: Recipe, reference: Reference, reason: str) -> Report:
    """Return a report on a model of which no type was measured: there, only how passages are read can be told."""
    return Report(
        title=recipe.bundle.title[recipe.bundle.languages[0]],
        reference=reference.name,
        reference_type=reference.type,
        reference_bytes=reference.model.size,
        reference_is_quantized=reference.is_quantized,
        candidates=(),
        chosen=None,
        reason=reason,
        bounds=Bounds(),
        texts=(),
        method=Method(_engine(), recipe.target.context, tokens_per_language=None, resamples=RESAMPLES, imatrix=False),
    )


def _engine() -> str:
    return f"llama.cpp (llama-cpp-python {version('llama-cpp-python')})"


def _untested(measuring: Measuring, choice: Choice, fits: Fits) -> tuple[str, ...]:
    """Return the larger types that are left to try and fit the device, where all that were measured fail."""
    measured = [item for item in choice.candidates if item.measured.languages]
    if not measured or any(item.verdict.passes for item in measured):
        return ()
    known = {item.measured.name for item in choice.candidates}
    larger = measuring.larger([item.measured for item in measured])
    return tuple(name for name, size in larger.items() if name not in known and fits(size) is None)


def files(runner: Runner, made: Report) -> FileSet:
    """Return the report as a page and as JSON, in the store."""
    store = runner.store
    return FileSet({HTML: store.add_bytes(render_html(made)), JSON: store.add_bytes(render_json(made))})


def facts(made: Report) -> dict[str, Any]:
    """Return what ``bundle.json`` and ``build.json`` say of it."""
    chosen = next(item.measured for item in made.candidates if item.measured.name == made.chosen)
    allowed = {loss.language: made.bounds.of(loss.language) for loss in chosen.languages}
    return {
        "chosen": made.chosen,
        "loss": {loss.language: loss.mean_kl.value for loss in chosen.languages},
        "allowed": {language: bound for language, bound in allowed.items() if bound is not None},
        "facts_lost": chosen.facts_lost,
        "tried": [item.measured.name for item in made.candidates],
    }


def write(made: Report, page: Path, record: Path) -> None:
    """Write the report to two files of the user's."""
    for path, data in ((page, render_html(made)), (record, render_json(made))):
        with atomic.host_errors("write", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_bytes(path, data)


def _text_use(item: Mapping[str, Any], calibration_documents: int) -> TextUse:
    return TextUse(
        name=item["name"],
        license=item["license"],
        license_url=item["license_url"],
        languages=tuple(item["languages"]),
        calibration_documents=calibration_documents,
        evaluation_documents=item["evaluation_documents"],
    )


def _text_notes(split: StepResult) -> list[str]:
    return [f"{item['name']}: {note}" for item in split.facts["texts"] for note in item["notes"]]


def _refusal_files(place: Path) -> tuple[Path, Path]:
    """Return where the report on a refused model goes: beside the bundle that there is not, named after it."""
    return place.with_name(f"{place.name}-{HTML}"), place.with_name(f"{place.name}-{JSON}")


def withdraw(place: Path) -> None:
    """Remove the report that an earlier, refused build left at ``place``; nothing that this program did not write."""
    for path, is_report in zip(_refusal_files(place), (is_report_html, is_report_json), strict=True):
        with suppress(OSError):
            if path.is_file() and not path.is_symlink() and is_report(path.read_bytes()):
                path.unlink()


def _refusal(choice: Choice, made: Report, place: Path, *, automatic: bool) -> RecipeError:
    """Return the error for a model that may not be packed, after leaving the report where the bundle would be."""
    page, record = _refusal_files(place)
    write(made, page, record)
    measured = [item for item in choice.candidates if item.measured.languages]
    if not measured:
        return RecipeError(
            f"No type fits the device: even {choice.candidates[0].measured.name}, the smallest, does not: "
            f"{choice.candidates[0].refused}.",
            hint="Choose a smaller model, or raise [target] in the recipe if the device has more.",
        )
    best = measured[-1]
    too_large = [item for item in choice.candidates if item.refused]
    message = gate.refusal(best, choice.candidates, made.untested)
    if too_large:
        names = ", ".join(item.measured.name for item in too_large)
        message += f" Larger ones do not fit the device ({names}): {too_large[0].refused}."
    instead = "" if automatic else ' With quantize.type = "auto", the build finds the smallest that passes.'
    return RecipeError(
        message,
        hint=f"See {page} for every language.{instead}",
        report=str(page),
        languages=[failure.language for failure in best.verdict.failures],
    )
