"""Whether one run is faster than another: a verdict for each figure, or that it cannot be told.

The test, stated: for each figure, the ratio of the two runs with its exact rank interval
(:func:`publicai_edge.bench.statistics.ratio`). Over all figures together, an interval misses the true ratio in at most
:data:`ERROR` of comparisons (Bonferroni). A figure is *faster* or *slower* when its whole interval lies beyond
:data:`MARGIN`, *the same* when it lies within ``same_within``, and else *cannot tell*.

A machine is not the same from minute to minute: it grows warm, and others use it. Both runs have measured it, between
their own samples: its memory's bandwidth and its arithmetic. So each figure is judged twice, as it is and corrected by
what the machine did meanwhile, and a verdict counts when both agree.

Two runs that took turns (:mod:`publicai_edge.bench.turns`) had the same machine at every moment. Of them the ratios of
the pairs are taken, with the signed-rank interval (:func:`publicai_edge.bench.statistics.paired`), and nothing is
corrected.

Runs that differ in anything but the program are not compared: the machine, the model, the settings.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from publicai_edge.bench import statistics
from publicai_edge.bench.result import Figure, Run
from publicai_edge.bench.statistics import Estimate
from publicai_edge.errors import RecipeError

ERROR = 0.02
MARGIN = 0.02
SAME_WITHIN = 0.05
REFERENCES = ("bandwidth", "peak")
ASPECTS = ("model", "machine", "settings")

_Change = Literal["up", "down", "same"]
Word = Literal["faster", "slower", "smaller", "larger", "same", "cannot tell"]


@dataclass(frozen=True)
class Verdict:
    """What is to be said of one figure.

    Attributes:
        figure: its name.
        unit: of ``before`` and ``after``.
        before, after: medians of the two runs.
        ratio: after over before, with the interval it was judged by.
        corrected: the same, with what the machine did meanwhile taken out.
        word: the verdict.
        why: for "cannot tell", the reason.
        better: whether it is a change to the better; None where there is no change.
    """

    figure: str
    unit: str
    before: float
    after: float
    ratio: Estimate
    corrected: Estimate
    word: Word
    why: str = ""
    better: bool | None = None

    @property
    def loss(self) -> float:
        """How much worse it is, as a share of before: 0.1 for a tenth slower, or a tenth more memory; else 0."""
        if self.better is not False:
            return 0.0
        value = self.ratio.value
        return value - 1 if value > 1 else 1 - value


@dataclass(frozen=True)
class Comparison:
    """All verdicts, what differs between the two runs besides, and how sure they are together."""

    before: str
    after: str
    verdicts: tuple[Verdict, ...]
    changed: Mapping[str, tuple[Any, Any]]
    machine: Mapping[str, float]
    missing: tuple[str, ...]

    def regressions(self, share: float) -> list[Verdict]:
        """Return the figures that became worse by this share or more."""
        return [verdict for verdict in self.verdicts if verdict.better is False and verdict.loss >= share]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def compare(before: Run, after: Run, *, despite: Collection[str] = (), same_within: float = SAME_WITHIN) -> Comparison:
    """Compare two runs.

    Args:
        before: the one that ``after`` is held against.
        after: the other.
        despite: of :data:`ASPECTS`, those that may differ because they are what is compared.
        same_within: how large a difference is none, as a share.

    Raises:
        RecipeError: they are not comparable; every difference is named.
    """
    _refuse(before, after, despite)
    names = [figure.name for figure in before.figures if after.figure(figure.name) and figure.name not in REFERENCES]
    pairs = [(before.figure(name), after.figure(name)) for name in names]
    confidence = 1 - ERROR / max(1, len(pairs))
    moved: dict[str, float | None] = dict.fromkeys(REFERENCES)
    ratios = _ratios(before, after)
    if "machine" not in despite and not ratios:  # else the machine's speed is what is compared
        moved = {name: _moved(before.figure(name), after.figure(name)) for name in REFERENCES}
    verdicts = tuple(
        _judge(first, second, confidence, same_within, moved, ratios.get(first.name))
        for first, second in pairs
        if first and second
    )
    missing = {figure.name for run in (before, after) for figure in run.figures} - set(names) - set(REFERENCES)
    changed = differences(before.engine, after.engine)
    for aspect in despite:
        changed |= _aspect(before, after, aspect)
    return Comparison(
        before=before.subject.name,
        after=after.subject.name,
        verdicts=verdicts,
        changed=changed,
        machine={name: value for name, value in moved.items() if value is not None},
        missing=tuple(sorted(missing)),
    )


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what has not the same value in both, by name."""
    names = sorted({*before, *after})
    return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}


