"""Which type a model is packed in: the one the recipe names if it passes, or the smallest that does.

Invariants: types are tried from small to large, and no larger one is made once one passes; a type that would not fit
the device is told, never measured; what was measured before is not measured again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from publicai_edge.artifact import Blob
from publicai_edge.evaluate.gate import judge
from publicai_edge.evaluate.result import Bounds, Candidate, Measured, Verdict
from publicai_edge.pipeline.steps import StepResult
from publicai_edge.progress import Progress
from publicai_edge.recipe import Quality

Fits = Callable[[int], str | None]
"""Takes the model's bytes; returns why they do not fit the device, or None."""


class Laboratory(Protocol):
    """What choosing needs of :class:`publicai_edge.pipeline.measuring.Measuring`."""

    def sizes(self, names: Sequence[str]) -> Mapping[str, int]:
        """Return the bytes each type's file would take."""
        ...

    def quantized(self, name: str) -> StepResult:
        """Return the model in a type."""
        ...

    def measured(self, name: str, model: Blob) -> Measured:
        """Return what was measured of it."""
        ...


@dataclass(frozen=True)
class Choice:
    """What was tried, small to large, and which one passed: its name and the step that made it."""

    candidates: tuple[Candidate, ...]
    name: str | None = None
    step: StepResult | None = None


def bounds_of(quality: Quality) -> Bounds:
    """Return what a recipe allows to be lost."""
    return Bounds(quality.max_loss, dict(quality.max_loss_by_language), quality.max_facts_lost)


def choose(laboratory: Laboratory, names: Sequence[str], bounds: Bounds, fits: Fits, progress: Progress) -> Choice:
    """Try the types from small to large until one fits the device and passes in every language."""
    sizes = laboratory.sizes(names)
    tried = []
    for name in sorted(names, key=lambda item: (sizes[item], item)):
        if problem := fits(sizes[name]):
            tried.append(Candidate(Measured(name, "", sizes[name], ()), Verdict(passes=False), problem))
            continue
        step = laboratory.quantized(name)
        measured = laboratory.measured(name, step.files.only())
        verdict = judge(measured, bounds)
        tried.append(Candidate(measured, verdict))
        progress.say(line(measured, verdict, bounds))
        if verdict.passes:
            return Choice(tuple(tried), name, step)
    return Choice(tuple(tried))


def reason(choice: Choice, names: Sequence[str]) -> str:
    """Return in one sentence why the type was chosen, or why none was."""
    if len(names) == 1:
        return f"The recipe asks for {names[0]}."
    if choice.name is None:
        return f"None of the {len(names)} types that may be chosen from keeps within every bound and fits the device."
    said = f"{choice.name} is the smallest of {len(names)} types that keeps within every bound and fits the device"
    tried = {item.measured.name for item in choice.candidates}
    spared = [name for name in names if name not in tried]
    if not spared:
        return f"{said}."
    if len(spared) == 1:
        return f"{said}; the larger one, {spared[0]}, needed no measuring."
    return f"{said}; the {len(spared)} larger ones needed no measuring."


def line(measured: Measured, verdict: Verdict, bounds: Bounds) -> str:
    """Return one line of talk about a measurement."""
    worst = measured.worst
    said = f"{measured.name} ({measured.bytes / 1e6:,.0f} MB): loss {measured.mean_kl:.4f} on average, most in "
    said += f"{worst.language}, {worst.mean_kl.value:.4f} (at most {worst.mean_kl.high:.4f})"
    if verdict.failures:
        return f"{said}: fails in {', '.join(dict.fromkeys(item.language for item in verdict.failures))}."
    return f"{said}: passes." if bounds.max_loss is not None or bounds.by_language else f"{said}."
