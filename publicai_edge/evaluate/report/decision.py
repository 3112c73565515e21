"""What was decided, in sentences: the same ones on the page, in the JSON and on the terminal.

Three outcomes: ``chosen`` (a type is used, and keeps within every bound that was set), ``refused`` (no type may be
used, or the one asked for fails), ``measured`` (nothing had to be chosen, and at least one type may be used). A pure
function of
:class:`~publicai_edge.evaluate.result.Quality`; it judges nothing anew, it tells the verdicts that are there.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from publicai_edge.evaluate.report import figures
from publicai_edge.evaluate.report.languages import language, names
from publicai_edge.evaluate.result import Candidate, Failure, LanguageLoss, Quality

Outcome = Literal["chosen", "refused", "measured"]

_JUST_OVER = 1.1  # times the bound, below which a number of times says little
_NAMED = 3  # languages that a sentence names before it counts them


@dataclass(frozen=True)
class Decision:
    """What a reader should know first.

    Attributes:
        outcome: what came of it.
        headline: in a few words.
        sentences: why, in a few sentences.
        next_steps: what to try; empty unless refused.
        focus: the candidate that the details are about: the chosen one, else the closest; None when none was measured.
    """

    outcome: Outcome
    headline: str
    sentences: tuple[str, ...]
    next_steps: tuple[str, ...]
    focus: Candidate | None


def decide(quality: Quality) -> Decision:
    """Return the decision that ``quality`` holds, in words."""
    focus, outcome = _focus(quality), _outcome(quality)
    sentences = [quality.reason] if quality.reason else []
    if not quality.candidates and quality.reading_reason:
        sentences.append(quality.reading_reason)
    if focus is not None:
        sentences += _of(quality, focus, outcome)
    if outcome == "measured":
        sentences += _others(quality)
    steps = _next_steps(quality, focus) if outcome == "refused" else ()
    return Decision(outcome, _headline(quality, focus, outcome), tuple(sentences), steps, focus)


def original(quality: Quality) -> str:
    """Return what the reference may be called: it is only "unquantized" where that is known."""
    return "the reference model" if quality.reference_is_quantized else "the unquantized model"


def has_bounds(quality: Quality) -> bool:
    """Whether the recipe set any bound."""
    bounds = quality.bounds
    return bounds.max_loss is not None or bool(bounds.by_language) or bounds.max_facts_lost is not None


def excess(failure: Failure) -> float:
    """Return how many times its bound a failure reaches; infinite over a bound of zero, or when it is no number."""
    return failure.high / failure.bound if failure.bound > 0 and not math.isnan(failure.high) else math.inf


def failing_languages(candidate: Candidate) -> tuple[str, ...]:
    """Return the languages whose loss is over its bound, worst first, each once."""
    return tuple(dict.fromkeys(item.language for item in candidate.verdict.failures if item.figure == "mean_kl"))


def verdict(quality: Quality, candidate: Candidate) -> str:
    """Return the verdict on one type in words."""
    if not candidate.measured.languages:
        return f"Not measured: {candidate.refused}" if candidate.refused else "Not measured"
    parts = []
    failed = failing_languages(candidate)
    if failed:
        parts.append(f"Fails in {_some(failed, len(candidate.measured.languages))}")
    if any(item.figure != "mean_kl" for item in candidate.verdict.failures):
        parts.append("Too many facts lost")
    if not parts and not candidate.verdict.passes:
        parts.append("Fails")
    if candidate.refused:
        parts.append(f"Set aside: {candidate.refused.rstrip('.')}")
    if parts:
        return ". ".join(parts)
    if candidate.measured.name == quality.chosen:
        return "Chosen"
    return "Passes" if has_bounds(quality) else "No bound set"


def _focus(quality: Quality) -> Candidate | None:
    measured = [item for item in quality.candidates if item.measured.languages]
    for item in measured:
        if item.measured.name == quality.chosen:
            return item

    def distance(item: Candidate) -> tuple[bool, float, float]:
        worst = max((excess(failure) for failure in item.verdict.failures), default=0.0)
        return item.refused is not None, worst, item.measured.mean_kl

    return min(measured, key=distance, default=None)


def _outcome(quality: Quality) -> Outcome:
    if not quality.candidates:
        return "measured"
    for item in quality.candidates:
        if item.measured.name == quality.chosen:
            return "chosen" if item.verdict.passes else "refused"
    usable = any(item.verdict.passes and item.refused is None for item in quality.candidates)
    return "measured" if usable and quality.chosen is None else "refused"


def _headline(quality: Quality, focus: Candidate | None, outcome: Outcome) -> str:
    if outcome == "chosen":
        return f"{quality.chosen} was chosen"
    if not quality.candidates:
        return "Only the reading of passages was measured"
    if outcome == "measured":
        return _within(quality)
    only = quality.chosen or (quality.candidates[0].measured.name if len(quality.candidates) == 1 else None)
    if focus is None or focus.verdict.passes:
        none = "no type that passes may be used" if focus else "no type may be used"
        return f"Refused: {f'{only} may not be used' if only else none}"
    measured = sum(bool(item.measured.languages) for item in quality.candidates)
    if only or measured == 1:
        return f"Refused: {only or focus.measured.name} is not good enough"
    every = "" if measured == len(quality.candidates) else " that were measured"
    return f"Refused: none of the {measured} types{every} is within every bound"


def _usable(quality: Quality) -> list[Candidate]:
    """Return the types that were measured and may be used, smallest first."""
    found = [item for item in quality.candidates if item.verdict.passes and not item.refused]
    return sorted(found, key=lambda item: item.measured.bytes)


def _within(quality: Quality) -> str:
    """Say how many types keep within the bounds, and which: all, or some."""
    total, passing = len(quality.candidates), [item.measured.name for item in _usable(quality)]
    if not has_bounds(quality):
        return f"{_types(total) if total > 1 else passing[0]} measured; no bound was set"
    if total == 1:
        return f"{passing[0]} is within every bound"
    if len(passing) == total:
        return f"All {_types(total)} are within every bound"
    which = _listed(passing) if len(passing) <= _NAMED else f"the smallest is {passing[0]}"
    return f"{len(passing)} of {_types(total)} {'is' if len(passing) == 1 else 'are'} within every bound: {which}"


def _others(quality: Quality) -> list[str]:
    """Name the smallest type that may be used, where there are several, and those that may not be."""
    if not has_bounds(quality):
        return []
    usable = _usable(quality)
    sentences = []
    if len(usable) > 1:
        least = usable[0].measured
        sentences.append(f"The smallest type within every bound, {least.name}, takes {figures.size(least.bytes)}.")
    failing = [item.measured.name for item in quality.candidates if item.verdict.failures]
    if failing:
        sentences.append(f"Not within every bound: {_listed(failing)}.")
    return sentences


def _types(count: int) -> str:
    return f"{figures.count(count)} type{'' if count == 1 else 's'}"


def _listed(words: Sequence[str]) -> str:
    """Return words as a list: "A", "A and B", "A, B and C"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1] if words else ""]))


