import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from publicai_edge.engine.embedder import Embedder
from publicai_edge.errors import EngineError, ModelError

TEXTS = ["When do you open?", "图书馆几点开门", "", "word " * 2000, "Fines are 0.10 euros a day."]


@pytest.fixture
def folder(embedder_folder, tmp_path):
    """A folder that may be broken: the real files, the model by symbolic link."""
    for path in embedder_folder.iterdir():
        if path.name == "model.onnx":
            (tmp_path / path.name).symlink_to(path)
        else:
            shutil.copyfile(path, tmp_path / path.name)
    return tmp_path


def test_vectors_are_unit_float32_in_the_order_given(embedder):
    vectors = embedder.encode(TEXTS, "passage")
    assert vectors.shape == (len(TEXTS), embedder.dim) == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.array_equal(vectors[::-1], embedder.encode(TEXTS[::-1], "passage"))


def test_no_texts_give_no_vectors(embedder):
    assert embedder.encode([], "query").shape == (0, 384)


def test_a_vector_does_not_depend_on_its_neighbours(embedder):
    alone = np.concatenate([embedder.encode([text], "passage") for text in TEXTS])
    assert np.array_equal(alone, embedder.encode(TEXTS, "passage"))


def test_several_threads_get_the_same_vectors(embedder):
    expected = embedder.encode(TEXTS, "passage")
    with ThreadPoolExecutor(4) as pool:
        for vectors in pool.map(lambda _: embedder.encode(TEXTS, "passage"), range(12)):
            assert np.array_equal(vectors, expected)


def test_questions_and_passages_get_their_own_prefix(folder):
    plain = Embedder.open(folder).encode(["query: hours", "passage: hours"], "query")
    _change(folder, query_prefix="query: ", passage_prefix="passage: ")
    prefixed = Embedder.open(folder)
    assert np.array_equal(prefixed.encode(["hours"], "query")[0], plain[0])
    assert np.array_equal(prefixed.encode(["hours"], "passage")[0], plain[1])


def test_text_beyond_max_tokens_is_not_read(embedder):
    long, longer = embedder.encode(["word " * 400, "word " * 900 + "astronomy"], "passage")
    assert np.array_equal(long, longer)


def test_whatever_decides_a_vector_changes_the_fingerprint(folder):
    before = Embedder.open(folder).fingerprint
    _change(folder, passage_prefix="passage: ")
    assert Embedder.open(folder).fingerprint != before


@given(st.text())
def test_no_text_breaks_it(embedder, text):
    assert np.isfinite(embedder.encode([text], "query")).all()


def test_lone_surrogates_are_no_error(embedder):
    assert np.isfinite(embedder.encode(["a\ud800b"], "query")).all()


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "embedding.json"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelError, match=name):
        Embedder.open(folder)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "embedding.json"])
@pytest.mark.parametrize("data", [b"", b"{}", b"\x00\x01\x02 broken"])
def test_a_broken_file_is_named(folder, name, data):
    (folder / name).unlink()
    (folder / name).write_bytes(data)
    with pytest.raises(ModelError, match=name):
        Embedder.open(folder)


@pytest.mark.parametrize(
    "change", [{"dim": "384"}, {"dim": 0}, {"pooling": "max"}, {"more": 1}, {"model_sha256": "x"}, {"dim": True}]
)
def test_a_wrong_value_in_the_configuration_is_refused(folder, change):
    _change(folder, **change)
    with pytest.raises(ModelError, match=r"embedding\.json"):
        Embedder.open(folder)


def test_a_model_of_another_dimension_than_it_claims_is_an_engine_error(folder):
    _change(folder, dim=128)
    with pytest.raises(EngineError, match="128"):
        Embedder.open(folder).encode(["x"], "query")


def _change(folder, **values):
    path = folder / "embedding.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
