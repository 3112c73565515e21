"""Tokens are chosen as llama.cpp's samplers choose them."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from publicai_edge.engine.llama import LlamaModel
from publicai_edge.engine.onnx.choosing import Chooser
from publicai_edge.engine.protocol import Sampling
from publicai_edge.engine.sampling import Chooser as LlamaChooser
from publicai_edge.errors import EngineError


@pytest.fixture(scope="module")
def llama(model: Path) -> LlamaModel:
    return LlamaModel(model, vocab_only=True)


def logits(llama: LlamaModel, rows: int, seed: int = 0) -> np.ndarray:
    return (4 * np.random.default_rng(seed).standard_normal((rows, llama.n_vocab))).astype(np.float32)


@pytest.mark.parametrize(
    "penalties",
    [
        {},
        {"repeat_penalty": 1.3},
        {"presence_penalty": 1.5},
        {"frequency_penalty": 0.7},
        {"repeat_penalty": 0.9, "presence_penalty": -0.5, "frequency_penalty": 0.2},
    ],
)
def test_penalized_likeliest_tokens_are_llama_cpps(llama: LlamaModel, penalties: dict[str, float]) -> None:
    settings = Sampling(**penalties)  # type: ignore[arg-type]
    ours, theirs = Chooser(llama, settings), LlamaChooser(llama, settings)
    base = logits(llama, 1)[0]
    base[:50] = base.max() + np.arange(50) / 20  # several that a penalty can turn to
    noise = logits(llama, 200, seed=1) / 20
    found = [(ours.choose(base + row), theirs.choose(base + row)) for row in noise]
    theirs.close()
    assert [left for left, _ in found] == [right for _, right in found]
    assert not penalties or len({left for left, _ in found}) > 1


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 1.0, "top_p": 0.3},
        {"temperature": 0.7, "min_p": 0.3},
        {"temperature": 1.5, "top_p": 0.8, "min_p": 0.05},
        {"temperature": 0.4},
    ],
)
def test_draws_have_llama_cpps_chances(llama: LlamaModel, settings: dict[str, float]) -> None:
    row = logits(llama, 1, seed=3)[0]
    row[[5, 6, 7, 8]] = row.max() + np.array([1, 0.8, 0.5, 0], np.float32)
    draws = 1500
    ours = Chooser(llama, Sampling(seed=1, **settings))  # type: ignore[arg-type]
    theirs = LlamaChooser(llama, Sampling(seed=1, **settings))  # type: ignore[arg-type]
    left = Counter(ours.choose(row) for _ in range(draws))
    right = Counter(theirs.choose(row) for _ in range(draws // 3))
    theirs.close()
    for token in (5, 6, 7, 8):
        share, other = left[token] / draws, right[token] / (draws // 3)
        spread = 5 * (0.25 / (draws // 3)) ** 0.5
        assert abs(share - other) < spread, (token, share, other)
    if "min_p" in settings or "top_p" in settings:
        assert set(right) - set(left) == set()


def test_the_same_seed_gives_the_same_answer_and_another_one_another(llama: LlamaModel) -> None:
    rows = logits(llama, 40)

    def said(seed: int | None) -> list[int]:
        chooser = Chooser(llama, Sampling(temperature=1.0, seed=seed))
        return [chooser.choose(row) for row in rows]

    assert said(7) == said(7)
    assert said(7) != said(8)
    assert said(None) != said(None)


def test_one_token_is_always_left(llama: LlamaModel) -> None:
    row = logits(llama, 1)[0]
    for settings in ({"top_p": 0.0}, {"min_p": 1.0}, {"temperature": 1e-6}):
        chooser = Chooser(llama, Sampling(**{"temperature": 1.0, "seed": 1, **settings}))
        assert chooser.choose(row) == int(row.argmax())


@pytest.mark.parametrize("what", [{"grammar": 'root ::= "a"'}, {"json_schema": "{}"}])
def test_grammars_are_refused_in_words(llama: LlamaModel, what: dict[str, str]) -> None:
    with pytest.raises(EngineError, match="grammar or a JSON schema"):
        Chooser(llama, Sampling(**what))  # type: ignore[arg-type]