def _of(quality: Quality, focus: Candidate, outcome: Outcome) -> list[str]:
    measured = focus.measured
    share = figures.percent(measured.bytes / quality.reference_bytes) if quality.reference_bytes else figures.UNKNOWN
    sizes = f"{figures.size(measured.bytes)} instead of {figures.size(quality.reference_bytes)}, {share} of the size"
    closest = "The closest type" if outcome == "refused" else "The type that loses least"
    single = len(quality.candidates) == 1 or measured.name == quality.chosen
    sentences = [f"{measured.name if single else f'{closest}, {measured.name},'} takes {sizes}."]
    if focus.verdict.failures:
        return sentences + _failures(quality, focus)
    sentences.append(_worst(quality, measured.worst, only=len(measured.languages) == 1))
    lost = _facts(quality, focus)
    return [*sentences, lost] if lost else sentences


def _worst(quality: Quality, worst: LanguageLoss, *, only: bool) -> str:
    name, bound = language(worst.language).name, quality.bounds.of(worst.language)
    kept = f"{figures.of_hundred(worst.top_agreement.value)} next words stay the same"
    start = f"In {name}, {kept}" if only else f"The language that loses most is {name}: there, {kept}"
    if bound is None:
        return f"{start} (loss {figures.loss(worst.mean_kl.value)}, at most {figures.loss(worst.mean_kl.high)})."
    high, allowed = _apart(worst.mean_kl.high, bound)
    return f"{start}, and the loss is at most {high}, where {allowed} is allowed."


