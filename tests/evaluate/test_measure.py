"""Measuring the real model: what it lost is found, itself lost nothing, and foreign or known texts are refused."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from publicai_edge.engine.llama import LlamaModel
from publicai_edge.engine.scoring import Scorer, Window
from publicai_edge.errors import ModelError, RecipeError
from publicai_edge.evaluate import measure as stage
from publicai_edge.evaluate.laying import lay
from publicai_edge.evaluate.measure import measure
from publicai_edge.evaluate.reference import ReferenceFile, make_reference
from publicai_edge.evaluate.result import loss_from_json
from publicai_edge.progress import Progress, Silent, Task, Unit
from tests.evaluate.conftest import CONTEXT, DOCUMENTS

SAME = 1e-4  # nats: what another batch's shape changes in the last bits of 16-bit arithmetic


class Counting(Silent):
    """Counts what tasks say."""

    def __init__(self) -> None:
        self.total: int | None = None
        self.done = 0

    def task(self, label: str, *, total: int | None = None, unit: Unit = "items") -> Task:
        counting = self

        class Counted(Task):
            def advance(self, amount: int) -> None:
                counting.done += amount

        self.total = total
        return Counted()


@pytest.fixture(scope="module")
def loaded(f16: Path) -> Iterator[LlamaModel]:
    model = LlamaModel(f16)
    yield model
    model.close()


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    return np.asarray(wide - np.log(np.exp(wide).sum(axis=1, keepdims=True)))


def _divergence(logits: np.ndarray, others: np.ndarray) -> float:
    ours, theirs = _log_softmax(logits), _log_softmax(others)
    return float((np.exp(ours) * (ours - theirs)).sum(axis=1).mean())


def _plain(model: LlamaModel, window: Window) -> np.ndarray:
    """The rows of one window evaluated alone, in one batch."""
    scorer = Scorer(model, context=CONTEXT, threads=2)
    rows = np.concatenate([found.logits.copy() for found in scorer.rows([window])])
    scorer.close()
    return rows


def test_windows_that_share_a_batch_do_not_see_each_other(loaded: LlamaModel) -> None:
    windows = lay(loaded, DOCUMENTS, context=CONTEXT, laying="documents")
    scorer = Scorer(loaded, context=CONTEXT, threads=2)
    together = np.concatenate([found.logits.copy() for found in scorer.rows(windows)])
    scorer.close()
    at = 0
    for window in windows:
        assert _divergence(together[at : at + window.rows], _plain(loaded, window)) < SAME
        at += window.rows
    assert at == len(together)
    assert _divergence(together[: windows[0].rows], together[windows[0].rows :][: windows[0].rows]) > 1


def test_a_window_longer_than_a_batch_goes_on(loaded: LlamaModel) -> None:
    (long,) = lay(loaded, DOCUMENTS[4:5], context=512, laying="documents")
    whole, pieces = (Scorer(loaded, context=512, threads=2, batch=size) for size in (512, 40))
    expected = np.concatenate([found.logits.copy() for found in whole.rows([long])])
    cut = [(found.logits.copy(), found.targets) for found in pieces.rows([long, long])]
    assert len(cut) > 2
    rows, targets = np.concatenate([item[0] for item in cut]), np.concatenate([item[1] for item in cut])
    np.testing.assert_array_equal(targets, np.tile(long.tokens[1:], 2))
    assert _divergence(rows, np.tile(expected, (2, 1))) < SAME
    whole.close()
    pieces.close()


def test_every_token_from_the_second_on_is_scored_once_with_half_a_context_before_it(loaded: LlamaModel) -> None:
    windows = lay(loaded, DOCUMENTS[4:5], context=CONTEXT, laying="documents")
    tokens = loaded.tokenize(DOCUMENTS[4].text, special=False, begin=True)
    assert len(windows) > 2
    scored = [token for window in windows for token in window.tokens[window.first_scored :].tolist()]
    assert scored == tokens[1:]
    assert all(len(window.tokens) <= CONTEXT for window in windows)
    assert all(window.first_scored >= CONTEXT // 2 for window in windows[1:])


def test_what_was_lost_is_found_in_every_language(reference: ReferenceFile, q3: Path) -> None:
    progress = Counting()
    found = measure(reference, q3, DOCUMENTS, progress=progress)
    assert [(loss.language, loss.documents) for loss in found.languages] == [("en", 5), ("es", 2)]
    assert sum(loss.tokens for loss in found.languages) == reference.scored
    for loss in found.languages:
        assert loss.mean_kl.value > 0.02
        assert loss.mean_kl.low <= loss.mean_kl.value <= loss.mean_kl.high
        assert 0.5 < loss.top_agreement.value < 1
    assert found.notes == (
        "es was measured on 2 documents only: its intervals are too narrow to rely on (at least 5 are needed, "
        "better 30).",
    )
    assert progress.done == progress.total
    assert loss_from_json(json.loads(json.dumps(stage.asdict(found.languages[0])))) == found.languages[0]


def test_a_model_lost_nothing_against_itself(reference: ReferenceFile, f16: Path) -> None:
    for loss in measure(reference, f16, DOCUMENTS, progress=Silent()).languages:
        assert loss.mean_kl.value < 1e-5
        assert loss.top_agreement.value == 1
        assert loss.perplexity_ratio.value == pytest.approx(1, abs=1e-6)


def test_the_divergence_is_that_of_the_whole_vocabulary(reference: ReferenceFile, f16: Path, q3: Path) -> None:
    rows = []
    for path in (f16, q3):
        model = LlamaModel(path)
        windows = lay(model, DOCUMENTS, context=CONTEXT, laying="documents")
        scorer = Scorer(model, context=CONTEXT, threads=2)
        rows.append(np.concatenate([found.logits.copy() for found in scorer.rows(windows)]))
        scorer.close()
        model.close()
    languages = measure(reference, q3, DOCUMENTS, progress=Silent()).languages
    ours = sum(loss.mean_kl.value * loss.tokens for loss in languages) / reference.scored
    assert ours == pytest.approx(_divergence(*rows), rel=0.02)


def test_texts_the_model_was_calibrated_on_are_refused(
    reference: ReferenceFile, q3: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage.gguf, "strings", lambda _path, _key: (DOCUMENTS[1].sha256,))
    with pytest.raises(RecipeError, match=r"article-2 \(en\)"):
        measure(reference, q3, DOCUMENTS, progress=Silent())


def test_other_texts_than_the_references_are_refused(reference: ReferenceFile, q3: Path) -> None:
    with pytest.raises(RecipeError, match="other texts"):
        measure(reference, q3, DOCUMENTS[::-1], progress=Silent())


def test_another_vocabulary_is_refused_by_both_names(reference: ReferenceFile, q3: Path) -> None:
    header = reference.header
    foreign = replace(reference, header=replace(header, vocabulary=header.vocabulary + 1))
    model = LlamaModel(q3)
    with pytest.raises(ModelError, match=r"smollm2\.q3\.gguf .* smollm2\.f16\.gguf"):
        stage.token_losses(foreign, model, DOCUMENTS, Silent())
    model.close()
    foreign = replace(reference, header=replace(header, windows="0" * 64))
    model = LlamaModel(q3)
    with pytest.raises(ModelError, match="other tokens"):
        stage.token_losses(foreign, model, DOCUMENTS, Silent())
    model.close()


@pytest.mark.parametrize("damage", ["empty", "cut short", "no end", "foreign", "a row changed", "a token changed"])
def test_a_damaged_reference_is_refused(reference: ReferenceFile, tmp_path: Path, damage: str) -> None:
    place = tmp_path / "reference"
    shutil.copy(reference.path, place)
    data = bytearray(place.read_bytes())
    rows = 8 + reference.header.entries * 6
    match damage:
        case "empty":
            data = bytearray()
        case "cut short":
            data = data[: len(data) // 2]
        case "no end":
            data = data[:-4]
        case "foreign":
            data[:4] = b"GGUF"
        case "a row changed":
            data[rows] ^= 1
        case "a token changed":
            data[8:10] = b"\xff\xff"
    place.write_bytes(data)
    with pytest.raises(ModelError, match="not a whole reference file"):
        ReferenceFile.open(place)


def test_a_reference_is_small_and_nothing_is_left_when_none_can_be_made(
    reference: ReferenceFile, f16: Path, tmp_path: Path
) -> None:
    assert reference.bytes / reference.scored < 1500  # the tool writes 98 kB
    empty = [replace(DOCUMENTS[0], text="a")]
    progress: Progress = Silent()
    with pytest.raises(RecipeError, match="nothing to score"):
        make_reference(tmp_path / "reference", f16, empty, context=CONTEXT, progress=progress)
    assert list(tmp_path.glob("*reference*")) == []
    assert list(tmp_path.glob(".tmp-*")) == []
