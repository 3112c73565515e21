"""Scanned documents in a recipe: refused early without the extra, indexed anew by what decides it, and told of."""

import json
from pathlib import Path

import pytest

from publicai_edge.artifact import FileSet
from publicai_edge.bundle.open import open_bundle
from publicai_edge.errors import HostError
from publicai_edge.knowledge import ocr
from publicai_edge.pipeline import prepared, stages, steps
from publicai_edge.pipeline.build import build
from publicai_edge.pipeline.options import Options
from publicai_edge.pipeline.steps import Runner
from publicai_edge.progress import Recorder, Silent
from publicai_edge.recipe import Knowledge, load
from publicai_edge.store import Store
from tests.conftest import downloads
from tests.knowledge import scans

FLOOD = "In March 1931 the river rose by 4.3 metres and flooded 212 houses of the lower town."


def recognizing(recipe: Path) -> Path:
    text = recipe.read_text("utf-8").replace("[knowledge]", "[knowledge]\nocr = true", 1)
    recipe.write_text(text, "utf-8")
    return recipe


def test_without_the_extra_a_recipe_is_refused_before_anything_is_fetched(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ocr, "models", lambda: None)
    options = Options(tmp_path / "out", Store(tmp_path / "empty"), Silent(), offline=True)
    with pytest.raises(HostError, match="not installed") as caught:
        build(recognizing(recipe), options)
    assert caught.value.hint == "Run: pip install 'publicai-edge[ocr]'"


def test_languages_that_it_does_not_read_are_told(recipe: Path, tmp_path: Path) -> None:
    loaded = load(recognizing(recipe))
    told = Recorder()
    options = Options(tmp_path, downloads(), told, offline=True)
    prepared.check_inputs(loaded, recipe.parent, options)
    assert told.warnings == []
    asked = loaded.bundle.model_copy(update={"languages": ["en", "ar", "hi", "pt-BR"]})
    prepared.check_inputs(loaded.model_copy(update={"bundle": asked}), recipe.parent, options)
    assert [warning.partition(",")[0] for warning in told.warnings] == ["knowledge.ocr does not read ar"]
    assert "ar, hi," in told.warnings[0]


def test_the_index_is_made_anew_by_whatever_decides_what_is_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = []

    class Asked(Runner):
        def run(self, step: steps.Step) -> steps.StepResult:
            keys.append(step.key)
            return steps.StepResult(step.name, FileSet({}), {}, {}, reused=True, seconds=0.0)

    def ask(*, recognize: bool) -> None:
        settings = Knowledge(documents=["a"], license="CC0-1.0", ocr=recognize)
        stages.index_documents(Asked(Store(tmp_path), Silent()), {}, FileSet({}), settings)

    ask(recognize=False)
    ask(recognize=True)
    version = steps._version
    for library in ocr.LIBRARIES:
        assert version(library) != "not installed", library
        monkeypatch.setattr(steps, "_version", lambda name, other=library: "0" if name == other else version(name))
        ask(recognize=True)
    assert len(set(keys)) == len(keys)
    ask(recognize=False)
    assert keys[-1] == keys[0]


def test_a_bundle_tells_how_many_pages_were_recognised(recipe: Path, warm_store: Store, tmp_path: Path) -> None:
    (recipe.parent / "documents" / "demo" / "flood.pdf").write_bytes(scans.pdf([scans.picture(FLOOD)] * 2))
    built = build(recognizing(recipe), Options(tmp_path / "out", warm_store, Silent(), offline=True))
    report = json.loads((built.folder / "data" / "reports" / "build.json").read_text("utf-8"))
    assert report["index"]["recognized"] == {"documents/demo/flood.pdf": 2}
    assert "2 pages, in 1 of the documents" in (built.folder / "START-HERE.html").read_text("utf-8")
    knowledge = open_bundle(built.folder).manifest.knowledge
    assert knowledge is not None and knowledge.ocr
