"""Quantize: smaller, whole, refused where it would do silent harm, in little memory."""

from pathlib import Path

import pytest

from publicai_edge import gguf
from publicai_edge.errors import ModelError, RecipeError
from publicai_edge.progress import Silent
from publicai_edge.quantize import check_type, quantize


def test_quantized_model_has_the_type_and_stays_loadable(model: Path, tmp_path: Path) -> None:
    target = tmp_path / "q4_0.gguf"
    done = quantize(model, target, "q4_0", allow_requantize=True, progress=Silent())
    assert (done.before, done.after) == ("Q4_1", "Q4_0")
    assert done.bytes_after == target.stat().st_size < done.bytes_before
    assert gguf.read(target).quantization == "Q4_0"
    assert list(tmp_path.iterdir()) == [target]


def test_same_input_gives_the_same_bytes(model: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        quantize(model, tmp_path / name, "Q4_0", allow_requantize=True, progress=Silent())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_quantizing_twice_is_refused_unless_said(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"already quantized \(Q4_1\)") as caught:
        quantize(model, tmp_path / "out.gguf", "Q4_0", allow_requantize=False, progress=Silent())
    assert "--allow-requantize" in str(caught.value.hint)
    assert not list(tmp_path.iterdir())


def test_memory_stays_far_below_half_a_gigabyte(model: Path, tmp_path: Path) -> None:
    done = quantize(model, tmp_path / "out.gguf", "F16", allow_requantize=True, progress=Silent())
    assert done.bytes_after > 250_000_000
    assert done.peak_rss_bytes < 200_000_000


@pytest.mark.parametrize(("name", "near"), [("Q4_KM", "Q4_K_M"), ("q8", "Q8_0"), ("Q5KS", "Q5_K_S")])
def test_unknown_type_names_the_nearest(name: str, near: str) -> None:
    with pytest.raises(RecipeError, match=f"did you mean {near!r}"):
        check_type(name)


def test_type_that_needs_an_importance_matrix_is_refused() -> None:
    with pytest.raises(RecipeError, match="importance matrix"):
        check_type("IQ2_XXS")


def test_truncated_source_leaves_nothing_behind(model: Path, tmp_path: Path) -> None:
    source = tmp_path / "cut.gguf"
    with model.open("rb") as stream:
        source.write_bytes(stream.read(5_000_000))
    with pytest.raises(ModelError, match=r"cut\.gguf is cut short"):
        quantize(source, tmp_path / "out.gguf", "Q4_0", allow_requantize=True, progress=Silent())
    assert list(tmp_path.iterdir()) == [source]
