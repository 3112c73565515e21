import numpy as np
import pytest

from publicai_edge.convert.causal_lm_check import _compare


@pytest.fixture
def logits():
    return np.random.default_rng(3).normal(0, 3, (100, 50)).astype(np.float32)


def test_equal_logits_lose_nothing(logits):
    found = _compare(logits, logits.copy(), list(range(50)) * 2)
    assert found.kl.max() < 1e-12
    assert found.agree.all()
    assert found.largest == 0
    assert found.surprise == pytest.approx(found.original_surprise)


def test_a_constant_added_to_a_row_changes_no_probability(logits):
    found = _compare(logits, logits + 5, list(range(50)) * 2)
    assert found.kl.max() < 1e-9
    assert found.largest == pytest.approx(5, abs=1e-4)


def test_divergence_and_surprise_are_those_of_the_definition():
    original = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]], np.float32))
    other = np.log(np.array([[0.25, 0.5, 0.25], [0.1, 0.8, 0.1]], np.float32))
    found = _compare(original, other, [0, 1])
    assert found.kl == pytest.approx([0.5 * np.log(2) - 0.25 * np.log(2), 0], abs=1e-6)
    assert list(found.agree) == [False, True]
    assert found.original_surprise == pytest.approx([-np.log(0.25)], abs=1e-6)
    assert found.surprise == pytest.approx([-np.log(0.5)], abs=1e-6)
