"""Quantize: smaller, whole, refused where it would do silent harm, in little memory."""

import re
from pathlib import Path

import pytest

from publicai_edge import digest, gguf
from publicai_edge.engine.llama import LlamaModel
from publicai_edge.errors import ModelError, RecipeError
from publicai_edge.progress import Silent
from publicai_edge.quantize import calibration_documents, check_type, imatrix_file, native, plan, quantize, types
from publicai_edge.quantize.types import NEED_IMATRIX
from tests.engine import tiny
from tests.quantize.conftest import Calibrated


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


def tensor_data(path: Path) -> dict[str, bytes]:
    """Return each weight's type and bytes."""
    header, raw = gguf.read(path), path.read_bytes()
    sizes = {name: (block, size) for name, block, size in gguf.TENSOR_TYPES.values()}
    found = {}
    for tensor in header.tensors:
        block, size = sizes[tensor.type]
        start = header.data_start + tensor.offset
        found[tensor.name] = tensor.type.encode() + raw[start : start + tensor.weights // block * size]
    return found


def test_importance_matrix_changes_the_weights_it_knows(calibrated: Calibrated, tmp_path: Path) -> None:
    made = {}
    for name, imatrix in (("with", calibrated.imatrix), ("without", None)):
        target = tmp_path / name
        quantize(calibrated.model, target, "Q4_K_S", allow_requantize=False, progress=Silent(), imatrix=imatrix)
        made[name] = tensor_data(target)
    changed = {name for name, data in made["with"].items() if data != made["without"][name]}
    known = imatrix_file.read(calibrated.imatrix).entries
    assert changed == known.keys() - {"blk.0.ffn_gate_inp.weight"}  # which llama.cpp never quantizes


def test_result_says_what_it_was_calibrated_on_and_still_loads(calibrated: Calibrated, tmp_path: Path) -> None:
    target, again = tmp_path / "once.gguf", tmp_path / "twice.gguf"
    options = {"allow_requantize": True, "progress": Silent(), "imatrix": calibrated.imatrix}
    quantize(calibrated.model, target, "Q6_K", **options)  # type: ignore[arg-type]
    quantize(target, again, "Q4_K_M", **options)  # type: ignore[arg-type]
    for path in (target, again):
        said = gguf.read(path).metadata
        assert calibration_documents(path) == calibration_documents(calibrated.imatrix)
        assert set(gguf.strings(path, "publicai_edge.calibration.languages")) == {"en", "es"}
        assert said["quantize.imatrix.file"] == f"sha256:{digest.of_file(calibrated.imatrix)}"
        assert said["quantize.imatrix.dataset"] == "Notices"
        assert said["quantize.imatrix.entries_count"] == calibrated.report.entries
        assert said["quantize.imatrix.chunks_count"] == calibrated.report.chunks
        assert str(tmp_path).encode() not in path.read_bytes()[: gguf.read(path).data_start]
        loaded = LlamaModel(path)
        assert loaded.n_ctx_train == tiny.CONTEXT
        loaded.close()
    quantize(again, tmp_path / "plain.gguf", "Q8_0", allow_requantize=True, progress=Silent())
    assert calibration_documents(tmp_path / "plain.gguf") == calibration_documents(calibrated.imatrix)


def test_smallest_types_come_with_an_importance_matrix_only(calibrated: Calibrated, tmp_path: Path) -> None:
    quantize(
        calibrated.model,
        tmp_path / "out",
        "iq2_xxs",
        allow_requantize=False,
        progress=Silent(),
        imatrix=calibrated.imatrix,
    )
    kinds = {tensor.name: tensor.type for tensor in gguf.read(tmp_path / "out").tensors}
    assert kinds["blk.0.attn_q.weight"] == "IQ2_XXS"
    with pytest.raises(RecipeError, match="none was given") as caught:
        quantize(calibrated.model, tmp_path / "no", "iq2_xxs", allow_requantize=False, progress=Silent())
    assert "publicai-edge imatrix" in str(caught.value.hint)
    assert types(imatrix=True).keys() >= NEED_IMATRIX
    assert not NEED_IMATRIX & types().keys()


def test_every_type_offered_without_a_matrix_needs_none(calibrated: Calibrated) -> None:
    needing = {"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS"}
    for name, found in plan(calibrated.model, list(types())).items():
        blocks = {kind for weight, kind in found.tensor_types.items() if weight.startswith("blk.")}
        assert not blocks & needing, name


def test_named_weights_get_the_named_types_and_no_others_do(calibrated: Calibrated, tmp_path: Path) -> None:
    chosen = {"blk.0.attn_q.weight": "q8_0", "blk.0.attn_output.weight": "F16", "token_embd.weight": "Q5_K"}
    quantize(calibrated.model, tmp_path / "o", "Q4_K_S", allow_requantize=False, progress=Silent(), tensor_types=chosen)
    quantize(calibrated.model, tmp_path / "p", "Q4_K_S", allow_requantize=False, progress=Silent())
    made, plain = ({t.name: t.type for t in gguf.read(tmp_path / name).tensors} for name in "op")
    assert {name: made[name] for name in chosen} == {name: kind.upper() for name, kind in chosen.items()}
    assert {name for name in made if made[name] != plain[name]} == set(chosen)


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"blk.0.attn_w.weight": "Q8_0"}, "did you mean 'blk.0.attn"),
        ({"blk.0.attn_q.weight": "Q4_K_M"}, "did you mean 'Q4_K'"),
        ({"blk.0.attn_q.weight": "IQ2_XS"}, "needs an importance matrix"),
        ({"blk.0.attn_norm.weight": "Q8_0"}, "would not make it Q8_0"),
    ],
)
def test_choices_that_cannot_be_are_refused(
    calibrated: Calibrated, tmp_path: Path, chosen: dict[str, str], words: str
) -> None:
    with pytest.raises((RecipeError, ModelError), match=words):
        quantize(
            calibrated.model, tmp_path / "o", "Q4_K_M", allow_requantize=False, progress=Silent(), tensor_types=chosen
        )
    assert not list(tmp_path.iterdir())


