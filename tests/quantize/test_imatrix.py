"""Collecting: every language alike, the documents named, the same bytes again."""

from pathlib import Path

import pytest

from publicai_edge.errors import ModelError, RecipeError
from publicai_edge.progress import Silent
from publicai_edge.quantize import calibration_documents, collect, imatrix_file
from tests.engine import tiny
from tests.quantize.conftest import Calibrated, texts


def test_every_language_brings_about_the_same_number_of_tokens(calibrated: Calibrated) -> None:
    tokens = calibrated.report.tokens
    assert set(tokens) == {"en", "es"}
    assert max(tokens.values()) < 1.3 * min(tokens.values())
    seen = imatrix_file.read(calibrated.imatrix).entries["blk.0.attn_q.weight"].counts
    assert seen.tolist() == [sum(tokens.values())]


def test_the_file_names_the_documents_it_was_collected_on(calibrated: Calibrated) -> None:
    known = {document.sha256 for document in calibrated.corpus.documents}
    named = calibration_documents(calibrated.imatrix)
    assert len(named) == calibrated.report.documents
    assert named <= known
    found = imatrix_file.read(calibrated.imatrix)
    assert set(found.languages) == {"en", "es"}
    assert (found.datasets, found.chunk_size, found.chunks) == (("Notices",), 64, calibrated.report.chunks)


def test_weights_of_blocks_are_observed_and_experts_apart(calibrated: Calibrated) -> None:
    entries = imatrix_file.read(calibrated.imatrix).entries
    assert len(entries) == calibrated.report.entries == 8
    assert entries["blk.0.ffn_down_exps.weight"].sums.shape == (tiny.EXPERTS, tiny.HIDDEN)
    assert "token_embd.weight" not in entries
    assert calibrated.report.partial == ()


def test_same_model_and_texts_give_the_same_bytes(calibrated: Calibrated, tmp_path: Path) -> None:
    again = tmp_path / "again.gguf"
    collect(calibrated.model, calibrated.corpus, again, context=64, threads=1, progress=Silent())
    assert again.read_bytes() == calibrated.imatrix.read_bytes()
    assert list(tmp_path.iterdir()) == [again]


def test_a_limit_of_tokens_is_kept(calibrated: Calibrated, tmp_path: Path) -> None:
    found = collect(
        calibrated.model, texts(), tmp_path / "i", context=64, per_language=90, threads=1, progress=Silent()
    )
    assert all(count <= 90 for count in found.tokens.values())
    assert found.documents < calibrated.report.documents


@pytest.mark.parametrize("context", [31, tiny.CONTEXT + 1])
def test_a_context_the_model_does_not_have_is_refused(calibrated: Calibrated, tmp_path: Path, context: int) -> None:
    with pytest.raises(RecipeError, match="expected 32 to 256"):
        collect(calibrated.model, texts(), tmp_path / "i", context=context, progress=Silent())


def test_a_broken_model_leaves_nothing_behind(calibrated: Calibrated, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    data = calibrated.model.read_bytes()
    broken.write_bytes(data.replace(b"blk.0.attn_q.weight", b"blk.0.attn_z.weight"))
    with pytest.raises(ModelError, match=r"broken\.gguf"):
        collect(broken, texts(), tmp_path / "i.gguf", context=64, progress=Silent())
    assert list(tmp_path.iterdir()) == [broken]


def test_the_model_is_never_overwritten(calibrated: Calibrated, tmp_path: Path) -> None:
    model = tmp_path / "model.gguf"
    model.write_bytes(calibrated.model.read_bytes())
    with pytest.raises(RecipeError, match=r"would overwrite .*model\.gguf"):
        collect(model, texts(), model, context=64, progress=Silent())
    assert model.read_bytes() == calibrated.model.read_bytes()