def _aspect(before: Run, after: Run, aspect: str) -> dict[str, tuple[Any, Any]]:
    match aspect:
        case "model":
            first, second = asdict(before.subject), asdict(after.subject)
            same = first["sha256"] == second["sha256"]
            return {} if same else differences(first, second)
        case "machine":
            return differences(before.machine, after.machine)
    return differences(before.settings, after.settings)


def _refuse(before: Run, after: Run, despite: Collection[str]) -> None:
    if before.form != after.form:
        raise RecipeError(
            f"The two runs were measured in different ways (form {before.form} and {after.form}).",
            hint="Measure both with the same publicai-edge.",
        )
    found = [
        (aspect, name, values)
        for aspect in ASPECTS
        if aspect not in despite
        for name, values in _aspect(before, after, aspect).items()
    ]
    if found:
        told = "; ".join(
            f"{aspect}: {name} is {_shown(first)} and {_shown(second)}" for aspect, name, (first, second) in found
        )
        aspects = " ".join(f"--despite {aspect}" for aspect in dict.fromkeys(item[0] for item in found))
        raise RecipeError(
            f"The two runs are not comparable. {told}.",
            hint=f"Measure both alike; or, where that difference is what you want to see, say {aspects}.",
            differences=[[aspect, name, *values] for aspect, name, values in found],
        )


def _shown(value: Any) -> str:
    text = str(value)
    return f"{text[:57]}…" if len(text) > 60 else text  # noqa: PLR2004 - a line


def _moved(before: Figure | None, after: Figure | None) -> float | None:
    """Return how much faster the machine itself was in the second run."""
    return statistics.ratio(before.samples, after.samples).value if before and after else None


def _ratios(before: Run, after: Run) -> dict[str, list[float]]:
    """Return the ratios of each figure's pairs where the two runs took turns; else none."""
    first, second = before.turns, after.turns
    if not first or not second or first.id != second.id or first.place == second.place:
        return {}
    turned = first.place > second.place
    return {name: [1 / value if turned else value for value in values] for name, values in first.ratios.items()}


def _judge(
    before: Figure,
    after: Figure,
    confidence: float,
    same_within: float,
    moved: Mapping[str, float | None],
    ratios: Sequence[float] | None,
) -> Verdict:
    raw = (
        statistics.paired(ratios, confidence) if ratios else statistics.ratio(before.samples, after.samples, confidence)
    )
    factor = _correction(before, moved)
    corrected = Estimate(raw.value * factor, raw.low * factor, raw.high * factor)
    first, second = (_change(estimate, same_within) for estimate in (raw, corrected))
    why = ""
    change = first if first == second else None
    if change is None:
        fewest = statistics.fewest_pairs_for(confidence) if ratios else statistics.fewest_for(confidence)
        if min(len(before.samples), len(after.samples)) < fewest:
            why = f"too few rounds: {fewest} a side are needed"
        elif first and second:
            why = "the machine itself changed as much meanwhile"
        elif first or second:
            why = "the machine itself changed meanwhile"
        else:
            why = "too noisy"
    word, better = _word(change, before)
    return Verdict(
        figure=before.name,
        unit=before.unit,
        before=before.median.value,
        after=after.median.value,
        ratio=raw,
        corrected=corrected,
        word=word,
        why=why,
        better=better,
    )


def _change(estimate: Estimate, same_within: float) -> _Change | None:
    """Return what an interval says; None where it says nothing."""
    if estimate.low > 1 + MARGIN:
        return "up"
    if estimate.high < 1 - MARGIN:
        return "down"
    if 1 - same_within < estimate.low and estimate.high < 1 + same_within:
        return "same"
    return None


def _word(change: _Change | None, figure: Figure) -> tuple[Word, bool | None]:
    """Return the verdict's word, and whether it is a change to the better."""
    if change is None:
        return "cannot tell", None
    if change == "same":
        return "same", None
    better = (change == "up") == figure.higher_is_better
    if figure.unit == "bytes":
        return ("larger" if change == "up" else "smaller"), better
    return ("faster" if better else "slower"), better


def _correction(figure: Figure, moved: Mapping[str, float | None]) -> float:
    """Return what takes the machine's own change out of a ratio of this figure.

    Memory decides how fast tokens are written, arithmetic how fast prompts are read; memory that is taken has no speed.
    """
    if figure.unit == "bytes":
        return 1.0
    speed = moved["peak" if figure.name.startswith("prefill") else "bandwidth"]
    if speed is None:
        return 1.0
    return 1 / speed if figure.higher_is_better else speed
