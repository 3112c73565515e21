"""What it costs to put passages together from what was computed before, instead of reading them for every question.

The recipe's questions are answered by the very model that is packed: with all passages read, greedily; and with the
passages put together, once along the first answer, to compare what each next token's chances are, and once freely, to
see which facts the answer states. See :mod:`publicai_edge.engine.passages.composer` for what is lost.

Units: KL divergence in nats per token of the answer, mean over a question's tokens, then over questions; intervals are
95 % bootstrap intervals over questions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self, cast

from publicai_edge import child
from publicai_edge.engine.passages.settings import Composition, PassageSettings
from publicai_edge.evaluate.questions import Question
from publicai_edge.evaluate.result import Interval
from publicai_edge.progress import Progress
from publicai_edge.tuning import Tuning


@dataclass(frozen=True)
class Answered:
    """One question under one composition.

    Attributes:
        question: the patron's words.
        language: BCP 47 tag.
        kl: mean KL divergence along the answer that all of the passages gave.
        agreement: share of that answer's tokens that are the likeliest here too.
        text: the answer.
        found: which of the facts it states.
        read: tokens that were read for it.
    """

    question: str
    language: str
    kl: float
    agreement: float
    text: str
    found: tuple[bool, ...]
    read: int


@dataclass(frozen=True)
class Reading:
    """All questions under one composition; that named "exact" is what the others are compared with."""

    composition: str
    recomputed: int
    answers: tuple[Answered, ...]

    def of(self, language: str) -> "Reading":
        """Return its answers in one language."""
        return replace(self, answers=tuple(answer for answer in self.answers if answer.language == language))

    @property
    def facts(self) -> int:
        """Facts that the answers state."""
        return sum(sum(answer.found) for answer in self.answers)

    @property
    def mean_kl(self) -> Interval:
        """Mean over the questions."""
        import numpy as np

        from publicai_edge.evaluate.statistics import bootstrap_mean

        return bootstrap_mean(np.array([answer.kl for answer in self.answers]))

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Rebuild it from :meth:`to_json`'s value."""
        answers = (Answered(**{**item, "found": tuple(item["found"])}) for item in value["answers"])
        return cls(value["composition"], value["recomputed"], tuple(answers))


def measure(
    model: Path,
    questions: Sequence[Question],
    compositions: Sequence[PassageSettings],
    *,
    context: int,
    max_tokens: int,
    tuning: Tuning,
    kept: Path,
    progress: Progress,
) -> tuple[Reading, ...]:
    """Measure in a child process; the first returned is "exact", the others in the order of ``compositions``.

    What was measured stays in ``kept``, each question by itself: a measurement that was ended goes on where it was, and
    one with another question or composition measures only that.

    Args:
        model: a GGUF with a chat template.
        questions: with their passages; those without any say nothing here.
        compositions: what is tried.
        context: most tokens of a chat and its answer together.
        max_tokens: most tokens of an answer.
        tuning: as the kiosk's engine will be started with.
        kept: a folder of this model, these settings and this program alone.
        progress: shows questions.

    Raises:
        ModelError: the model cannot be loaded, or its passages cannot be put together.
    """
    payload = {
        "model": str(model),
        "questions": [asdict(question) for question in questions if question.passages],
        "compositions": [asdict(item) for item in compositions],
        "context": context,
        "max_tokens": max_tokens,
        "tuning": tuning.to_json(),
        "kept": str(kept),
    }
    what = f"compare ways of reading passages with {model.name}"
    found = child.run("publicai_edge.evaluate.reading_bench:measure", payload, what=what, progress=progress).value
    return tuple(Reading.from_json(item) for item in found)


def judge(measured: Sequence[Reading], max_loss: float) -> tuple[Composition, str]:
    """Return the composition to use, the one that reads least of those that lose little enough, and why.

    One passes when in every language the upper end of its loss's interval is at or below ``max_loss``, and its answers
    state as many of the expected facts as those with all passages read: no language pays for another.

    Args:
        measured: as :func:`measure` returns them.
        max_loss: bound on the mean KL divergence, nats per token.
    """
    exact, *others = measured
    refused = []
    for item in others:
        worst = _worst(exact, item, max_loss)
        if worst is None:
            return cast("Composition", item.composition), f"{line(exact, item)} It is within what the recipe allows."
        refused.append(f"{line(exact, item).rstrip('.')}{worst}")
    lost = "; ".join(refused)
    return (
        "exact",
        f"Every passage is read for every question: {lost}; the recipe allows {max_loss:g} and no fact less, in each "
        "language.",
    )


def _worst(exact: Reading, item: Reading, max_loss: float) -> str | None:
    """Return what is too much in a language, as a sentence's ending, "" where there is one only; None for nothing."""
    languages = list(dict.fromkeys(answer.language for answer in exact.answers))
    for language in languages:
        before, after = exact.of(language), item.of(language)
        high = after.mean_kl.high
        if high > max_loss or after.facts < before.facts:
            told = f" (in {language}: up to {high:.3f}, {after.facts} facts where {before.facts} are stated)"
            return told if len(languages) > 1 else ""
    return None


def line(exact: Reading, item: Reading) -> str:
    """Return what a composition costs, in a sentence."""
    loss, read = item.mean_kl, sum(answer.read for answer in item.answers)
    share = read / max(1, sum(answer.read for answer in exact.answers))
    return (
        f"Passages put together ({item.composition}): loss {loss.value:.3f} ({loss.low:.3f} to {loss.high:.3f}), "
        f"{item.facts} facts where {exact.facts} are stated with all passages read, {share:.0%} of the tokens to read."
    )
