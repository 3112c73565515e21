"""Voices in a recipe: fetched, pinned, converted, made to speak, packed with their licences, and in the budget."""

import json
import shutil
from pathlib import Path

import pytest

from publicai_edge.bundle.open import open_bundle
from publicai_edge.bundle.verify import verify
from publicai_edge.engine.voice import process_bytes
from publicai_edge.engine.voice.folder import CONFIG_FILE, GRAPH_FILE
from publicai_edge.engine.voice.pronunciation import FILES
from publicai_edge.errors import HostError, ModelError, NotFoundError, RecipeError
from publicai_edge.pipeline import budget, local_sources, prepared, voices
from publicai_edge.pipeline.build import build
from publicai_edge.pipeline.options import Options
from publicai_edge.pipeline.planning import _PRONUNCIATION_BYTES, plan
from publicai_edge.pipeline.steps import Runner
from publicai_edge.progress import Silent
from publicai_edge.recipe import load, lock
from publicai_edge.store import Store
from tests import voiced
from tests.conftest import Seed, downloads
from tests.plan import cases

VOICE_BYTES = 63_201_294


def with_voice(recipe: Path, table: str = voiced.TABLE) -> Path:
    text = recipe.read_text("utf-8").replace("[knowledge]", f"{table}\n[knowledge]", 1)
    recipe.write_text(text, "utf-8")
    place = lock.lock_path(recipe)
    lock.write(place, lock.read(place) | lock.read(voiced.LOCK))
    (recipe.parent / "licenses").mkdir(exist_ok=True)
    for name in ("CC0-1.0", "MIT"):
        (recipe.parent / "licenses" / f"{name}.txt").write_text(f"The text of {name}.\n")
    return recipe


@pytest.fixture
def local(recipe: Path) -> Path:
    """A recipe whose voice and pronunciation lie beside it."""
    voiced.sources(downloads(), recipe.parent)
    table = voiced.TABLE.replace(voiced.SOURCE, "file:voice/").replace(voiced.SAID, "file:said/")
    return with_voice(recipe, table)


@pytest.mark.slow
def test_it_is_packed_with_its_pronunciation_and_both_licences(recipe: Path, warm_store: Store, tmp_path: Path) -> None:
    Seed(voiced.files(downloads()))(warm_store.root)
    built = build(with_voice(recipe), Options(tmp_path / "dist", warm_store, Silent(), offline=True))
    verify(built.folder, Silent())
    bundle = open_bundle(built.folder)
    (info,), folder = bundle.manifest.voices, bundle.voice_paths["en"]
    assert (info.language, info.name, info.revision, info.license) == ("en", "Joe", "1.0.0", "CC0-1.0")
    assert (info.pronunciation.name, info.pronunciation.revision) == ("gruut-lang-en", "2.0.1")
    assert sorted(path.name for path in folder.iterdir()) == sorted([GRAPH_FILE, CONFIG_FILE, *FILES])
    assert (built.folder / "data/licenses/voice-en.txt").read_text() == "The text of CC0-1.0.\n"
    assert (built.folder / "data/licenses/pronunciation-en.txt").read_text() == "The text of MIT.\n"
    assert "gruut-lang-en" in (built.folder / "START-HERE.html").read_text("utf-8")
    report = json.loads((built.folder / "data/reports/build.json").read_text("utf-8"))
    assert report["voices"] == {"en": {"words": 124_389}}
    assert "data/voices/en" in bundle.manifest.needed()
    pins = lock.read(lock.lock_path(recipe))
    assert pins["voice-en"].files == voiced.voice_files(downloads())
    assert pins["pronunciation-en"].files == voiced.said_files(downloads())
    shutil.rmtree(folder)
    with pytest.raises(Exception, match="data/voices/en"):
        open_bundle(built.folder)


def test_a_voice_is_made_to_speak_once(recipe: Path, tmp_path: Path) -> None:
    store = Seed(voiced.files(downloads()))(tmp_path / "store")
    loaded, pins = load(with_voice(recipe)), lock.read(voiced.LOCK)
    runners = [Runner(store, Silent()) for _ in range(2)]
    first, again = (voices.make(runner, loaded, pins) for runner in runners)
    assert [step.reused for runner in runners for step in runner.done] == [False, False, True, True]
    assert first.files == again.files
    assert first.memory == process_bytes(VOICE_BYTES)


