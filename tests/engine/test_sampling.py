"""The next token: the likeliest, or drawn as llama.cpp draws it from the whole vocabulary."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from publicai_edge.engine.llama import LlamaModel
from publicai_edge.engine.protocol import Sampling
from publicai_edge.engine.sampling import Chooser
from publicai_edge.errors import EngineError


@pytest.fixture(scope="module")
def loaded(model: Path) -> Iterator[LlamaModel]:
    loaded = LlamaModel(model, vocab_only=True)
    yield loaded
    loaded.close()


def logits(loaded: LlamaModel, seed: int, spread: float = 3.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, spread, loaded.n_vocab).astype(np.float32)


def test_temperature_zero_takes_the_likeliest(loaded: LlamaModel) -> None:
    chooser = Chooser(loaded, Sampling())
    for seed in range(20):
        values = logits(loaded, seed)
        assert chooser.choose(values) == int(values.argmax())
    chooser.close()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_what_the_grammar_refuses_is_never_drawn(loaded: LlamaModel, temperature: float) -> None:
    """The likeliest tokens of random logits fit no grammar: each is chosen from those that do."""
    chooser = Chooser(loaded, Sampling(temperature=temperature, seed=2, grammar='root ::= [0-9] "," [0-9] "," [0-9]'))
    said = b"".join(loaded.piece(chooser.choose(logits(loaded, seed))) for seed in range(6))
    chooser.close()
    digits = said.decode().split(",")
    assert len(digits) == 3
    assert all(digit.isdecimal() for digit in digits)


def test_likelier_tokens_are_drawn_more_often(loaded: LlamaModel) -> None:
    values = np.full(loaded.n_vocab, -50.0, np.float32)
    values[[5, 6]] = np.log([0.75, 0.25])
    chooser = Chooser(loaded, Sampling(temperature=1.0, seed=1))
    drawn = [chooser.choose(values) for _ in range(2000)]
    chooser.close()
    assert set(drawn) == {5, 6}
    assert 0.71 < drawn.count(5) / 2000 < 0.79


def test_penalties_lower_what_was_there(loaded: LlamaModel) -> None:
    values = np.zeros(loaded.n_vocab, np.float32)
    values[7], values[9] = 3.0, 2.5
    chooser = Chooser(loaded, Sampling(presence_penalty=1.0))
    assert [chooser.choose(values) for _ in range(2)] == [7, 9]
    chooser.close()


def test_grammar_that_no_token_fits_is_an_error_and_not_a_crash(loaded: LlamaModel) -> None:
    chooser = Chooser(loaded, Sampling(grammar='root ::= "a" "b"'))
    values = logits(loaded, 1)
    said = b""
    for _ in range(2):
        said += loaded.piece(chooser.choose(values))
        if said == b"ab":
            break
    assert said == b"ab"
    ended = chooser.choose(values)
    assert loaded.ends(ended)
    chooser.close()


def test_grammar_that_cannot_be_read_is_told(loaded: LlamaModel) -> None:
    with pytest.raises(EngineError, match="grammar"):
        Chooser(loaded, Sampling(grammar="root ::= ("))
