"""What is kept of a row stands for the whole row."""

import numpy as np
import pytest

from publicai_edge.evaluate import likelihood

VOCABULARY = 3000  # not a multiple of the span that draws sum over


def _rows(count: int, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    reference = (random.standard_normal((count, VOCABULARY)) * sharpness).astype(np.float32)
    other = (reference + 0.4 * random.standard_normal((count, VOCABULARY))).astype(np.float32)
    return reference, other


def _full(reference: np.ndarray, other: np.ndarray) -> np.ndarray:
    def log_softmax(rows: np.ndarray) -> np.ndarray:
        wide = rows.astype(np.float64)
        wide -= wide.max(axis=1, keepdims=True)
        return np.asarray(wide - np.log(np.exp(wide).sum(axis=1, keepdims=True)))

    ours, theirs = log_softmax(reference), log_softmax(other)
    return np.asarray((np.exp(ours) * (ours - theirs)).sum(axis=1))


@pytest.fixture
def workers() -> likelihood.Workers:
    return likelihood.Workers(2, VOCABULARY)


@pytest.mark.parametrize("sharpness", [0.1, 2.0, 5.0])
def test_mean_divergence_is_that_of_the_whole_vocabulary(workers: likelihood.Workers, sharpness: float) -> None:
    reference, other = _rows(400, sharpness)
    targets = np.zeros(400, np.int32)
    rows, entries = likelihood.keep(workers, reference, targets, 0)
    loss = likelihood.compare(workers, other, targets, rows, entries)
    full = _full(reference, other)
    assert loss["kl"].mean() == pytest.approx(full.mean(), rel=0.02)
    assert (loss["kl"] >= 0).all()


def test_divergence_from_itself_is_nought(workers: likelihood.Workers) -> None:
    reference, _ = _rows(100, 3.0)
    targets = np.arange(100, dtype=np.int32)
    rows, entries = likelihood.keep(workers, reference, targets, 0)
    loss = likelihood.compare(workers, reference, targets, rows, entries)
    assert loss["kl"].max() < 1e-5
    assert loss["agrees"].all()
    np.testing.assert_array_equal(loss["reference"], loss["target"])


def test_target_and_agreement_are_exact(workers: likelihood.Workers) -> None:
    reference, other = _rows(50, 3.0)
    targets = np.arange(50, dtype=np.int32) * 7
    rows, entries = likelihood.keep(workers, reference, targets, 0)
    loss = likelihood.compare(workers, other, targets, rows, entries)
    wide = other.astype(np.float64)
    expected = wide[np.arange(50), targets] - np.log(np.exp(wide).sum(axis=1))
    np.testing.assert_allclose(loss["target"], expected, atol=1e-5)
    np.testing.assert_array_equal(loss["agrees"], reference.argmax(axis=1) == other.argmax(axis=1))


def test_draws_come_from_the_rest_only_and_by_its_probability(workers: likelihood.Workers) -> None:
    row = np.zeros((1, VOCABULARY), np.float32)
    row[0, 5] = 12.0  # kept; the others share what is left
    row[0, 2900:] = 2.0
    rows, entries = likelihood.keep(workers, np.repeat(row, 200, axis=0), np.zeros(200, np.int32), 0)
    assert (rows["kept"] == 1).all()
    ids = entries["id"].reshape(200, -1)
    assert (ids[:, 0] == 5).all()
    drawn = ids[:, 1:]
    assert drawn.shape == (200, likelihood.DRAWS)
    assert not (drawn == 5).any()
    likely = 100 * np.exp(2.0) / (100 * np.exp(2.0) + 2899)
    assert (drawn >= 2900).mean() == pytest.approx(likely, abs=0.01)


def test_rows_do_not_depend_on_threads_and_an_empty_batch_is_empty() -> None:
    reference, other = _rows(37, 2.0)
    targets = np.zeros(37, np.int32)
    results = []
    for threads in (1, 3):
        workers = likelihood.Workers(threads, VOCABULARY)
        rows, entries = likelihood.keep(workers, reference, targets, 4)
        results.append(likelihood.compare(workers, other, targets, rows, entries))
        rows, entries = likelihood.keep(workers, reference[:0], targets[:0], 4)
        assert len(likelihood.compare(workers, other[:0], targets[:0], rows, entries)) == 0
        workers.close()
    np.testing.assert_array_equal(results[0], results[1])
