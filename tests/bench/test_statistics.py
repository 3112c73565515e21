"""Intervals by ranks: what they promise, checked by counting all orders and by simulation."""

import itertools
import math
import random
from collections import Counter
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publicai_edge.bench import statistics
from publicai_edge.bench.statistics import fewest_for, fewest_pairs_for, is_steady, middle, paired, ratio

SAMPLES = st.lists(st.floats(0.01, 1e6), min_size=1, max_size=12)


@pytest.mark.parametrize(("first", "second"), [(1, 1), (2, 3), (3, 3), (4, 2), (5, 4)])
def test_arrangements_are_those_of_counting_every_order(first: int, second: int) -> None:
    counted: Counter[int] = Counter()
    for places in itertools.combinations(range(first + second), first):
        others = [place for place in range(first + second) if place not in places]
        counted[sum(one > other for one in places for other in others)] += 1
    assert statistics._arrangements(first, second) == tuple(counted[u] for u in range(first * second + 1))


@given(SAMPLES, st.floats(0.5, 0.999))
def test_a_medians_interval_holds_it(samples: list[float], confidence: float) -> None:
    found = middle(samples, confidence)
    assert found.low <= found.value <= found.high
    assert found.value == median(samples)


@given(SAMPLES, SAMPLES)
def test_a_ratio_and_its_inverse_agree(before: list[float], after: list[float]) -> None:
    there, back = ratio(before, after), ratio(after, before)
    assert there.low <= there.value <= there.high
    assert math.isclose(there.value * back.value, 1, rel_tol=1e-9)


def test_few_samples_know_nothing() -> None:
    assert middle([1.0, 2.0, 3.0]).high == math.inf
    assert ratio([1.0, 1.0], [2.0, 2.0]).low == 0
    assert not is_steady([1.0] * 5, 0.5)
    assert is_steady([1.0] * 6, 0.01)


@pytest.mark.parametrize(("confidence", "fewest"), [(0.95, 4), (0.99, 5), (0.998, 7)])
def test_fewest_is_where_the_extreme_order_is_rare_enough(confidence: float, fewest: int) -> None:
    assert fewest_for(confidence) == fewest
    assert 2 / math.comb(2 * fewest, fewest) <= 1 - confidence < 2 / math.comb(2 * fewest - 2, fewest - 1)


def test_intervals_of_ratios_hold_the_true_one_as_often_as_promised() -> None:
    numbers, held, tries = random.Random(1), 0, 2000
    for _ in range(tries):
        before = [numbers.lognormvariate(0, 0.2) for _ in range(8)]
        after = [1.1 * numbers.lognormvariate(0, 0.2) for _ in range(8)]
        found = ratio(before, after, 0.95)
        held += found.low <= 1.1 <= found.high
    assert held / tries > 0.94


def test_large_samples_go_on_where_small_ones_end() -> None:
    numbers = random.Random(2)
    before, after = ([numbers.lognormvariate(0, 0.1) for _ in range(41)] for _ in range(2))
    large, small = ratio(before, after, 0.99), ratio(before[:40], after[:40], 0.99)
    assert math.isclose(large.low, small.low, rel_tol=0.02)
    assert math.isclose(large.high, small.high, rel_tol=0.02)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_signed_ranks_are_those_of_counting_every_choice_of_signs(count: int) -> None:
    counted = Counter(
        sum(rank for rank, positive in enumerate(signs, 1) if positive)
        for signs in itertools.product((False, True), repeat=count)
    )
    assert statistics._subset_sums(count) == tuple(counted[w] for w in range(count * (count + 1) // 2 + 1))


@given(SAMPLES, st.floats(0.5, 0.999))
def test_the_interval_of_pairs_holds_the_ratio_and_turns_with_it(ratios: list[float], confidence: float) -> None:
    there, back = paired(ratios, confidence), paired([1 / value for value in ratios], confidence)
    assert there.low <= there.value <= there.high
    assert math.isclose(there.value * back.value, 1, rel_tol=1e-9)


def test_the_interval_of_pairs_misses_the_truth_no_more_often_than_promised() -> None:
    numbers = random.Random(7)
    missed = 0
    for _ in range(2000):
        found = paired([1.1 * numbers.lognormvariate(0, 0.1) for _ in range(10)], 0.95)
        missed += not found.low <= 1.1 <= found.high
    assert 0.02 < missed / 2000 <= 0.06


def test_the_fewest_pairs_give_an_interval_and_one_less_does_not() -> None:
    for confidence in (0.9, 0.95, 0.99, 0.997):
        count = fewest_pairs_for(confidence)
        assert paired([1.0 + place / 100 for place in range(count)], confidence).high < math.inf
        assert paired([1.0 + place / 100 for place in range(count - 1)], confidence).high == math.inf
