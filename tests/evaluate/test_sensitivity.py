"""What each tensor's quantization costs: measured, spread over layers, continued, and not fooled by an old type."""

import json
from pathlib import Path

import numpy as np
import pytest

from publicai_edge.corpus import Document
from publicai_edge.engine import encoding
from publicai_edge.errors import ModelError, RecipeError
from publicai_edge.evaluate import sensitivity
from publicai_edge.evaluate.sensitivity import Sensitivity, measure
from publicai_edge.evaluate.weight_error import importances, weight_errors
from publicai_edge.progress import Silent

TEXTS = (
    Document("1", "en", "The library lends books, films and games to everyone who lives in the town.", "test"),
    Document("1", "es", "La biblioteca presta libros, películas y juegos a todos los vecinos del pueblo.", "test"),
)
TYPES = ("Q4_0", "Q4_1", "Q5_0", "Q8_0")
OPTIONS = {"types": TYPES, "tokens_per_language": 12, "max_seconds": 6.0}


@pytest.fixture(scope="module")
def state(f16: Path) -> Path:
    return f16.parent / "sensitivity.json"


@pytest.fixture(scope="module")
def found(f16: Path, state: Path) -> Sensitivity:
    return measure(f16, None, TEXTS, state, Silent(), **OPTIONS)


def test_every_matrix_has_a_loss_in_every_language_measured_or_not(found: Sensitivity) -> None:
    assert len(found.tensors) == 211
    assert found.languages == ("en", "es")
    measured = [tensor for tensor in found.tensors if tensor.measured]
    assert 1 < len(measured) < 211  # the time was too short for all
    assert any("not measured for lack of time" in note for note in found.notes)
    for tensor in found.tensors:
        assert all(set(losses) == {"en", "es"} and min(losses.values()) >= 0 for losses in tensor.losses.values())


def test_more_bits_cost_less_and_the_largest_tensor_is_measured_in_every_type(found: Sensitivity) -> None:
    for tensor in found.tensors:
        loss = {kind: sum(losses.values()) for kind, losses in tensor.losses.items()}
        if tensor.name != "token_embd.weight":
            assert loss["Q8_0"] < loss["Q5_0"] < loss["Q4_0"]
    largest = next(tensor for tensor in found.tensors if tensor.name == "token_embd.weight")
    assert {"Q4_0", "Q4_1", "Q5_0", "Q8_0"} == set(largest.measured)


def test_the_type_the_reference_was_once_stored_in_is_left_out_and_named(found: Sensitivity) -> None:
    once = [tensor for tensor in found.tensors if "Q4_1" in tensor.left_out]
    assert len(once) == 210  # all but the token embedding, which was Q8_0
    assert all("Q4_1" not in tensor.losses for tensor in once)
    assert all(set(tensor.left_out) <= {"Q4_1"} for tensor in found.tensors)
    assert any("once quantized: Q4_1 fits 210 of its 211 tensors" in note for note in found.notes)


def test_a_measurement_is_continued_from_its_state(found: Sensitivity, f16: Path, state: Path) -> None:
    kept = json.loads(state.read_text())["tensors"]
    again = measure(f16, None, TEXTS, state, Silent(), **{**OPTIONS, "max_seconds": 0.0})
    before = {tensor.name: tensor for tensor in found.tensors}
    assert len(kept) == sum(bool(tensor.measured) for tensor in again.tensors)
    assert all(before[name].measured and before[name] in again.tensors for name in kept)
    assert Sensitivity.from_json(json.loads(json.dumps(again.to_json()))) == again


def test_layers_are_measured_evenly_spread() -> None:
    names = ["token_embd.weight", *(f"blk.{layer}.ffn_up.weight" for layer in range(16))]
    order = sensitivity._spread(names)
    assert order[:5] == [names[0], *(f"blk.{layer}.ffn_up.weight" for layer in (0, 8, 4, 12))]
    assert sorted(order) == sorted(names)


def test_no_text_and_unknown_types_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no text"):
        measure(tmp_path / "f16.gguf", None, (), tmp_path / "state", Silent())
    with pytest.raises(RecipeError, match="'Q9_0' is no type"):
        measure(tmp_path / "f16.gguf", None, TEXTS, tmp_path / "state", Silent(), types=["Q9_0"])


def _weights() -> np.ndarray:
    chance = np.random.default_rng(2)
    return (chance.standard_t(5, (64, 1024)) * chance.uniform(0.01, 0.1, (64, 1))).astype(np.float32)


def test_weights_that_were_never_quantized_have_no_type_left_out() -> None:
    importance = np.random.default_rng(3).uniform(0.1, 4, (1, 1024)).astype(np.float32)
    for counts in (None, importance):
        found = weight_errors(_weights(), counts, sensitivity.TYPES)
        assert found.left_out == ()
        assert found.errors["Q8_0"] < found.errors["Q6_K"] < found.errors["Q5_0"] < found.errors["Q4_0"]
        assert ("IQ3_XXS" in found.errors) is (counts is not None)


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q4_K", "Q5_0", "Q3_K", "IQ4_NL"])
def test_a_type_that_weights_were_stored_in_is_found(kind: str) -> None:
    once = encoding.round_trip(_weights(), kind).astype(np.float16).astype(np.float32)
    assert kind in weight_errors(once, None, sensitivity.TYPES).left_out


def test_a_file_that_is_no_importance_matrix_is_refused(model: Path) -> None:
    with pytest.raises(ModelError, match="holds no importance matrix"):
        importances(model)