def _failures(quality: Quality, focus: Candidate) -> list[str]:
    sentences = []
    losses = [item for item in focus.verdict.failures if item.figure == "mean_kl"]
    if losses:
        worst, rest = losses[0], losses[1:]
        where = f"It fails in {language(worst.language).name}: there, the loss"
        kept = next((item for item in focus.measured.languages if item.language == worst.language), None)
        if not math.isfinite(worst.high) or kept is None:
            sentences.append(f"{where} is no number.")
        else:
            high, allowed = _apart(worst.high, worst.bound)
            same = f"only {figures.of_hundred(kept.top_agreement.value)} next words stay the same"
            sentences.append(f"{where} may be as high as {high}, {_over(worst)} ({allowed}), and {same}.")
        if rest:
            sentences.append(f"It also fails in {_some([item.language for item in rest])}.")
    lost = _facts(quality, focus)
    return [*sentences, lost] if lost else sentences


def _over(failure: Failure) -> str:
    times = excess(failure)
    if times < _JUST_OVER:
        return "just over what is allowed"
    return f"{figures.times(times)} what is allowed" if math.isfinite(times) else "more than what is allowed"


def _facts(quality: Quality, focus: Candidate) -> str | None:
    lost, stated = focus.measured.facts_lost, stated_facts(focus)
    if not lost:
        return None
    allowed = quality.bounds.max_facts_lost
    bound = "" if allowed is None else f"; {f'at most {allowed}' if allowed else 'none'} may be"
    are = "is" if lost == 1 else "are"
    return f"Of the {stated} facts that {original(quality)} states in its answers, {lost} {are} missing{bound}."


def stated_facts(candidate: Candidate) -> int:
    """Return how many of the expected facts the reference states."""
    return sum(sum(answer.reference_found) for answer in candidate.measured.answers)


def _some(tags: Sequence[str], of: int | None = None) -> str:
    """Return up to three languages by name; more as a number and the worst one's name."""
    if len(tags) <= _NAMED:
        return names(tags)
    total = "" if of is None or of == len(tags) else f" of {of}"
    return f"{'all ' if of == len(tags) else ''}{len(tags)}{total} languages, most in {language(tags[0]).name}"


def _other_types(quality: Quality) -> list[str]:
    """Name the smallest type that passes, if there is one: to use, or to make room for."""
    passing = [item for item in quality.candidates if item.verdict.passes and item.measured.languages]
    usable = [item for item in passing if not item.refused]
    least = min(usable or passing, key=lambda item: item.measured.bytes, default=None)
    if least is None:
        return []
    name = least.measured.name
    if least.refused:
        why = least.refused.rstrip(".")
        return [f"Give it more room: {name} keeps within every bound, but was set aside ({why})."]
    return [f"Use {name}: it keeps within every bound, and takes {figures.size(least.measured.bytes)}."]


def _next_steps(quality: Quality, focus: Candidate | None) -> tuple[str, ...]:
    steps = _other_types(quality)
    if focus is None:
        return (*steps, "Allow a larger file, or start from a smaller model: no type could be measured.")
    failed = failing_languages(focus)
    where = _some(failed)
    if failed and not quality.method.imatrix:
        steps.append(f"Calibrate: quantize with an importance matrix (imatrix) from texts in {where}.")
    if focus.verdict.failures and quality.untested:
        steps.append(f"Try {quality.untested[0]}, the next larger type: it was not measured.")
    unsure = tuple(
        item.language for item in focus.verdict.failures if item.figure == "mean_kl" and item.value <= item.bound
    )
    if unsure:
        steps.append(
            f"Measure with more documents in {_some(unsure)}: the loss is within the bound, only its margin is not."
        )
    if failed:
        steps.append(
            f"Or allow a greater loss in {where} (max_loss, or max_loss_by_language in a recipe), and say in public "
            "why that is right."
        )
    elif focus.verdict.failures:
        steps.append(
            "Or allow more facts to be missing (max_facts_lost in the recipe), and say in public why that is right."
        )
    return tuple(steps)


def _apart(high: float, bound: float) -> tuple[str, str]:
    """Return both numbers short, but never alike when they differ."""
    short = figures.loss(high), figures.loss(bound)
    if short[0] != short[1] or high == bound:
        return short
    places = figures.decimals_apart((high, bound), [(high, bound)])
    return figures.loss(high, places), figures.loss(bound, places)
