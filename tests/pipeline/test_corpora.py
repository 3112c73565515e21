"""Texts become two sides; what is said of them is in the user's own words, not in those of the cache."""

from pathlib import Path

import pytest

from publicai_edge.errors import RecipeError
from publicai_edge.pipeline import corpora, fetching
from publicai_edge.pipeline.corpora import Sides
from publicai_edge.pipeline.options import Options
from publicai_edge.pipeline.steps import Runner, StepResult
from publicai_edge.progress import Recorder
from publicai_edge.recipe import Quality
from publicai_edge.store import Store
from tests.corpus.test_split import words


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def split(base: Path, *sources: str, calibrated: bool = True) -> StepResult:
    texts = [
        {"source": source, "name": f"Texts {number}", "license": "CC0-1.0"} for number, source in enumerate(sources)
    ]
    quality = Quality.model_validate({"texts": texts})
    options = Options(base / "out", Store(base / "cache"), Recorder())
    files = fetching.fetch_texts(quality, ("en",), base, options)
    parts = [corpora.TextsPart(one, found) for one, found in zip(quality.texts, files, strict=True)]
    return corpora.split_texts(Runner(options.store, options.progress), parts, quality, ("en",), calibrated=calibrated)


@pytest.mark.parametrize("named", ["folder", "file", "absolute folder"])
def test_an_empty_text_is_told_by_the_users_own_path(tmp_path: Path, named: str) -> None:
    put(tmp_path / "texts-empty/en/a.txt", " \n")
    place = {
        "folder": "texts-empty/en/a.txt",
        "file": "texts-empty/en/a.txt",
        "absolute folder": f"{tmp_path}/texts-empty/en/a.txt",
    }[named]
    source = place if named == "file" else place.removesuffix("en/a.txt")
    with pytest.raises(RecipeError) as caught:
        split(tmp_path, f"file:{source}")
    assert f" {place} is empty" in caught.value.message
    assert ".tmp-" not in caught.value.message
    assert str(tmp_path / "cache") not in caught.value.message


def test_origins_and_notes_hold_no_place_of_the_caches(tmp_path: Path) -> None:
    for number in range(4):
        put(tmp_path / f"texts/en/{number}.txt", words(60, number))
    put(tmp_path / "texts/en/empty.txt", "")
    made = split(tmp_path, "file:texts/")
    assert made.facts["texts"][0]["notes"] == ["texts/en/empty.txt is empty: left out."]
    kept = corpora.load(Store(tmp_path / "cache"), Sides.of(made).evaluation)
    assert {document.origin for document in kept.documents} <= {f"texts/en/{number}.txt" for number in range(4)}


def test_one_document_is_too_few_to_calibrate_and_measure_and_enough_to_measure(tmp_path: Path) -> None:
    put(tmp_path / "texts/en/a.txt", words(60, 1))
    with pytest.raises(RecipeError, match="there is one document, and at least two are needed") as caught:
        split(tmp_path, "file:texts/")
    assert "--no-imatrix" in (caught.value.hint or "")
    made = split(tmp_path, "file:texts/", calibrated=False)
    assert [item["evaluation_documents"] for item in made.facts["texts"]] == [1]
    assert [item["calibration_documents"] for item in made.facts["texts"]] == [0]


def test_documents_that_calibrated_are_counted_source_by_source(tmp_path: Path) -> None:
    for number in range(6):
        put(tmp_path / f"one/en/{number}.txt", words(60, number))
        put(tmp_path / f"two/en/other-{number}.txt", words(60, 100 + number))
    made = split(tmp_path, "file:one/", "file:two/")
    store = Store(tmp_path / "cache")
    documents = corpora.load(store, Sides.of(made).calibration).documents
    first = [document for document in documents if document.origin.startswith("one/")]
    assert 0 < len(first) < len(documents)
    used = frozenset(document.sha256 for document in (*first[:1], *documents[len(first) :]))
    assert corpora.calibrated_with(store, made, used) == [1, len(documents) - len(first)]
    assert corpora.calibrated_with(store, made, frozenset()) == [0, 0]
