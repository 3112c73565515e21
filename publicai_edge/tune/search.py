"""Successive halving: many points measured a little, few of them well (Jamieson, Talwalkar, AISTATS 2016).

    coarse points, short prompt, once ─► those whose quality holds, fastest first ─► with their batches, once
        ─► the best third, three times ─► the best few, six times ─► one, against each of its settings put back

Within a pass all points are measured one after the other, in an order of its own, and a point's time is taken as a
share of the pass's: so a machine that grows slower for some seconds does not decide. What is kept of a search that was
ended is taken up again.

Invariants: a point whose quality was not found good is never chosen; a setting that brings nothing that can be told
keeps its usual value.
"""

import math
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import Any

from publicai_edge.errors import RecipeError
from publicai_edge.kept import Kept
from publicai_edge.progress import Progress
from publicai_edge.tune import duration
from publicai_edge.tune.measure import Sample
from publicai_edge.tune.space import Point, Space
from publicai_edge.tuning import Tuning

Measure = Callable[[str, Sequence[Tuning], int, int], list[Sample]]
"""Measures settings of the model in a type, reading and writing so many tokens."""
Holds = Callable[[str, str], bool]
"""Whether the model in a type, with a KV cache of a type, keeps within the bounds of quality."""

_SHORT, _FEW = 128, 8  # tokens read and written for a first look
_LEAST_READ, _LEAST_WRITE = 32, 2
_LOOK_FACTOR = 1.25  # a coarse point slower than this is not worth its quality's measurement
_COARSE_KEPT = 8
_WITHIN = 1.02  # what a setting has to bring to be set
_SHARES = (0.3, 0.2, 0.2, 0.2, 0.1)  # of the time, for the rungs below and the last comparison
_COMPARED = 4  # at last: the winner, the usual settings, and as a rule two settings put back


@dataclass(frozen=True)
class Rung:
    """How well points are measured.

    Attributes:
        write: tokens written; all rungs but the first read the whole prompt.
        passes: how often.
        keep: how many points go on.
    """

    write: int
    passes: int
    keep: int


_FINE = (Rung(16, 1, 12), Rung(32, 3, 4), Rung(64, 6, 1))
_LAST = Rung(64, 6, 1)


@dataclass(frozen=True)
class Work:
    """What is to be fast: a prompt that is read, and an answer that is written behind it; in tokens."""

    prompt: int = 512
    answer: int = 128


@dataclass(frozen=True)
class Speed:
    """Tokens a second, and the seconds of a prompt and its answer."""

    prefill: float
    decode: float
    seconds: float


@dataclass(frozen=True)
class Reason:
    """What one setting brings.

    Attributes:
        setting: its name, or names.
        chosen: the value of the fastest point.
        usual: the usual value.
        ratio: how many times as long it takes with the usual value, the others being the same.
        left: whether that is too little, so that the usual value stays.
    """

    setting: str
    chosen: str
    usual: str
    ratio: float
    left: bool


@dataclass(frozen=True)
class Found:
    """The fastest point, and how it was found.

    Attributes:
        point: the fastest.
        speed: its speed.
        usual: the same weights at the usual settings.
        usual_speed: measured in the same passes.
        reasons: what each setting brings, also those left as they are usually.
        rungs: points that were measured on each rung.
        samples: measurements in all.
        points: in the whole space.
    """

    point: Point
    speed: Speed
    usual: Point
    usual_speed: Speed
    reasons: tuple[Reason, ...]
    rungs: tuple[int, ...]
    samples: int
    points: int


def expected(space: Space, work: Work, cost: Sample, seconds: float) -> list[float]:
    """Return how long each rung will take, and the last comparison, where a point costs what the first one did.

    Args:
        space: the points.
        work: what is to be fast.
        cost: of a token.
        seconds: how long measuring may take.
    """
    coarse = len(space.coarse())
    first = coarse * cost.seconds(min(_SHORT, work.prompt), _FEW)
    found = [min(first, seconds * _SHARES[0])]
    count = min(_COARSE_KEPT, coarse) * len(space.batches)
    for number, rung in enumerate(_FINE):
        count = min(count, _affordable(work, cost, rung, seconds * _SHARES[1 + number]))
        found.append(count * rung.passes * cost.seconds(work.prompt, rung.write))
        count = rung.keep
    return [*found, _COMPARED * _LAST.passes * cost.seconds(work.prompt, _LAST.write)]


def blocks(space: Space) -> int:
    """Return how many processes a search starts, or nearly so: one for each type and pass."""
    types = len(space.types)
    return types + sum(min(types, rung.keep) * rung.passes for rung in (*_FINE, _LAST))


