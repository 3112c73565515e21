"""Tuning a recipe: types are held to its bounds, what is found lies beside it, and the build takes it up.

Quality is measured on real weights and texts; the speeds are made up, so that it is known what is fastest.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from publicai_edge.bundle.open import open_bundle
from publicai_edge.errors import HostError, RecipeError
from publicai_edge.pipeline import tune_recipe
from publicai_edge.pipeline.build import build
from publicai_edge.pipeline.options import Options
from publicai_edge.pipeline.tune_recipe import Outcome, Wanted, tune
from publicai_edge.progress import Recorder
from publicai_edge.recipe.tuned import read, tuned_path
from publicai_edge.store import Store
from publicai_edge.tune.features import Features
from publicai_edge.tune.measure import Sample
from publicai_edge.tune.search import Work
from publicai_edge.tuning import Tuning
from tests.pipeline.test_quality import RECIPE

_BOUND = 0.1  # Q4_0 loses more, Q8_0 and Q6_K less
_SLOWER = ((100e6, 1.0), (140e6, 1.3), (200e6, 2.0))  # by bytes: Q4_0, Q6_K, Q8_0
QUICK = Wanted(Work(64, 16))


@dataclass
class Town:
    """A recipe's folder, one cache, and a machine that is made up."""

    folder: Path
    recorder: Recorder
    samples: int = 0
    ends_after: int | None = None

    @property
    def recipe(self) -> Path:
        return self.folder / "gate.toml"

    @property
    def options(self) -> Options:
        return Options(self.folder / "dist", Store(self.folder / "cache"), self.recorder)

    def write(self, *, kind: str = "auto", more: str = "", bound: float = _BOUND) -> None:
        types = '"\ncandidates = ["Q4_0", "Q6_K", "Q8_0"]\n#' if kind == "auto" else '"\n#'
        text = RECIPE.replace('TYPE"', kind + types).replace("MAX", f"max_loss = {bound}")
        text = text.replace("max_facts_lost = 1\n", "")
        self.recipe.write_text(text + more, "utf-8")

    def tune(self, wanted: Wanted = QUICK) -> Outcome:
        return tune(self.recipe, wanted, self.options)

    def measure(self, model: Path, tunings: Sequence[Tuning], *, read: int, write: int) -> list[Sample]:
        self.samples += len(tunings)
        if self.ends_after is not None and self.samples > self.ends_after:
            raise KeyboardInterrupt
        kind = next(slower for most, slower in _SLOWER if model.stat().st_size < most)
        found = []
        for tuning in tunings:
            slower = kind * (1.5 if tuning.kv_type == "q8_0" else 1.2 if tuning.flash_attention == "off" else 1.0)
            slower *= 1.0 if tuning.threads == 1 else 1.4
            found.append(Sample(0.001 * slower, 0.01 * slower))
        return found


