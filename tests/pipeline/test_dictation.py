"""A speech model in a recipe: fetched, pinned, run once, packed with its licence, and in the device's budget."""

import json
from pathlib import Path

import pytest

from publicai_edge.bundle.open import open_bundle
from publicai_edge.bundle.verify import verify
from publicai_edge.engine.speech import process_bytes
from publicai_edge.engine.speech.folder import FILES
from publicai_edge.errors import ModelError, NotFoundError, RecipeError
from publicai_edge.pipeline import budget, dictation, local_sources
from publicai_edge.pipeline.build import build
from publicai_edge.pipeline.options import Options
from publicai_edge.pipeline.planning import plan
from publicai_edge.pipeline.steps import Runner
from publicai_edge.progress import Silent
from publicai_edge.recipe import load, lock
from publicai_edge.store import Store
from tests import spoken
from tests.conftest import Seed, downloads
from tests.plan import cases


def with_dictation(recipe: Path, table: str = spoken.TABLE) -> Path:
    text = recipe.read_text("utf-8").replace("[knowledge]", f"{table}\n[knowledge]", 1)
    recipe.write_text(text, "utf-8")
    place = lock.lock_path(recipe)
    lock.write(place, lock.read(place) | lock.read(spoken.LOCK))
    return recipe


@pytest.mark.slow
def test_it_is_packed_as_it_is_published_with_its_licence(recipe: Path, warm_store: Store, tmp_path: Path) -> None:
    Seed(spoken.files(downloads()))(warm_store.root)
    built = build(with_dictation(recipe), Options(tmp_path / "dist", warm_store, Silent(), offline=True))
    verify(built.folder, Silent())
    bundle = open_bundle(built.folder)
    info, folder = bundle.manifest.dictation, bundle.dictation_path
    assert info
    assert folder
    assert (info.name, info.revision, info.max_seconds) == ("Whisper tiny", "1.0.0", 30)
    assert info.languages == tuple(code for code in bundle.manifest.languages)
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == sorted(FILES)
    assert (built.folder / "data/licenses/dictation.txt").read_text().strip()
    assert "Whisper tiny" in (built.folder / "START-HERE.html").read_text("utf-8")
    report = json.loads((built.folder / "data/reports/build.json").read_text("utf-8"))
    assert report["dictation"] == {"languages": list(info.languages)}
    assert "data/dictation" in bundle.manifest.needed()
    assert lock.read(lock.lock_path(recipe))["dictation"].files == spoken.files(downloads())


def test_a_model_is_run_once(recipe: Path, tmp_path: Path) -> None:
    store = Seed(spoken.files(downloads()))(tmp_path / "store")
    loaded, pins = load(with_dictation(recipe)), lock.read(spoken.LOCK)
    first = dictation.check(Runner(store, Silent()), loaded, pins)
    again = dictation.check(Runner(store, Silent()), loaded, pins)
    assert first
    assert again
    assert (first.step.reused, again.step.reused) == (False, True)
    assert first.memory == process_bytes(43_339_444)


def test_a_recipe_without_the_table_has_no_dictation(recipe: Path, tmp_path: Path) -> None:
    loaded = load(recipe)
    assert dictation.check(Runner(Store(tmp_path), Silent()), loaded, {}) is None
    assert dictation.describe(loaded, {}, None) is None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('license = "Apache-2.0"\n', "", "dictation.license"),
        ('license = "Apache-2.0"', 'license = "GPL-3.0"', r"dictation\.license is 'GPL-3\.0'"),
        ('name = "Whisper tiny"', 'name = "Whisper tiny"\nmax_seconds = 31', "max_seconds"),
        ('name = "Whisper tiny"', 'name = "Whisper tiny"\nseconds = 5', "unknown key 'dictation.seconds'"),
        ("npm:", "ftp:", "unknown source scheme"),
    ],
)
def test_what_is_wrong_in_the_table_is_told(recipe: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        load(with_dictation(recipe, spoken.TABLE.replace(old, new)))


def test_a_local_folder_that_is_missing_or_no_model_is_told_early(recipe: Path, tmp_path: Path) -> None:
    loaded = load(with_dictation(recipe, spoken.TABLE.replace(spoken.SOURCE, "file:whisper/")))
    with pytest.raises(NotFoundError, match=r"dictation\.source: "):
        local_sources.check(loaded, recipe, Store(tmp_path / "s"))
    (recipe.parent / "whisper").mkdir()
    (recipe.parent / "whisper" / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="lacks onnx/encoder_model_quantized"):
        local_sources.check(loaded, recipe, Store(tmp_path / "s"))


def test_its_memory_is_in_the_devices_budget(recipe: Path) -> None:
    model = {"context_trained": 8192, "kv_bytes_per_token": 1000}
    loaded = load(recipe)
    bare = budget.check(loaded, model, {}, {}, "model")["memory_bytes"]
    with_speech = budget.check(loaded, model, {}, {}, "model", process_bytes(43_000_000))["memory_bytes"]
    assert with_speech == bare + process_bytes(43_000_000)
    tight = loaded.model_copy(update={"target": loaded.target.model_copy(update={"ram_gb": bare / 1e9})})
    with pytest.raises(RecipeError, match="does not fit the device"):
        budget.check(tight, model, {}, {}, "model", process_bytes(43_000_000))
    assert budget.too_large(tight, model, 0, 0, process_bytes(43_000_000))


def test_a_plan_counts_its_files_and_its_process(recipe: Path, tmp_path: Path) -> None:
    spoken.folder(downloads(), recipe.parent / "whisper")
    table = spoken.TABLE.replace(spoken.SOURCE, "file:whisper/")
    options = Options(tmp_path / "out", downloads(), Silent(), offline=True)
    (before,) = plan(load(recipe), recipe, cases.device(), options).forecasts
    (after,) = plan(load(with_dictation(recipe, table)), recipe, cases.device(), options).forecasts
    assert after.disk - before.disk == 43_339_444
    assert after.asked - before.asked == process_bytes(43_339_444)


def test_what_only_a_fetched_archive_tells_is_left_out_of_a_plan_and_that_is_said(
    recipe: Path, warm_store: Store, tmp_path: Path
) -> None:
    class Talk(Silent):
        said: list[str] = []  # noqa: RUF012

        def warn(self, message: str) -> None:
            self.said.append(message)

    known = lock.read(lock.lock_path(recipe))
    options = Options(tmp_path, warm_store, Talk())
    (without,) = plan(load(recipe), recipe, cases.device(), options).forecasts
    with_dictation(recipe)
    lock.write(lock.lock_path(recipe), known)
    (found,) = plan(load(recipe), recipe, cases.device(), options).forecasts
    assert (found.disk, found.asked) == (without.disk, without.asked)
    (said,) = Talk.said
    assert spoken.SOURCE in said
    assert "publicai-edge pull RECIPE" in said
