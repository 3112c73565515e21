import dataclasses
import importlib.util
import json

import numpy as np
import pytest

from publicai_edge.convert.embedding import convert_embedding
from publicai_edge.engine.embedder import Embedder
from publicai_edge.errors import HostError, ModelError
from publicai_edge.progress import Silent
from tests.convert.minilm import INT8


def test_int8_stays_near_the_original_and_is_a_quarter_of_its_size(converted):
    _, report, _ = converted
    assert report.mean_cosine >= 0.998
    assert report.least_cosine >= 0.996
    assert report.texts >= 20
    assert report.bytes_after < 0.3 * report.bytes_before
    assert report.quantization == "int8"


def test_the_folder_holds_the_figure_and_what_the_kiosk_needs(converted):
    out, report, _ = converted
    names = {path.name for path in out.iterdir()}
    assert names == {"model.onnx", "tokenizer.json", "embedding.json", "config.json", "conversion.json"}
    assert json.loads((out / "conversion.json").read_text()) == dataclasses.asdict(report)


def test_the_child_says_what_it_used(converted):
    _, _, child = converted
    assert 0 < child.peak_rss_bytes < 2e9
    assert child.seconds > 0


def test_converted_vectors_tell_near_texts_from_far_ones(converted):
    embedder = Embedder.open(converted[0])
    question, near, far = embedder.encode(
        ["When does the library open?", "Opening hours: nine to five", "A recipe for lentil soup"], "query"
    )
    assert question @ near > question @ far + 0.2


def test_a_second_conversion_in_another_folder_gives_the_same_bytes(source, converted, tmp_path):
    again = tmp_path / "some" / "other place" / "out"
    convert_embedding(source, again, INT8, Silent())
    for path in converted[0].iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name


def test_no_path_of_this_machine_is_in_the_model(source, converted):
    data = (converted[0] / "model.onnx").read_bytes()
    assert b"site-packages" not in data
    assert str(source.parent).encode() not in data


def test_without_quantization_the_vectors_are_the_original_ones(source, tmp_path):
    settings = dataclasses.replace(INT8, quantize="none", min_cosine=0.99999)
    report, _ = convert_embedding(source, tmp_path / "out", settings, Silent())
    assert report.least_cosine >= 0.99999


def test_a_result_too_far_from_the_original_is_refused_with_its_figure(source, tmp_path):
    settings = dataclasses.replace(INT8, min_cosine=0.9999)
    with pytest.raises(ModelError, match=r"mean cosine of 0\.9\d+ .* 0\.9999") as caught:
        convert_embedding(source, tmp_path / "out", settings, Silent())
    assert 'quantize = "none"' in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_an_architecture_that_needs_code_from_its_repository_is_refused(source, tmp_path):
    folder = _copy(source, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "nomic_bert", "auto_map": {"AutoModel": "evil.Model", "AutoConfig": "evil.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ModelError, match=r"transformers cannot load"):
        convert_embedding(folder, tmp_path / "out", INT8, Silent())
    assert not (tmp_path / "ran").exists()


def test_missing_extra_is_told_with_the_commands_that_install_it(source, tmp_path, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "optimum" else real(name))
    with pytest.raises(HostError, match="optimum") as caught:
        convert_embedding(source, tmp_path / "out", INT8, Silent())
    assert "pip install --index-url https://download.pytorch.org/whl/cpu torch==2.13.0" in caught.value.hint
    assert 'pip install "publicai-edge[onnx]"' in caught.value.hint


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"no embedding model at .*nowhere"):
        convert_embedding(tmp_path / "nowhere", tmp_path / "out", INT8, Silent())


def test_weights_whose_tensors_are_another_models_are_refused(source, tmp_path):
    from safetensors.numpy import save_file

    folder = _copy(source, tmp_path / "model")
    (folder / "model.safetensors").unlink()
    save_file({"something.else": np.zeros((4, 4), np.float32)}, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"lack .* tensors"):
        convert_embedding(folder, tmp_path / "out", INT8, Silent())


def _copy(source, folder):
    folder.mkdir()
    for path in source.iterdir():
        if path.is_file():
            (folder / path.name).symlink_to(path) if path.suffix == ".safetensors" else (
                folder / path.name
            ).write_bytes(path.read_bytes())
    return folder


def test_no_product_saturates_on_a_processor_without_vnni(converted):
    """Unsigned by signed bytes do, with AVX2; activations scaled for a whole run let neighbours into a vector."""
    import onnx

    found = {node.op_type for node in onnx.load(converted[0] / "model.onnx").graph.node}
    assert "MatMulNBits" in found
    assert "GatherBlockQuantized" in found
    assert not {name for name in found if "Integer" in name or "DynamicQuantize" in name}
