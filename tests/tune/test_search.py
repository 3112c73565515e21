"""Successive halving on machines that are made up: what is fastest is known."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from publicai_edge.errors import RecipeError
from publicai_edge.kept import Kept
from publicai_edge.progress import Silent
from publicai_edge.tune import search as stage
from publicai_edge.tune.measure import Sample
from publicai_edge.tune.search import Found, Search, Work
from publicai_edge.tune.space import Point, Space
from publicai_edge.tuning import Tuning

TYPES = ("Q4_0", "Q4_K_M", "Q5_K_S", "Q6_K", "Q8_0")
WEIGHT = {"Q4_0": 1.0, "Q4_K_M": 1.3, "Q5_K_S": 1.5, "Q6_K": 1.45, "Q8_0": 1.6}
BATCH = {128: 1.2, 256: 1.08, 512: 1.0}
WORK = Work(512, 128)


def cost(type_: str, tuning: Tuning) -> Sample:
    """Return the true seconds of a token on the machine that is made up: one thread is best, beside a neighbour."""
    threads = {1: 1.0, 2: 2.5}[tuning.threads or 1]
    cache = {("f16", "auto"): 1.0, ("f16", "off"): 1.1, ("q8_0", "auto"): 1.4}[tuning.kv_type, tuning.flash_attention]
    read = 0.001 * WEIGHT[type_] * threads * cache * BATCH[tuning.ubatch or tuning.batch]
    return Sample(read, 0.01 * WEIGHT[type_] * threads * cache)


class Machine:
    """Measures with noise: of each sample, and of each process; and grows slower for some time."""

    def __init__(self, seed: int = 0, ends_after: int | None = None) -> None:
        self.random = random.Random(seed)
        self.calls = self.tokens = 0
        self.seconds = 0.0
        self._ends_after = ends_after

    def __call__(self, type_: str, tunings: Sequence[Tuning], read: int, write: int) -> list[Sample]:
        if self.calls == self._ends_after:
            raise KeyboardInterrupt
        self.calls += 1
        luck = self.random.gauss(1, 0.04) * (1.5 if 9 < self.calls % 20 < 14 else 1.0)
        found = []
        for tuning in tunings:
            true = cost(type_, tuning)
            one, other = luck * self.random.gauss(1, 0.03), luck * self.random.gauss(1, 0.03)
            found.append(Sample(true.read * one, true.write * other))
            self.seconds += read * found[-1].read + write * found[-1].write
        return found


def found(
    tmp_path: Path,
    machine: Machine,
    holds: Callable[[str, str], bool] = lambda *_: True,
    *,
    types: tuple[str, ...] = TYPES,
    seconds: float = 600.0,
    name: str = "search.part",
) -> Found:
    space = Space.of(types, fixed={}, prompt=512, cores=(2, 2))
    kept = Kept.open(tmp_path / name, "a search")
    return Search(space, WORK, machine, holds, kept, seconds=seconds, progress=Silent()).run()


def seconds_of(point: Point) -> float:
    return cost(point.type, point.tuning).seconds(WORK.prompt, WORK.answer)


@pytest.mark.parametrize("seed", range(20))
def test_it_comes_within_5_percent_of_the_best_point(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("publicai_edge.engine.threads.threads_on_this_machine", lambda: 2)
    got = found(tmp_path, Machine(seed))
    best = min(map(seconds_of, Space.of(TYPES, fixed={}, prompt=512, cores=(2, 2)).all()))
    assert seconds_of(got.point) <= best * 1.05
    assert got.samples < got.points * 2


def test_what_loses_too_much_is_never_chosen_and_little_is_judged(tmp_path: Path) -> None:
    asked = []

    def holds(type_: str, kv_type: str) -> bool:
        asked.append((type_, kv_type))
        return type_ != "Q4_0"

    assert found(tmp_path, Machine(), holds).point.model == ("Q4_K_M", "f16")
    assert len(set(asked)) < len(TYPES) * 2, "of what is slow nobody needs to know what it loses"


def test_where_nothing_keeps_within_the_bounds_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"bounds of quality: .*Q8_0"):
        found(tmp_path, Machine(), lambda *_: False)


def test_a_search_that_was_interrupted_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = Machine()
    expected = found(tmp_path, whole, name="whole.part")
    first, second = Machine(ends_after=12), Machine()
    with pytest.raises(KeyboardInterrupt):
        found(tmp_path, first, name="cut.part")
    got = found(tmp_path, second, name="cut.part")
    assert second.calls == whole.calls - 12
    assert got.samples == expected.samples


def test_reasons_tell_what_each_setting_brings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("publicai_edge.engine.threads.threads_on_this_machine", lambda: 2)
    got = found(tmp_path, Machine())
    threads = next(reason for reason in got.reasons if reason.setting == "threads")
    assert (threads.chosen, threads.usual, threads.left) == ("1", "2", False)
    assert 2.2 < threads.ratio < 2.8
    assert got.usual.tuning == Tuning(threads=2)
    assert 2.2 < got.usual_speed.seconds / got.speed.seconds < 2.8


def test_a_setting_that_brings_nothing_keeps_its_usual_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BATCH, 128, 0.995)
    monkeypatch.setattr("publicai_edge.engine.threads.threads_on_this_machine", lambda: 1)
    for seed in range(6):
        got = found(tmp_path, Machine(seed), name=f"{seed}.part")
        assert got.point.tuning == Tuning(threads=1), got.reasons


def test_one_point_needs_no_choice(tmp_path: Path) -> None:
    space = Space.of(("",), fixed={"threads": 1, "batch": 512, "ubatch": 512}, prompt=64, kv_types=("f16",))
    fixed = Space(space.types, space.threads, space.caches[:1], space.batches)
    kept = Kept.open(tmp_path / "one.part", "one")

    def same(_type: str, tunings: Sequence[Tuning], _read: int, _write: int) -> list[Sample]:
        return [Sample(0.001, 0.01)] * len(tunings)

    got = Search(fixed, WORK, same, lambda *_: True, kept, seconds=60, progress=Silent()).run()
    assert got.points == 1
    assert got.point.tuning == Tuning(threads=1)


def test_a_slow_machine_is_measured_less_and_not_longer(tmp_path: Path) -> None:
    machine = Machine()
    found(tmp_path, machine, seconds=60.0)
    assert machine.seconds < 120


def test_ranks_are_by_shares_of_a_pass() -> None:
    """One pass in which everything is slow changes nothing."""
    fast, slow = (Point(name, Tuning(threads=1)) for name in ("fast", "slow"))
    samples = {
        slow: [Sample(0.0011, 0.011), Sample(0.0055, 0.055), Sample(0.0011, 0.011)],
        fast: [Sample(0.001, 0.01), Sample(0.005, 0.05), Sample(0.00105, 0.0105)],
    }
    assert stage.ranked(samples, WORK) == [fast, slow]