def _affordable(work: Work, cost: Sample, rung: Rung, seconds: float) -> int:
    """Return how many points a rung may have."""
    return max(2, int(seconds / (cost.seconds(work.prompt, rung.write) * rung.passes)))


class Search:
    """One search.

    Args:
        space: the points.
        work: what is to be fast.
        measure: measures points.
        holds: says whether a model's quality is good enough; asked only of what is fast.
        kept: where measurements are kept.
        seconds: how long measuring may take; with less, points are measured less well.
        progress: where it is shown.
    """

    def __init__(
        self,
        space: Space,
        work: Work,
        measure: Measure,
        holds: Holds,
        kept: Kept,
        *,
        seconds: float,
        progress: Progress,
    ) -> None:
        self._space, self._work, self._measure, self._holds = space, work, measure, holds
        self._kept, self._seconds, self._progress = kept, seconds, progress
        self._cost = Sample(0.0, 0.0)
        self._rungs: list[int] = []
        self._samples = 0
        self._left = duration.Left(())

    def run(self) -> Found:
        """Search.

        Raises:
            RecipeError: no type holds what is asked of its quality.
            PublicAIError: a model cannot be loaded or run.
        """
        points = self._fast_and_good()
        final: dict[Point, list[Sample]] = {}
        for number, rung in enumerate(_FINE):
            points = points[: _affordable(self._work, self._cost, rung, self._seconds * _SHARES[1 + number])]
            final = self._passes(f"rung {number + 2}", points, self._work.prompt, rung)
            points = self._ranked(final)[: rung.keep]
        return self._settled(points[0])

    def _fast_and_good(self) -> list[Point]:
        """Return the fine points of the fastest coarse ones whose quality holds, the likely best first."""
        coarse = self._space.coarse()
        read, write = self._first_look(coarse)
        self._progress.say(
            f"{len(self._space.all())} points: {len(self._space.types)} types of weights, "
            f"{len(self._space.threads)} numbers of threads, {len(self._space.caches)} KV caches, "
            f"{len(self._space.batches)} batches. First look: {read} tokens read and {write} written."
        )
        found = self._passes("rung 1", coarse, read, Rung(write, 1, len(coarse)))
        kept: list[Point] = []
        verdicts: dict[tuple[str, str], bool] = {}
        best = math.inf
        models = {point.model for point in coarse}
        for point in self._ranked(found):
            seconds = self._score(found[point])
            if len(kept) == _COARSE_KEPT or seconds > best * _LOOK_FACTOR:
                break
            if point.model not in verdicts:
                verdicts[point.model] = self._judged(point.model, len(models) - len(verdicts) - 1)
            if verdicts[point.model]:
                kept.append(point)
                best = min(best, seconds)
        if not kept:
            names = ", ".join(dict.fromkeys(type_ or "the model" for type_, _ in verdicts))
            raise RecipeError(
                f"No type that was tried keeps within the bounds of quality: {names}.",
                hint="Run `publicai-edge build` for the report in every language; allow a larger loss, or name larger "
                "types in quantize.candidates.",
            )
        return self._space.finer(kept)

    def _judged(self, model: tuple[str, str], others: int) -> bool:
        """Ask for the quality of a model, of which so many others may be asked after it; tell what is left."""
        started = time.monotonic()
        holds = self._holds(*model)
        if told := self._left.judged(time.monotonic() - started, others):
            self._progress.say(told)
        return holds

    def _first_look(self, coarse: Sequence[Point]) -> tuple[int, int]:
        """Return how many tokens a first look may read and write, by how fast the machine is."""
        read, write = min(_SHORT, self._work.prompt), _FEW
        tried = self._block("first", coarse[:1], _LEAST_READ, _LEAST_WRITE)
        self._cost = tried[0]
        self._left = duration.Left(expected(self._space, self._work, self._cost, self._seconds))
        whole = len(coarse) * self._cost.seconds(read, write)
        if whole > (most := self._seconds * _SHARES[0]):
            read = min(read, max(_LEAST_READ, int(read * most / whole)))
            write = max(_LEAST_WRITE, int(write * most / whole))
        return read, write

    def _settled(self, winner: Point) -> Found:
        """Put every setting of the winner back to the usual one by one, and leave it there where that costs nothing."""
        usual = usual_of(winner)
        variants = [item for item in _variants(winner, usual) if item[1] in self._space and self._holds(*item[1].model)]
        points = list(dict.fromkeys([winner, usual, *(point for _, point in variants)]))
        found = self._passes("last", points, self._work.prompt, _LAST)
        reasons, tuning = [], winner.tuning
        for fields, point in variants:
            ratio = _ratio(found[point], found[winner], self._work)
            chosen, instead = (
                " / ".join(str(getattr(each.tuning, name)) for name in fields) for each in (winner, usual)
            )
            left = ratio < _WITHIN
            reasons.append(Reason(" / ".join(fields), chosen, instead, ratio, left))
            if left:
                tuning = replace(tuning, **{name: getattr(usual.tuning, name) for name in fields})
        settled = replace(winner, tuning=tuning)
        if settled not in found:
            found |= self._passes("settled", [settled, usual], self._work.prompt, _LAST)
        return Found(
            point=settled,
            speed=self._speed(found[settled]),
            usual=usual,
            usual_speed=self._speed(found[usual]),
            reasons=tuple(reasons),
            rungs=tuple(self._rungs),
            samples=self._samples,
            points=len(self._space.all()),
        )

    # Measuring and ranking.

    def _passes(self, name: str, points: Sequence[Point], read: int, rung: Rung) -> dict[Point, list[Sample]]:
        """Measure all points in each of a rung's passes, the types and the points in another order every time."""
        found: dict[Point, list[Sample]] = {point: [] for point in points}
        self._rungs.append(len(points))
        label = f"{name.capitalize()}: {len(points)} points"
        times = "once" if rung.passes == 1 else f"{rung.passes} times"
        self._progress.say(f"{label}, measured {times}.{self._left.told()}")
        started = time.monotonic()
        with self._progress.task(label, total=len(points) * rung.passes) as task:
            for number in range(rung.passes):
                order = random.Random(f"{name} {number}")  # noqa: S311 - not for secrets
                types = list(dict.fromkeys(point.type for point in points))
                order.shuffle(types)
                for type_ in types:
                    block = [point for point in points if point.type == type_]
                    order.shuffle(block)
                    for point, sample in zip(
                        block, self._block(f"{name} {number}", block, read, rung.write), strict=True
                    ):
                        found[point].append(sample)
                    task.advance(len(block))
        self._left.rung_ended(time.monotonic() - started)
        return found

    def _block(self, name: str, points: Sequence[Point], read: int, write: int) -> list[Sample]:
        """Measure points of one type, unless that was done before."""
        key = [name, read, write, *map(str, points)]
        pairs = next((item["samples"] for item in self._kept.rounds if item["key"] == key), None)
        if pairs is None:
            samples = self._measure(points[0].type, [point.tuning for point in points], read, write)
            pairs = [[sample.read, sample.write] for sample in samples]
            self._kept.add({"key": key, "samples": pairs})
        self._samples += len(points)
        return [Sample(*pair) for pair in pairs]

    def _score(self, samples: Sequence[Sample]) -> float:
        return median(sample.seconds(self._work.prompt, self._work.answer) for sample in samples)

    def _speed(self, samples: Sequence[Sample]) -> Speed:
        return Speed(
            1 / median(sample.read for sample in samples),
            1 / median(sample.write for sample in samples),
            self._score(samples),
        )

    def _ranked(self, found: dict[Point, list[Sample]]) -> list[Point]:
        """Return the points from the fastest to the slowest, each pass taken by itself."""
        return ranked(found, self._work)


