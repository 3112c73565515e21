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
from publicai_edge.bench.statistics import fewest_for, is_steady, middle, ratio

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
