"""The model to pack: quantized as the recipe says, measured and judged; and what its kiosk's reading of passages costs.

A build goes on from here to pack it; ``publicai-edge evaluate RECIPE`` ends here, with the report.
"""

from dataclasses import dataclass, replace
from typing import Any

from publicai_edge.artifact import Blob, FileSet
from publicai_edge.evaluate.result import Quality as Report
from publicai_edge.pipeline import budget, quality, reading, stages
from publicai_edge.pipeline.options import Options
from publicai_edge.pipeline.prepared import Prepared, name_of, questions_of, reference_of
from publicai_edge.pipeline.reading import Decided
from publicai_edge.pipeline.steps import Runner, StepResult
from publicai_edge.quantize import KEEP
from publicai_edge.recipe import Recipe


@dataclass(frozen=True)
class Made:
    """The model to pack.

    Attributes:
        step: the step that made it.
        report: what was measured of it; nothing yet where it was not quantized, None for a model in ONNX.
        facts: what ``bundle.json`` says of that; None where nothing was measured.
    """

    step: StepResult
    report: Report | None = None
    facts: dict[str, Any] | None = None

    def with_reading(self, read: Decided) -> Report | None:
        """Return the report with what was measured of reading passages, or None where nothing was measured at all."""
        if self.report is None or not (self.report.candidates or read.measured):
            return None
        return replace(self.report, reading=read.measured, reading_reason=read.reason)

    def files(self, runner: Runner, read: Decided) -> FileSet:
        """Return the report's files, in the store; none where nothing was measured."""
        report = self.with_reading(read)
        return quality.files(runner, report) if report else FileSet({})


def make(runner: Runner, ready: Prepared, options: Options) -> Made:
    """Quantize the model as the recipe says; measured and judged where the recipe has [quality].

    Args:
        runner: runs the steps.
        ready: everything before it.
        options: how.

    Raises:
        RecipeError: no type passes in every language and fits; the report on it is left beside the bundle's place.
    """
    original, recipe, inspected = ready.original, ready.recipe, ready.inspected.facts
    if not isinstance(original, Blob):
        return Made(original)
    name = name_of(recipe, options)
    if options.model or recipe.quantize.type == KEEP or recipe.quality is None:
        settings = recipe.quantize.model_copy(update={"type": KEEP}) if options.model else recipe.quantize
        step = stages.quantize_model(runner, original, settings, name)
        reason = _what_is_not_known(recipe, step, options)
        return Made(step, quality.unmeasured(recipe, reference_of(ready, original), reason))
    chosen = quality.choose(
        runner,
        recipe,
        reference_of(ready, original),
        ready.pins,
        questions_of(ready, options),
        lambda size: budget.too_large(recipe, inspected, size, ready.other_bytes, ready.speech_memory),
        options.output / f"{recipe.bundle.name}-{recipe.bundle.version}",
    )
    return Made(chosen.step, chosen.report, quality.facts(chosen.report))


def documents_of(ready: Prepared) -> reading.Documents:
    """Return the search model and the index, as far as the recipe has them."""
    return ready.embedding, ready.indexed.files if ready.indexed else None


def _what_is_not_known(recipe: Recipe, step: StepResult, options: Options) -> str:
    """Say that nothing was measured, and return why in a sentence."""
    if step.facts["type"] != KEEP:
        languages = ", ".join(recipe.bundle.languages)
        options.progress.warn(
            f"Nothing says what {step.facts['type']} costs in {languages}: add a [quality] table to the recipe."
        )
        return f"The model was quantized to {step.facts['type']}; what that costs was not measured."
    if recipe.quality is not None:
        options.progress.warn("The model is packed as it is, so there is nothing to measure: [quality] is not used.")
    return "The model is packed as it was published, so there is no loss by quantization to measure."
