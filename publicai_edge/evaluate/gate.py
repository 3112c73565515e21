"""Whether a measured model may be used, and which one: pure functions of what was measured.

A language holds when the upper end of the interval of its mean KL divergence is at or below its bound. The report names
every bound that does not hold, worst first: by how many times it is over.
"""

import math
from collections.abc import Sequence

from publicai_edge.evaluate.result import Bounds, Candidate, Failure, Measured, Verdict

MEAN_KL, FACTS_LOST = "mean_kl", "facts_lost"


def judge(measured: Measured, bounds: Bounds) -> Verdict:
    """Hold a model's losses against the bounds. Facts are counted over all languages, under the worst one's name."""
    failures = []
    for loss in measured.languages:
        bound = bounds.of(loss.language)
        # A loss that is not a number is within no bound.
        if bound is not None and not loss.mean_kl.high <= bound:
            failures.append(Failure(loss.language, MEAN_KL, loss.mean_kl.value, loss.mean_kl.high, bound))
    allowed = bounds.max_facts_lost
    if allowed is not None and (lost := measured.facts_lost) > allowed:
        failures.append(Failure(_most_facts_lost(measured), FACTS_LOST, lost, lost, allowed))
    return Verdict(not failures, tuple(sorted(failures, key=_excess, reverse=True)))


def choose(candidates: Sequence[Candidate]) -> Candidate | None:
    """Return the smallest candidate that passes and was not refused for another reason, or None."""
    usable = [item for item in candidates if item.verdict.passes and item.refused is None]
    return min(usable, key=lambda item: item.measured.bytes, default=None)


def refusal(candidate: Candidate, others: Sequence[Candidate] = (), untested: Sequence[str] = ()) -> str:
    """Say in one sentence or two why a candidate that does not pass is not used, and what to try.

    Args:
        candidate: one whose verdict does not pass.
        others: the other measured ones.
        untested: names of larger types that were not measured, smallest first, as in a ``Quality``.

    Raises:
        ValueError: it passes.
    """
    if not candidate.verdict.failures:
        raise ValueError(f"{candidate.measured.name} passes: there is nothing to refuse")
    worst = candidate.verdict.failures[0]
    name = candidate.measured.name
    if worst.figure == FACTS_LOST:
        first = (
            f"{name} loses {worst.value:g} of the facts that the unquantized model states, most in {worst.language}; "
            f"{worst.bound:g} may be lost."
        )
    else:
        first = (
            f"{name} loses too much in {worst.language}: its mean KL divergence is {worst.value:.4g} nats per token, "
            f"up to {worst.high:.4g} within its 95 % interval, and {worst.bound:.4g} is allowed."
        )
    more = len({failure.language for failure in candidate.verdict.failures} - {worst.language})
    if more:
        first += (
            f" {more} more languages are over their bound." if more > 1 else " One more language is over its bound."
        )
    return f"{first} {_next(candidate, others, untested)}"


def _next(candidate: Candidate, others: Sequence[Candidate], untested: Sequence[str]) -> str:
    larger = [other for other in others if other.measured.bytes > candidate.measured.bytes]
    if found := choose(larger):
        return f"The next larger type that passes is {found.measured.name}."
    if untested:
        return f"The next larger type, {untested[0]}, was not measured: try it."
    missing = "No larger type passes" if larger else "There is no larger type to try"
    return f"{missing}: allow a larger loss, or leave the model unquantized."


def _excess(failure: Failure) -> float:
    """Return how many times over its bound a failure is; any excess over nought is infinite."""
    if math.isnan(failure.high):
        return float("inf")
    return failure.high / failure.bound if failure.bound > 0 else float("inf")


def _most_facts_lost(measured: Measured) -> str:
    lost: dict[str, int] = {}
    for answer in measured.answers:
        lost[answer.language] = lost.get(answer.language, 0) + len(answer.lost)
    return max(lost, key=lambda language: lost[language])
