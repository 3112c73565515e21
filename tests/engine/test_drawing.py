"""Tokens are drawn as often as their chances say, whatever the vocabulary's size and the filters."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from publicai_edge.engine.drawing import Draw, Logits
from publicai_edge.engine.protocol import Sampling

DRAWS = 20_000


def chances(logits: Logits, temperature: float, top_p: float, min_p: float) -> np.ndarray:  # type: ignore[type-arg]
    """The definition, token by token and in double precision."""
    plain = np.exp(logits.astype(np.float64) - float(logits.max()))
    plain /= plain.sum()
    order = np.argsort(-plain, kind="stable")
    kept = np.zeros(len(plain), bool)
    kept[order[: int(np.searchsorted(np.cumsum(plain[order]), top_p)) + 1]] = True
    if top_p >= 1:
        kept[:] = True
    kept &= plain >= min_p * plain.max()
    weights = np.where(kept, plain ** (1 / temperature), 0.0)
    return np.asarray(weights / weights.sum())


@pytest.mark.parametrize("size", [7, 256, 257, 1500])
@pytest.mark.parametrize(
    ("temperature", "top_p", "min_p"), [(1.0, 1.0, 0.0), (0.7, 1.0, 0.0), (1.3, 0.8, 0.0), (1.0, 1.0, 0.1)]
)
def test_tokens_come_as_often_as_they_should(size: int, temperature: float, top_p: float, min_p: float) -> None:
    logits = np.random.default_rng(size).normal(0, 2, size).astype(np.float32)
    draw = Draw(Sampling(temperature=temperature, top_p=top_p, min_p=min_p, seed=4))
    found = np.bincount([draw.pick(logits) for _ in range(DRAWS)], minlength=size)
    expected = chances(logits, temperature, top_p, min_p) * DRAWS
    assert not found[expected == 0].any()
    # Of a count with mean m, five standard deviations are 5 * sqrt(m); a little more for the rare ones.
    assert np.all(np.abs(found - expected) <= 5 * np.sqrt(expected) + 5)


@given(st.integers(0, 2**32 - 1), st.integers(1, 700), st.floats(0.05, 1.0), st.floats(0.0, 0.9))
def test_what_the_filters_leave_out_is_never_drawn(seed: int, size: int, top_p: float, min_p: float) -> None:
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, generator.uniform(0.1, 12), size).astype(np.float32)
    logits[generator.random(size) < 0.3] = -np.inf
    logits[generator.integers(size)] = 1.0
    draw = Draw(Sampling(temperature=1.0, top_p=top_p, min_p=min_p, seed=seed))
    with np.errstate(divide="ignore"):
        allowed = np.log(chances(logits, 1.0, min(1.0, top_p + 1e-6), min_p * (1 - 1e-6)))
    for _ in range(20):
        assert np.isfinite(allowed[draw.pick(logits)])


def test_the_same_answer_with_a_new_vocabulary_size_is_drawn_anew() -> None:
    draw = Draw(Sampling(temperature=1.0, seed=1))
    assert draw.pick(np.array([5.0, -np.inf], np.float32)) == 0
    wide = np.full(600, -np.inf, np.float32)
    wide[599] = 0.0
    assert draw.pick(wide) == 599
    assert {draw.pick(np.array([-np.inf, 0.0], np.float32)) for _ in range(50)} == {1}


@pytest.mark.parametrize("shift", [-500.0, -60.0, 0.0, 60.0, 500.0])
@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_what_all_logits_have_in_common_changes_nothing(shift: float, temperature: float) -> None:
    logits = np.random.default_rng(3).normal(0, 2, 300).astype(np.float32)
    plain, moved = (Draw(Sampling(temperature=temperature, seed=9)) for _ in range(2))
    same = sum(plain.pick(logits) == moved.pick(logits + np.float32(shift)) for _ in range(200))
    assert same >= 195, "rounding may lead a point to the next token, and nothing else"
