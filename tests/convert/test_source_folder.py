import json
import struct

import pytest

from publicai_edge.convert.source_folder import check
from publicai_edge.errors import ModelError


@pytest.fixture
def folder(tmp_path):
    """The smallest folder that passes."""
    (tmp_path / "config.json").write_text('{"model_type": "bert", "max_position_embeddings": 512}')
    (tmp_path / "tokenizer.json").write_text("{}")
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 4)
    return tmp_path


def test_a_whole_folder_passes(folder):
    assert check(folder, "mean", 512)["model_type"] == "bert"


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelError, match=name):
        check(folder, "mean", 256)


def test_weights_in_pickle_form_alone_are_refused(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"only in pickle form \(pytorch_model.bin\)"):
        check(folder, "mean", 256)


@pytest.mark.parametrize(
    "data", [b"", b"abc", b"\xff" * 64, struct.pack("<Q", 4) + b"[[[[", struct.pack("<Q", 2) + b"[]"]
)
def test_corrupt_weights_are_refused(folder, data):
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(ModelError, match=r"model\.safetensors is not a whole safetensors file"):
        check(folder, "mean", 256)


@pytest.mark.parametrize("change", [-1, 1])
def test_weights_cut_short_or_with_more_behind_them_are_refused(folder, change):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] if change < 0 else path.read_bytes() + b"x")
    with pytest.raises(ModelError, match="its header says"):
        check(folder, "mean", 256)


@pytest.mark.parametrize("text", ["", "not json", "[]", "[" * 100_000])
def test_a_broken_configuration_is_refused(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(ModelError, match=r"config\.json is not"):
        check(folder, "mean", 256)


def test_a_layer_that_would_be_lost_is_refused(folder):
    kinds = ["Transformer", "Pooling", "Dense"]
    modules = [{"type": f"sentence_transformers.models.{kind}"} for kind in kinds]
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelError, match="Dense layer"):
        check(folder, "mean", 256)


def test_pooling_other_than_the_models_own_is_refused_with_the_right_one(folder):
    (folder / "1_Pooling").mkdir()
    stated = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(stated))
    with pytest.raises(ModelError, match="mean pooling") as caught:
        check(folder, "mean", 256)
    assert 'pooling = "cls"' in caught.value.hint
    check(folder, "cls", 256)


def test_more_tokens_than_the_model_has_positions_are_refused(folder):
    with pytest.raises(ModelError, match="at most 512 tokens"):
        check(folder, "mean", 513)