def test_a_recipe_without_voices_has_none(recipe: Path, tmp_path: Path) -> None:
    made = voices.make(Runner(Store(tmp_path), Silent()), load(recipe), {})
    assert (made.memory, len(made.files), made.facts) == (0, 0, {})
    assert voices.describe(load(recipe), {}) == ()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('license = "CC0-1.0"\n', "", r"voices\.0\.license|voices\[0\]\.license"),
        ('license = "CC0-1.0"', 'license = "CC-BY-NC-4.0"', r"voices\[0\]\.license is 'CC-BY-NC-4\.0'"),
        ('license = "MIT"', 'license = "GPL-3.0"', r"voices\[0\]\.pronunciation\.license is 'GPL-3\.0'"),
        (voiced.TABLE.partition("[voices.pronunciation]")[2], "", "pronunciation"),
        ('language = "en"', 'language = "uk"', r"uk is not among \[bundle\] languages"),
        ('language = "en"', 'language = "en"\nspeed = 2', "unknown key"),
        ("pypi:", "ftp:", "unknown source scheme"),
        ("pypi:", "sdist:", "unknown source scheme"),
    ],
)
def test_what_is_wrong_in_the_table_is_told(recipe: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        load(with_voice(recipe, voiced.TABLE.replace(old, new)))


def test_two_voices_of_one_language_are_refused(recipe: Path) -> None:
    with pytest.raises(RecipeError, match="two speak 'en'"):
        load(with_voice(recipe, voiced.TABLE * 2))


def test_a_licence_whose_text_is_missing_is_told_by_its_key(recipe: Path, tmp_path: Path) -> None:
    loaded = load(with_voice(recipe, voiced.TABLE.replace('license_file = "licenses/MIT.txt"', "")))
    with pytest.raises(RecipeError, match=r"voices\[0\]\.pronunciation's licence MIT"):
        prepared.check_inputs(loaded, recipe.parent, Options(tmp_path, Store(tmp_path / "s"), Silent()))


def test_without_num2words_it_is_told_before_anything_is_fetched(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load(with_voice(recipe))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(HostError, match="num2words"):
        prepared.check_inputs(loaded, recipe.parent, Options(tmp_path, Store(tmp_path / "s"), Silent()))


def test_a_local_folder_that_is_missing_or_no_voice_is_told_early(local: Path, tmp_path: Path) -> None:
    loaded, store = load(local), Store(tmp_path / "s")
    local_sources.check(loaded, local, store)
    shutil.move(local.parent / "said" / "lexicon.db", local.parent / "said" / "other.db")
    with pytest.raises(ModelError, match=r"voices\[0\]\.pronunciation\.source: file:said/ lacks lexicon\.db"):
        local_sources.check(loaded, local, store)
    place = local.parent / "voice" / f"{voiced.NAME}.json"
    told = json.loads(place.read_text("utf-8"))
    place.unlink()
    place.write_text(json.dumps(told | {"espeak": {"voice": "de"}}))
    with pytest.raises(RecipeError, match=r"voices\[0\] is for 'en', and file:voice/ speaks 'de'"):
        local_sources.check(loaded, local, store)
    place.write_text(json.dumps(told | {"phoneme_type": "pinyin"}))
    with pytest.raises(ModelError, match=r"voices\[0\]\.source: file:voice/.* reads 'pinyin'"):
        local_sources.check(loaded, local, store)
    shutil.rmtree(local.parent / "voice")
    with pytest.raises(NotFoundError, match=r"voices\[0\]\.source: "):
        local_sources.check(loaded, local, store)


def test_its_memory_is_in_the_devices_budget(recipe: Path) -> None:
    model = {"context_trained": 8192, "kv_bytes_per_token": 1000}
    loaded = load(recipe)
    bare = budget.check(loaded, model, {}, {}, "model")["memory_bytes"]
    spoken = process_bytes(VOICE_BYTES)
    assert budget.check(loaded, model, {}, {}, "model", spoken)["memory_bytes"] == bare + spoken


def test_a_plan_counts_its_files_and_its_process(local: Path, recipe: Path, tmp_path: Path) -> None:
    options = Options(tmp_path / "out", downloads(), Silent(), offline=True)
    loaded = load(local)
    (before,) = plan(loaded.model_copy(update={"voices": []}), recipe, cases.device(), options).forecasts
    (after,) = plan(loaded, recipe, cases.device(), options).forecasts
    assert after.disk - before.disk == VOICE_BYTES + _PRONUNCIATION_BYTES
    assert after.asked - before.asked == process_bytes(VOICE_BYTES)


def test_a_plan_needs_no_tarball(recipe: Path, tmp_path: Path) -> None:
    table = voiced.TABLE.replace(voiced.SOURCE, "file:voice/").replace("2.0.1", "9.9.9")
    voiced.sources(downloads(), recipe.parent)
    loaded = load(with_voice(recipe, table))
    place = lock.lock_path(recipe)
    lock.write(place, {role: pin for role, pin in lock.read(place).items() if role != "pronunciation-en"})
    options = Options(tmp_path / "out", downloads(), Silent(), offline=True)
    found = plan(loaded, recipe, cases.device(), options)
    assert found.download == _PRONUNCIATION_BYTES
