"""Weights replaced in memory: what is evaluated changes with them, and comes back whole."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from publicai_edge import gguf
from publicai_edge.engine import encoding
from publicai_edge.engine.perturb import Perturbed
from publicai_edge.engine.scoring import Window
from publicai_edge.errors import ModelError
from publicai_edge.progress import Silent
from publicai_edge.quantize import quantize

NAME = "blk.3.ffn_down.weight"


@pytest.fixture(scope="module")
def half(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("half") / "f16.gguf"
    quantize(model, target, "F16", allow_requantize=True, progress=Silent())
    return target


@pytest.fixture(scope="module")
def loaded(half: Path) -> Iterator[Perturbed]:
    perturbed = Perturbed(half, context=64, threads=2)
    yield perturbed
    perturbed.close()


def _logits(loaded: Perturbed) -> np.ndarray:
    tokens = np.array(loaded.model.tokenize("The library opens at nine and closes at", special=False), np.int32)
    return next(loaded.scorer.rows([Window(0, tokens, 1)])).logits.copy()


def _stored(path: Path, name: str) -> tuple[gguf.Tensor, np.ndarray]:
    header = gguf.read(path)
    tensor = next(one for one in header.tensors if one.name == name)
    block, size = {kind: (block, size) for kind, block, size in gguf.TENSOR_TYPES.values()}[tensor.type]
    data = np.memmap(path, np.uint8, "r")[header.data_start + tensor.offset :]
    return tensor, np.array(data[: tensor.weights // block * size])


def test_every_matrix_of_the_file_can_be_replaced_and_holds_the_files_values(loaded: Perturbed, half: Path) -> None:
    matrices = {tensor.name for tensor in gguf.read(half).tensors if len(tensor.dimensions) > 1}
    assert set(loaded.shapes) == matrices
    assert loaded.shapes[NAME] == (576, 1536)
    _, stored = _stored(half, NAME)
    assert np.array_equal(loaded.weights(NAME).ravel(), stored.view(np.float16).astype(np.float32))


def test_a_coarser_weight_changes_the_predictions_more_and_all_comes_back(loaded: Perturbed) -> None:
    before, weights = _logits(loaded), loaded.weights(NAME)
    changes = []
    for kind in ("Q8_0", "Q4_0", "Q2_K"):
        with loaded.replaced({NAME: encoding.round_trip(weights, kind)}):
            changes.append(float(np.abs(_logits(loaded) - before).mean()))
        assert np.array_equal(_logits(loaded), before)
    assert 0 < changes[0] < changes[1] < changes[2]


def test_weights_come_back_after_an_error(loaded: Perturbed) -> None:
    weights = loaded.weights(NAME)
    with pytest.raises(RuntimeError, match="stop"), loaded.replaced({NAME: weights * 0}):
        assert not loaded.weights(NAME).any()
        raise RuntimeError("stop")
    assert np.array_equal(loaded.weights(NAME), weights)


def test_a_quantized_model_is_refused(model: Path) -> None:
    with pytest.raises(ModelError, match=r"is quantized \(Q4_1\)"):
        Perturbed(model, context=64, threads=2)


@pytest.mark.parametrize("kind", ["Q4_0", "Q5_K_M"])
def test_encoding_gives_the_bytes_that_the_quantizer_writes(half: Path, tmp_path: Path, kind: str) -> None:
    quantize(half, tmp_path / "out.gguf", kind, allow_requantize=True, progress=Silent())
    for name in (NAME, "blk.0.attn_v.weight"):
        tensor, written = _stored(tmp_path / "out.gguf", name)
        weights = _stored(half, name)[1].view(np.float16).astype(np.float32).reshape(tensor.dimensions[::-1])
        assert np.array_equal(encoding.encode(weights, tensor.type).ravel(), written)


def test_a_stack_of_experts_is_encoded_with_each_experts_importances() -> None:
    chance = np.random.default_rng(1)
    weights = chance.normal(size=(3, 8, 256)).astype(np.float32)
    importance = chance.uniform(0.1, 5, (3, 256)).astype(np.float32)
    together = encoding.encode(weights, "Q4_K", importance).reshape(3, -1)
    for expert in range(3):
        assert np.array_equal(together[expert], encoding.encode(weights[expert], "Q4_K", importance[expert]).ravel())