def test_rows_that_a_type_cannot_pack_are_told(model: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"rows of 576 weights, and Q4_K packs 256"):
        quantize(
            model,
            tmp_path / "o",
            "Q4_0",
            allow_requantize=True,
            progress=Silent(),
            tensor_types={"blk.0.attn_q.weight": "Q4_K"},
        )


def test_matrix_of_another_model_is_refused(calibrated: Calibrated, model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="belongs to another model: blk") as caught:
        quantize(model, tmp_path / "o", "Q4_0", allow_requantize=True, progress=Silent(), imatrix=calibrated.imatrix)
    assert "publicai-edge imatrix" in str(caught.value.hint)
    assert not list(tmp_path.iterdir())


def test_pattern_for_a_weight_matches_its_name_only() -> None:
    pattern = native._exactly("blk.1.attn_q.weight")
    assert re.search(pattern, "blk.1.attn_q.weight")
    assert not re.search(pattern, "blk.11.attn_q.weight")
    assert not re.search(pattern, "blk.1_attn_q.weight")
    assert not re.search(pattern, "v.blk.1.attn_q.weight")


@pytest.mark.parametrize("alias", ["itself", "link"])
def test_the_source_is_never_overwritten(calibrated: Calibrated, tmp_path: Path, alias: str) -> None:
    source = tmp_path / "model.gguf"
    source.write_bytes(calibrated.model.read_bytes())
    target = source
    if alias == "link":
        target = tmp_path / "link.gguf"
        target.symlink_to(source)
    with pytest.raises(RecipeError, match=r"would overwrite .*model\.gguf") as caught:
        quantize(source, target, "Q8_0", allow_requantize=True, progress=Silent())
    assert "another name" in str(caught.value.hint)
    assert source.read_bytes() == calibrated.model.read_bytes()


def test_the_importance_matrix_is_never_overwritten(calibrated: Calibrated, tmp_path: Path) -> None:
    matrix = tmp_path / "model.imatrix.gguf"
    matrix.write_bytes(calibrated.imatrix.read_bytes())
    with pytest.raises(RecipeError, match=r"would overwrite .*model\.imatrix\.gguf"):
        quantize(calibrated.model, matrix, "Q8_0", allow_requantize=True, progress=Silent(), imatrix=matrix)
    assert matrix.read_bytes() == calibrated.imatrix.read_bytes()