@pytest.fixture
def town(f16: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Town:
    os.link(f16, tmp_path / "model.gguf")
    (tmp_path / "cache").symlink_to(cache)
    made = Town(tmp_path, Recorder())
    monkeypatch.setattr("publicai_edge.tune.measure.measure", made.measure)
    monkeypatch.setattr("publicai_edge.host.physical_cores", lambda: 2)
    monkeypatch.setattr("publicai_edge.host.usable_cores", lambda: 2)
    made.write()
    return made


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all: what types lose is measured once."""
    return tmp_path_factory.mktemp("cache")


def test_the_fastest_type_within_the_bounds_is_found_and_built(town: Town) -> None:
    made = town.tune()
    assert made.found.point.type == "Q6_K"
    assert {(item.type, item.passes) for item in made.judged if item.kv_type == "f16"} == {
        ("Q4_0", False),
        ("Q6_K", True),
    }, "what is slower than what passes is not judged"
    told = [text for text in town.recorder.messages if text.startswith("This will take ")]
    assert len(told) == 1, "how long it takes is told, once"
    assert "minute" in told[0] and "1 to 6 types lose" in told[0]
    kept = read(tuned_path(town.recipe))
    assert kept == made.tuned
    assert kept.engine["threads"] == 1
    assert not list(town.folder.glob("*.part")), "what was kept of the search is of no use any more"
    built = build(town.recipe, town.options)
    engine = open_bundle(built.folder).manifest.engine
    assert (engine.tuning.threads, engine.tuned_on) == (1, made.tuned.device)
    assert built.report["quality"]["chosen"] == "Q6_K"
    assert any("found on" in text for text in town.recorder.messages)


def test_a_search_that_was_interrupted_measures_the_rest_only(town: Town) -> None:
    town.tune()
    whole = town.samples
    tuned_path(town.recipe).unlink()
    town.samples, town.ends_after = 0, whole // 2
    with pytest.raises(KeyboardInterrupt):
        town.tune()
    assert not tuned_path(town.recipe).exists()
    done, town.samples, town.ends_after = town.samples, 0, None
    town.tune()
    assert town.samples < whole - done + 20
    assert any("goes on after them" in text for text in town.recorder.messages)


def test_another_question_is_another_search(town: Town) -> None:
    town.ends_after = 20
    with pytest.raises(KeyboardInterrupt):
        town.tune()
    town.ends_after = None
    town.tune(replace(QUICK, work=Work(64, 200)))
    assert not any("goes on" in text for text in town.recorder.messages)


def test_what_the_recipe_decides_stays(town: Town) -> None:
    town.write(kind="Q8_0", more="[engine]\nthreads = 2\nwarm = false\n")
    made = town.tune()
    assert made.tuned.type is None
    assert made.found.point.tuning.threads == 2
    assert not {"threads", "warm"} & set(made.tuned.engine)
    built = open_bundle(build(town.recipe, town.options).folder)
    assert built.manifest.engine.tuning.threads == 2
    assert built.manifest.engine.warm == ()


def test_where_nothing_keeps_within_the_bounds_nothing_is_written(town: Town) -> None:
    town.write(bound=0.0001)
    with pytest.raises(RecipeError, match="keeps within the bounds of quality: Q4_0, Q6_K, Q8_0"):
        town.tune()
    assert not tuned_path(town.recipe).exists()


def test_without_quality_only_settings_are_searched(town: Town) -> None:
    town.write(kind="Q8_0")
    text = town.recipe.read_text("utf-8")
    begin, end = text.index("[quality]"), text.index("[target]")
    town.recipe.write_text(text[:begin] + text[end:], "utf-8")
    made = town.tune()
    assert made.judged == ()
    assert made.tuned.type is None
    assert made.tuned.engine["kv_type"] == "f16", "nobody knows what another would cost"
    assert any("[quality]" in text for text in town.recorder.warnings)


def test_a_type_that_does_not_fit_the_device_is_not_chosen(town: Town) -> None:
    text = town.recipe.read_text("utf-8").replace("ram_gb = 4", "ram_gb = 4\ndisk_gb = 0.1")
    town.recipe.write_text(text.replace("max_loss = 0.1", "max_loss = 2"), "utf-8")
    assert town.tune().found.point.type == "Q4_0"
    town.recipe.write_text(text.replace("disk_gb = 0.1", "disk_gb = 0.05"), "utf-8")
    with pytest.raises(RecipeError, match="even Q4_0, the smallest"):
        town.tune()


def test_all_cores_cannot_be_kept_busy(town: Town) -> None:
    with pytest.raises(HostError, match="--busy 2 would leave no core of this machine's 2"):
        town.tune(replace(QUICK, busy=2))


def test_a_model_in_onnx_is_refused(town: Town) -> None:
    town.write(kind="keep")
    text = town.recipe.read_text("utf-8").replace('name = "SmolLM2', 'engine = "onnx"\nname = "SmolLM2')
    begin, end = text.index("[quality]"), text.index("[target]")
    town.recipe.write_text(text[:begin] + text[end:], "utf-8")
    with pytest.raises(RecipeError, match="Only GGUF"):
        town.tune()


def test_the_tuned_file_tells_how_it_was_found(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    harmful = Features(read_seconds=1, restore_seconds=2, quoting_seconds=1, drafting_seconds=2)
    chosen: Callable[..., Features] = lambda *_: harmful  # noqa: E731
    monkeypatch.setattr(tune_recipe.features, "measure", chosen)
    made = town.tune()
    data = json.loads(tuned_path(town.recipe).read_text())
    assert data["engine"]["warm"] is data["engine"]["drafts"] is False
    figures = data["figures"]
    assert figures["points"] == 3 * 2 * 3 * 5
    assert figures["speed"]["seconds"] < figures["usual"]["seconds"]
    assert [item["type"] for item in figures["quality"]] == [item.type for item in made.judged]
    built = open_bundle(build(town.recipe, town.options).folder).manifest.engine
    assert not built.tuning.drafts
    assert built.warm == ()
