"""Statistics of activations: right by an independent computation, taken where they should be, refused when foreign."""

import ctypes
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from publicai_edge.engine import ggml_tensor, observe
from publicai_edge.engine.ggml_tensor import Tensor
from publicai_edge.engine.observe import Observer, weight_name
from publicai_edge.errors import EngineError
from tests.engine import tiny

TOKENS = [*range(300, 340), *range(300, 310)]


@pytest.fixture(scope="module")
def small(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    path = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    return path, tiny.write(path, model)


@pytest.fixture
def observer(small: tuple[Path, dict[str, np.ndarray]]) -> Iterator[Observer]:
    made = Observer(small[0], context=128, threads=1)
    yield made
    made.close()


def normed(weights: dict[str, np.ndarray], tokens: list[int]) -> np.ndarray:
    """What flows into the first block's query, key and value: the normed embeddings."""
    rows = weights["token_embd.weight"][tokens].astype(np.float64)
    rows /= np.sqrt((rows**2).mean(axis=1, keepdims=True) + tiny.EPSILON)
    return rows * weights["blk.0.attn_norm.weight"]


def test_sums_are_those_of_an_independent_computation(
    observer: Observer, small: tuple[Path, dict[str, np.ndarray]]
) -> None:
    observer.observe(TOKENS)
    observer.observe(TOKENS[:20])
    expected = (normed(small[1], TOKENS) ** 2).sum(axis=0) + (normed(small[1], TOKENS[:20]) ** 2).sum(axis=0)
    for part in "qkv":
        found = observer.statistics[f"blk.0.attn_{part}.weight"]
        np.testing.assert_allclose(found.sums[0], expected, rtol=1e-5)
        assert found.counts.tolist() == [70]


def test_each_expert_is_given_the_tokens_routed_to_it(observer: Observer) -> None:
    observer.observe(TOKENS)
    router = observer.statistics["blk.0.ffn_gate_inp.weight"]
    for part in ("gate", "up", "down"):
        found = observer.statistics[f"blk.0.ffn_{part}_exps.weight"]
        assert found.counts.sum() == tiny.USED * len(TOKENS)
        assert found.counts.shape == (tiny.EXPERTS,)
        assert len(set(found.counts.tolist())) > 1, "the experts should not all see equally much in this test"
    # every token's row reaches the router once, and as many experts as are used
    gate = observer.statistics["blk.0.ffn_gate_exps.weight"].sums
    np.testing.assert_allclose(gate.sum(axis=0), tiny.USED * router.sums[0], rtol=1e-5)
    assert (gate == observer.statistics["blk.0.ffn_up_exps.weight"].sums).all()


def test_rows_are_summed_for_the_expert_that_they_are_routed_to() -> None:
    rows = np.arange(24, dtype=np.float32).reshape(3, 2, 4)
    ids = np.array([[0, 2], [2, 1], [0, 1]], np.int32)
    sums, counts = observe._sum_by_expert(rows, ids, 4)
    assert counts.tolist() == [2, 2, 2, 0]
    assert sums[0].tolist() == (rows[0, 0] ** 2 + rows[2, 0] ** 2).tolist()
    assert sums[2].tolist() == (rows[0, 1] ** 2 + rows[1, 0] ** 2).tolist()
    assert not sums[3].any()
    shared, _ = observe._sum_by_expert(rows[:, :1], ids, 4)
    assert shared[2].tolist() == (rows[0, 0] ** 2 + rows[1, 0] ** 2).tolist()


def test_taking_the_output_matrix_changes_nothing_else(small: tuple[Path, dict[str, np.ndarray]]) -> None:
    found = []
    for output in (False, True):
        made = Observer(small[0], context=128, threads=1, output=output)
        made.observe(TOKENS)
        made.observe(TOKENS)  # the second graph is cut short after the last weight wanted
        found.append({name: (item.sums.tolist(), item.counts.tolist()) for name, item in made.statistics.items()})
        made.close()
    assert found[0] == found[1]  # embeddings are tied here: there is no output.weight
    assert len(found[0]) == 8


def test_memory_of_a_device_is_copied_first(
    small: tuple[Path, dict[str, np.ndarray]], observer: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    observer.observe(TOKENS)
    far = Observer(small[0], context=128, threads=1)
    monkeypatch.setattr(far, "_ggml", ggml_tensor.Ggml(**{**vars(far._ggml), "is_host": lambda _buffer: False}))
    far.observe(TOKENS)
    for name, item in observer.statistics.items():
        assert (far.statistics[name].sums == item.sums).all()
    far.close()


def test_long_texts_are_evaluated_in_batches_with_the_same_result(
    small: tuple[Path, dict[str, np.ndarray]], observer: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    observer.observe(TOKENS)
    monkeypatch.setattr(observe, "_UBATCH", 32)
    pieces = Observer(small[0], context=128, threads=1)
    pieces.observe(TOKENS)
    for name, item in observer.statistics.items():
        assert pieces.statistics[name].counts.sum() == item.counts.sum()
        np.testing.assert_allclose(pieces.statistics[name].sums.sum(axis=0), item.sums.sum(axis=0), rtol=1e-3)
    pieces.close()


def test_weights_that_are_not_numbers_are_refused(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "nan.gguf"
    weights = tiny.write(path, model)
    data = bytearray(path.read_bytes())
    place = data.rindex(weights["blk.0.attn_norm.weight"].tobytes())
    data[place : place + 4] = np.float32("nan").tobytes()
    path.write_bytes(data)
    broken = Observer(path, context=64, threads=1)
    with pytest.raises(EngineError, match="not finite"):
        broken.observe(TOKENS)
    broken.close()


@pytest.mark.parametrize("field", ["op", "src", "data"])
def test_a_library_with_another_layout_is_refused(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Moved(ctypes.Structure):
        """The same size, one field elsewhere: swapped with the padding before or after it."""

        _fields_ = tuple(
            item
            for name, kind in Tensor._fields_
            for item in ([("gap", ctypes.c_void_p), (name, kind)] if name == field else [(name, kind)])
            if item[0] != "padding"
        )

    assert ctypes.sizeof(Moved) == ctypes.sizeof(Tensor)
    monkeypatch.setattr(ggml_tensor, "Tensor", Moved)
    ggml_tensor.ggml.cache_clear()
    with pytest.raises(EngineError, match="lays tensors out") as caught:
        ggml_tensor.ggml()
    assert "pip install" in str(caught.value.hint)
    monkeypatch.undo()
    ggml_tensor.ggml.cache_clear()
    assert ggml_tensor.ggml().mul_mat != ggml_tensor.ggml().mul_mat_id


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"blk.0.attn_q.weight", "blk.0.attn_q.weight"),
        (b"CUDA0#blk.0.attn_q.weight#0", "blk.0.attn_q.weight"),
        (b"CUDA0#output.weight", "output.weight"),
    ],
)
def test_the_scheduler_s_marks_are_taken_off_a_name(raw: bytes, name: str) -> None:
    assert weight_name(raw) == name
