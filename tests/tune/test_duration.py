"""How long a search takes is told before it begins, and mended by what was measured."""

import pytest

from publicai_edge.tune import duration
from publicai_edge.tune.duration import Left, Reading
from publicai_edge.tune.measure import Sample
from publicai_edge.tune.search import Work, expected
from publicai_edge.tune.space import Space

SPACE = Space.of(("Q4_0", "Q6_K"), fixed={}, prompt=512, cores=(2, 2))


def test_a_machine_twice_as_fast_takes_half_as_long() -> None:
    slow, fast = (duration.guessed(135_000_000, 10.0 * factor, 100.0 * factor) for factor in (1, 2))
    assert slow.read == pytest.approx(2 * fast.read) == pytest.approx(2.7e-3)
    assert slow.write == pytest.approx(2 * fast.write)


def test_rungs_take_no_longer_than_was_given() -> None:
    for cost in (Sample(1e-4, 1e-3), Sample(1e-3, 1e-2), Sample(1e-2, 0.1)):
        rungs = expected(SPACE, Work(), cost, 600.0)
        assert len(rungs) == 5
        least = 2 * 6 * cost.seconds(512, 64)  # two points are measured on every rung, however slow they are
        assert all(seconds <= max(0.3 * 600, least) for seconds in rungs[:-1])
    quick, slow = (sum(expected(SPACE, Work(), Sample(cost, 10 * cost), 600.0)) for cost in (1e-5, 1e-4))
    assert slow == pytest.approx(10 * quick)


def test_judging_more_types_and_mixtures_takes_longer() -> None:
    plain = Reading(evaluation=10_000, calibration=5_000, types=7)
    mixed = Reading(evaluation=10_000, calibration=5_000, sensitivity=30_000, types=7)
    assert 0 < plain.seconds(1e-3, 1) < plain.seconds(1e-3, 7) < mixed.seconds(1e-3, 7)
    assert Reading().seconds(1e-3, 0) == 0


def test_guesses_are_ranges_in_words() -> None:
    assert duration.between(180, 600) == "2 to 15 minutes"
    assert duration.between(10, 20) == "a minute"
    assert duration.minutes(29) == "a minute"
    assert duration.minutes(330) == "6 minutes"


def test_what_is_left_is_mended_by_what_was_measured() -> None:
    left = Left([60.0, 120.0, 120.0, 60.0])
    assert left.told() == " Left: about 6 minutes."
    left.rung_ended(600.0)  # the first rung makes the types as well: it says nothing of the others
    assert left.told() == " Left: about 5 minutes."
    left.rung_ended(240.0)
    assert left.told() == " Left: about 6 minutes."
    assert left.judged(0.01, 3) is None, "it was in the cache"
    assert left.judged(60.0, 2) == (
        "Left: about 6 minutes for the speeds, and before that 2 minutes at most for what the other 2 lose."
    )
    assert left.judged(60.0, 0) == "Left: about 6 minutes for the speeds."
    assert Left(()).told() == ""
