"""Predictions: the very size and the very types that quantizing then gives."""

from pathlib import Path

import pytest

from publicai_edge import gguf
from publicai_edge.errors import RecipeError
from publicai_edge.progress import Silent
from publicai_edge.quantize import plan, predict_size, quantize
from tests.quantize.conftest import Calibrated


@pytest.mark.parametrize("type_name", ["Q4_K_M", "Q8_0", "IQ4_XS"])
def test_plan_is_what_quantizing_gives(calibrated: Calibrated, tmp_path: Path, type_name: str) -> None:
    target = tmp_path / "out.gguf"
    quantize(calibrated.model, target, type_name, allow_requantize=False, progress=Silent())
    found = plan(calibrated.model, [type_name])[type_name]
    assert found.bytes == target.stat().st_size
    assert found.tensor_types == {tensor.name: tensor.type for tensor in gguf.read(target).tensors}


def test_plan_with_an_importance_matrix_and_chosen_types(calibrated: Calibrated, tmp_path: Path) -> None:
    target, chosen = tmp_path / "out.gguf", {"blk.0.attn_v.weight": "Q8_0", "token_embd.weight": "Q4_0"}
    how = {"imatrix": calibrated.imatrix, "tensor_types": chosen}
    quantize(calibrated.model, target, "IQ2_XS", allow_requantize=False, progress=Silent(), **how)  # type: ignore[arg-type]
    assert predict_size(calibrated.model, "IQ2_XS", **how) == target.stat().st_size  # type: ignore[arg-type]


def test_real_model_is_predicted_byte_for_byte(model: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.gguf"
    quantize(model, target, "Q4_0", allow_requantize=True, progress=Silent())
    assert predict_size(model, "Q4_0") == target.stat().st_size


def test_several_types_are_planned_at_once_and_nothing_is_written(calibrated: Calibrated) -> None:
    before = set(calibrated.model.parent.iterdir())
    found = plan(calibrated.model, ["q8_0", "Q4_K_M", "IQ2_XS"], imatrix=True)
    assert [item.type for item in found.values()] == ["Q8_0", "Q4_K_M", "IQ2_XS"]
    sizes = [item.bytes for item in found.values()]
    assert sizes == sorted(sizes, reverse=True)
    assert set(calibrated.model.parent.iterdir()) == before


def test_a_type_that_needs_a_matrix_is_planned_only_with_one(calibrated: Calibrated) -> None:
    with pytest.raises(RecipeError, match="needs an importance matrix"):
        plan(calibrated.model, ["IQ2_XS"])
