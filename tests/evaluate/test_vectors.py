"""The loss of an embedding model, by real vectors."""

import numpy as np
import pytest

from publicai_edge.corpus import Document
from publicai_edge.errors import ModelError, RecipeError
from publicai_edge.evaluate.vectors import compare, embed
from publicai_edge.progress import Silent

DOCUMENTS = tuple(Document(f"{n}", language, f"text {n}", "x") for language in ("en", "fr") for n in range(20))


def _unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def _vectors(noise: float) -> np.ndarray:
    random = np.random.default_rng(0)
    meaning = random.standard_normal((20, 32))
    both = np.concatenate([meaning, meaning + 0.1 * random.standard_normal((20, 32))])
    return _unit(both + noise * np.random.default_rng(1).standard_normal(both.shape))


def test_nothing_is_lost_against_itself() -> None:
    for loss in compare(_vectors(0), _vectors(0), DOCUMENTS):
        assert loss.documents == 20
        assert loss.mean_cosine.value == pytest.approx(1, abs=1e-6)
        assert loss.same_neighbour.value == 1


def test_vectors_that_turn_far_find_other_texts() -> None:
    little, much = (compare(_vectors(0), _vectors(noise), DOCUMENTS)[0] for noise in (0.05, 3.0))
    assert 0.99 < little.mean_cosine.value < 1
    assert little.same_neighbour.value == 1
    assert much.least_cosine < much.mean_cosine.value < 0.8
    assert much.same_neighbour.high < 1


def test_one_language_is_searched_without_the_document_itself() -> None:
    (loss,) = compare(_vectors(0)[:20], _vectors(3.0)[:20], DOCUMENTS[:20])
    assert loss.same_neighbour.value < 1


def test_other_widths_and_single_documents_are_refused() -> None:
    with pytest.raises(ModelError, match="differ in shape"):
        compare(_vectors(0), _vectors(0)[:, :8], DOCUMENTS)
    with pytest.raises(RecipeError, match="no neighbours"):
        compare(_vectors(0)[:1], _vectors(0)[:1], DOCUMENTS[:1])


def test_a_model_that_pools_nothing_is_refused(model, tmp_path) -> None:
    with pytest.raises(ModelError, match="not an embedding model"):
        embed(model, DOCUMENTS[:2], work=tmp_path, progress=Silent())
