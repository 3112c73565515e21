"""Answers bound to a JSON schema are JSON, whatever the model likes, and say the schema's own words as they are."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from publicai_edge.engine.llama import LlamaModel
from publicai_edge.engine.protocol import Sampling
from publicai_edge.engine.sampling import Chooser

MOST = 400
AWKWARD = ['q"', "q\\", "a\nb", "\t", "\x00", "\x1f", "\x7f", "🦙", "é", "\u2028", "\\u0041", "\ud800", "مرحبا", ""]


@pytest.fixture(scope="module")
def loaded(model: Path) -> Iterator[LlamaModel]:
    loaded = LlamaModel(model, vocab_only=True)
    yield loaded
    loaded.close()


def said(loaded: LlamaModel, schema: Any, seed: int, liked: np.ndarray | None = None) -> Any:
    """Let random logits answer, those of ``liked`` tokens higher; return what the answer says as JSON."""
    random = np.random.default_rng(seed)
    chooser = Chooser(loaded, Sampling(temperature=1.0, seed=seed, json_schema=json.dumps(schema)))
    out = b""
    try:
        for _ in range(MOST):
            logits = random.normal(0, 3, loaded.n_vocab).astype(np.float32)
            if liked is not None:
                logits[liked] += 30
            if loaded.ends(token := chooser.choose(logits)):
                return json.loads(out.decode("utf-8"))
            out += loaded.piece(token)
    finally:
        chooser.close()
    raise AssertionError(f"no end: {out!r}")


@pytest.mark.parametrize("value", AWKWARD, ids=ascii)
def test_a_value_that_the_schema_gives_is_said_as_it_is(loaded: LlamaModel, value: str) -> None:
    assert said(loaded, {"enum": [value]}, 1) == value
    assert said(loaded, {"const": value}, 2) == value


@pytest.mark.parametrize("name", [value for value in AWKWARD if value], ids=ascii)
def test_a_name_that_the_schema_gives_is_said_as_it_is(loaded: LlamaModel, name: str) -> None:
    schema = {"type": "object", "properties": {name: {"type": "boolean"}}, "required": [name]}
    assert list(said(loaded, schema, 3)) == [name]


@pytest.mark.parametrize("seed", range(8))
def test_a_model_that_likes_control_characters_puts_none_into_a_string(loaded: LlamaModel, seed: int) -> None:
    pieces = [loaded.piece(token) for token in range(loaded.n_vocab)]
    liked = np.array([number for number, piece in enumerate(pieces) if any(byte < 0x20 for byte in piece)])
    assert liked.size > 10
    schema = {"type": "array", "items": {"type": "string", "maxLength": 6}, "minItems": 2, "maxItems": 3}
    found = said(loaded, schema, seed, liked)
    assert 2 <= len(found) <= 3
    assert all(len(item) <= 6 for item in found)
