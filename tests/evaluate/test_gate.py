"""The gate: which model may be used, and the sentence when none may."""

import math

import pytest

from publicai_edge.evaluate import gate
from publicai_edge.evaluate.result import Answer, Bounds, Candidate, Interval, LanguageLoss, Measured

NONE = Interval(0.0, 0.0, 0.0)


def _measured(name: str, size: int, lost: int = 0, **kl: tuple[float, float]) -> Measured:
    losses = tuple(
        LanguageLoss(language, 30, 900, Interval(value, 0.0, high), NONE, NONE, NONE, NONE, 8.0, 8.1)
        for language, (value, high) in kl.items()
    )
    facts = ("nine", "five", "Monday")[:lost]
    answers = (Answer("When?", "sw", "ask", "", "", facts, (True,) * lost, (False,) * lost),) if lost else ()
    return Measured(name, "0" * 64, size, losses, answers)


def _candidate(measured: Measured, bounds: Bounds, refused: str | None = None) -> Candidate:
    return Candidate(measured, gate.judge(measured, bounds), refused)


def test_the_upper_end_of_the_interval_is_judged() -> None:
    bounds = Bounds(max_loss=0.1)
    assert gate.judge(_measured("Q4", 1, en=(0.05, 0.1)), bounds).passes
    verdict = gate.judge(_measured("Q4", 1, en=(0.05, 0.101)), bounds)
    assert not verdict.passes
    assert verdict.failures[0].high == 0.101


def test_the_worst_language_comes_first_by_its_own_bound() -> None:
    bounds = Bounds(max_loss=0.1, by_language={"sw": 0.5})
    verdict = gate.judge(_measured("Q2", 1, sw=(0.8, 0.9), en=(0.2, 0.3), fr=(0.05, 0.06)), bounds)
    assert [failure.language for failure in verdict.failures] == ["en", "sw"]


def test_no_bound_passes_and_a_bound_of_nought_or_a_loss_that_is_no_number_does_not() -> None:
    assert gate.judge(_measured("Q2", 1, en=(9.0, 9.9)), Bounds()).passes
    assert not gate.judge(_measured("Q2", 1, en=(0.01, 0.02)), Bounds(max_loss=0.0)).passes
    verdict = gate.judge(_measured("Q2", 1, fr=(0.2, 0.2), en=(math.nan, math.nan)), Bounds(max_loss=0.1))
    assert [failure.language for failure in verdict.failures] == ["en", "fr"]


def test_facts_lost_are_held_to_their_bound() -> None:
    measured = _measured("Q3", 1, lost=2, en=(0.01, 0.02))
    assert gate.judge(measured, Bounds(max_facts_lost=2)).passes
    verdict = gate.judge(measured, Bounds(max_facts_lost=1))
    assert [(item.figure, item.language, item.value) for item in verdict.failures] == [("facts_lost", "sw", 2)]
    assert "loses 2 of the facts" in gate.refusal(Candidate(measured, verdict))


def test_the_smallest_that_passes_is_chosen() -> None:
    bounds = Bounds(max_loss=0.1)
    small = _candidate(_measured("Q3", 80, en=(0.2, 0.3)), bounds)
    middle = _candidate(_measured("Q4", 100, en=(0.04, 0.05)), bounds)
    large = _candidate(_measured("Q8", 140, en=(0.001, 0.002)), bounds)
    assert gate.choose([large, middle, small]) == middle
    assert gate.choose([large, _candidate(middle.measured, bounds, "too large for the device"), small]) == large
    assert gate.choose([small]) is None


def test_the_refusal_names_language_figure_bound_and_what_to_try() -> None:
    bounds = Bounds(max_loss=0.1)
    small = _candidate(_measured("Q3_K_M", 80, sw=(0.31, 0.42), en=(0.11, 0.12)), bounds)
    large = _candidate(_measured("Q8_0", 140, sw=(0.01, 0.02), en=(0.01, 0.02)), bounds)
    text = gate.refusal(small, [small, large])
    assert text.startswith("Q3_K_M loses too much in sw: its mean KL divergence is 0.31 nats per token")
    assert "0.42" in text
    assert "0.1 is allowed" in text
    assert "One more language" in text
    assert text.endswith("The next larger type that passes is Q8_0.")
    assert gate.refusal(small, [small], ["Q5_K_M", "Q8_0"]).endswith("Q5_K_M, was not measured: try it.")
    failing = _candidate(_measured("Q4_K_M", 100, sw=(0.21, 0.22)), bounds)
    assert "No larger type passes: allow" in gate.refusal(small, [small, failing])
    assert "There is no larger type to try: allow" in gate.refusal(small, [small])
    with pytest.raises(ValueError, match="passes"):
        gate.refusal(large)