def ranked(found: dict[Point, list[Sample]], work: Work) -> list[Point]:
    """Return the points from the fastest to the slowest: by the median, over the passes, of the share of its pass."""
    passes = min(map(len, found.values()))
    logs = {
        point: [math.log(sample.seconds(work.prompt, work.answer)) for sample in samples]
        for point, samples in found.items()
    }
    means = [fmean(each[number] for each in logs.values()) for number in range(passes)]
    shares = {point: median(each[number] - means[number] for number in range(passes)) for point, each in logs.items()}
    return sorted(found, key=lambda point: shares[point])


def usual_of(point: Point) -> Point:
    """Return the same weights at the usual settings: as many threads as cores, llama.cpp's own values else."""
    from publicai_edge.engine.threads import threads_on_this_machine

    return replace(point, tuning=Tuning(threads=threads_on_this_machine(), drafts=point.tuning.drafts))


def _variants(winner: Point, usual: Point) -> Sequence[tuple[tuple[str, ...], Point]]:
    """Return the winner with each group of settings that differs put back."""
    found = []
    for fields in (("threads",), ("batch", "ubatch"), ("kv_type", "flash_attention")):
        values: dict[str, Any] = {name: getattr(usual.tuning, name) for name in fields}
        if any(getattr(winner.tuning, name) != value for name, value in values.items()):
            found.append((fields, replace(winner, tuning=replace(winner.tuning, **values))))
    return found


def _ratio(one: Iterable[Sample], other: Iterable[Sample], work: Work) -> float:
    """Return how many times as long ``one`` takes, by the median of the passes."""
    pairs = zip(one, other, strict=True)
    return median(a.seconds(work.prompt, work.answer) / b.seconds(work.prompt, work.answer) for a, b in pairs)
