"""The model in the types that tuning may choose from, and whether each keeps within what may be lost."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from publicai_edge.artifact import Blob
from publicai_edge.errors import RecipeError
from publicai_edge.evaluate.gate import judge
from publicai_edge.pipeline import budget, candidates, choosing, quality, stages
from publicai_edge.pipeline.measuring import Measuring
from publicai_edge.pipeline.options import Options
from publicai_edge.pipeline.prepared import Prepared, name_of, questions_of, reference_of
from publicai_edge.pipeline.steps import Runner
from publicai_edge.pipeline.tune_duration import reading_of
from publicai_edge.quantize import KEEP
from publicai_edge.recipe import AUTO
from publicai_edge.tune.duration import Reading
from publicai_edge.tuning import KV_TYPES, KvType, Tuning


@dataclass(frozen=True)
class Judged:
    """What was found of a type's quality.

    Attributes:
        type: of the weights.
        kv_type: of the KV cache.
        bytes: of the file.
        loss: mean KL divergence in each language, nats per token.
        passes: whether it keeps within every bound.
    """

    type: str
    kv_type: str
    bytes: int
    loss: dict[str, float]
    passes: bool


class Models(Protocol):
    """The model in the types that may be chosen."""

    names: tuple[str, ...]
    kv_types: tuple[KvType, ...]
    inputs: Any
    judged: list[Judged]
    reading: Reading

    def path(self, name: str) -> Path:
        """Return the file of one type."""
        ...

    def holds(self, name: str, kv_type: str) -> bool:
        """Say whether it may be chosen."""
        ...


def models(runner: Runner, ready: Prepared, options: Options, original: Blob) -> Models:
    recipe = ready.recipe
    if options.model or recipe.quality is None or recipe.quantize.type == KEEP:
        return _One(runner, ready, options, original)
    return _Many(runner, ready, options, original)


class _One:
    """One file, of whose quality nothing is known or asked: everything is searched that does not change an answer."""

    def __init__(self, runner: Runner, ready: Prepared, options: Options, original: Blob) -> None:
        recipe = ready.recipe
        settings = recipe.quantize.model_copy(update={"type": KEEP}) if options.model else recipe.quantize
        made = stages.quantize_model(runner, original, settings, name_of(recipe, options)).files.only()
        self._path = runner.store.path(made)
        self.names: tuple[str, ...] = ("",)
        self.kv_types: tuple[KvType, ...] = (recipe.engine.kv_type or Tuning.kv_type,)
        self.inputs = [made.sha256]
        self.judged: list[Judged] = []
        self.reading = Reading()

    def path(self, _name: str) -> Path:
        return self._path

    def holds(self, _name: str, _kv_type: str) -> bool:
        return True


class _Many:
    """The types a recipe lets one choose from, each held to its bounds of quality and of memory."""

    def __init__(self, runner: Runner, ready: Prepared, options: Options, original: Blob) -> None:
        recipe = self._recipe = ready.recipe
        if recipe.quality is None:
            raise RuntimeError("without [quality], nothing can be held to it")
        self._runner, self._ready = runner, ready
        self._bounds = choosing.bounds_of(recipe.quality)
        reference, questions = reference_of(ready, original), questions_of(ready, options)
        self.laboratory, _ = quality.laboratory(runner, recipe, reference, ready.pins, questions)
        offered = self._offered()
        self._sizes = self.laboratory.sizes(offered)
        self.kv_types: tuple[KvType, ...] = (recipe.engine.kv_type,) if recipe.engine.kv_type else KV_TYPES
        self.names = tuple(name for name in offered if any(self._fits(name, each) is None for each in self.kv_types))
        if not self.names:
            smallest = min(offered, key=lambda name: self._sizes[name])
            raise RecipeError(
                f"No type fits the device: even {smallest}, the smallest, does not: "
                f"{self._fits(smallest, self.kv_types[-1])}.",
                hint="Choose a smaller model, or raise [target] in the recipe if the device has more.",
            )
        self.inputs = [original.sha256, recipe.quality.model_dump(mode="json"), list(self.names)]
        self.judged: list[Judged] = []
        self.reading = reading_of(self.laboratory, self.names, len(self.kv_types), original)
        self._files = cache(self._made)

    def _offered(self) -> tuple[str, ...]:
        settings, calibrated = self._recipe.quantize, self.laboratory.settings.calibrate
        if settings.type == AUTO and not settings.candidates:
            names = [*candidates.QUICK, *(candidates.QUICK_MIXES if calibrated else ())]
            settings = settings.model_copy(update={"candidates": names})
        return candidates.check(settings, calibrated=calibrated)

    def _fits(self, name: str, kv_type: str) -> str | None:
        recipe = self._recipe
        recipe = recipe.model_copy(update={"engine": recipe.engine.model_copy(update={"kv_type": kv_type})})
        ready = self._ready
        return budget.too_large(
            recipe, ready.inspected.facts, self._sizes[name], ready.other_bytes, ready.speech_memory
        )

    def path(self, name: str) -> Path:
        return self._files(name)

    def _made(self, name: str) -> Path:
        return self._runner.store.path(self.laboratory.quantized(name).files.only())

    def holds(self, name: str, kv_type: str) -> bool:
        known = next((item for item in self.judged if (item.type, item.kv_type) == (name, kv_type)), None)
        if known is None:
            known = self._judge(name, kv_type)
            self.judged.append(known)
        return known.passes

    def _judge(self, name: str, kv_type: str) -> Judged:
        progress = self._runner.progress
        shown = name if kv_type == Tuning.kv_type else f"{name} with a KV cache in {kv_type}"
        if problem := self._fits(name, kv_type):
            progress.say(f"{shown} does not fit the device: {problem}.")
            return Judged(name, kv_type, self._sizes[name], {}, passes=False)
        made = self.laboratory.quantized(name).files.only()
        measured = self._with_cache(kv_type).measured(name, made)
        verdict = judge(measured, self._bounds)
        progress.say(choosing.line(replace(measured, name=shown), verdict, self._bounds))
        loss = {item.language: item.mean_kl.value for item in measured.languages}
        return Judged(name, kv_type, made.size, loss, verdict.passes)

    def _with_cache(self, kv_type: str) -> Measuring:
        known: KvType = "q8_0" if kv_type == "q8_0" else "f16"
        return replace(self.laboratory, settings=replace(self.laboratory.settings, kv_type=known))
