"""Plans of real recipes: what they say of files and downloads holds, and no weights move for them."""

import shutil
from functools import partial
from pathlib import Path

import pytest

from publicai_edge import gguf, sources
from publicai_edge.convert.gguf import GgufSettings, convert
from publicai_edge.errors import ModelError, RecipeError
from publicai_edge.pipeline import planning
from publicai_edge.pipeline.converter import converter_folder
from publicai_edge.pipeline.options import Options
from publicai_edge.pipeline.planning import Plan, plan
from publicai_edge.plan.cost import cost_of
from publicai_edge.plan.forecast import Forecast
from publicai_edge.progress import Silent
from publicai_edge.quantize import quantize
from publicai_edge.recipe import load
from publicai_edge.store import Store
from tests.cli.conftest import SMALL
from tests.conftest import RECIPE, downloads
from tests.convert import tiny_smollm
from tests.plan import cases
from tests.sources.hub_server import HubServer

Q4_0 = SMALL.replace('type = "keep"', 'type = "Q4_0"')


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(tmp_path / "dist", Store(tmp_path / "store"), Silent())


def planned(tmp_path: Path, options: Options, text: str, **device: object) -> Plan:
    path = tmp_path / "recipe.toml"
    path.write_text(text, "utf-8")
    return plan(load(path), path, cases.device(**device), options)


def test_of_a_model_on_a_hub_the_header_moves_and_nothing_else(
    f16: Path, tmp_path: Path, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HubServer() as hub:
        hub.add("town/model", {"model.gguf": f16.read_bytes()}, lfs={"model.gguf"})
        monkeypatch.setattr(sources, "Fetcher", partial(sources.Fetcher, hub_endpoint=hub.url))
        found = planned(tmp_path, options, Q4_0.replace("file:model.gguf", "hf:town/model/model.gguf"))
    size = f16.stat().st_size
    assert found.download == size
    assert 0 < found.transferred < size / 20
    assert not list(options.store.root.rglob("*.gguf"))
    made = tmp_path / "made.gguf"
    quantize(f16, made, "Q4_0", allow_requantize=False, progress=Silent())
    (forecast,) = found.forecasts
    assert forecast.type == "Q4_0"
    assert forecast.need.weights == pytest.approx(made.stat().st_size, rel=0.001)
    assert forecast.tokens_per_second
    assert forecast.first_token


def test_auto_plans_each_candidate_and_one_that_fits_is_enough(f16: Path, tmp_path: Path, options: Options) -> None:
    auto = 'type = "auto"\n[quality]\nmax_loss = 0.1\n[[quality.texts]]\nname = "Texts"\nformat = "files"\n'
    auto += 'source = "file:texts/"\nlicense = "CC0-1.0"'
    shutil.copy(f16, tmp_path / "model.gguf")
    found = planned(tmp_path, options, SMALL.replace('type = "keep"', auto), ram_gb=1.45)
    sizes = [each.need.weights for each in found.forecasts]
    assert len(sizes) >= 3
    assert sizes == sorted(sizes, reverse=True)
    assert found.fits
    assert not all(each.fits for each in found.forecasts)
    assert found.instead == ()


def test_what_would_fit_instead_is_planned_too(f16: Path, tmp_path: Path, options: Options) -> None:
    shutil.copy(f16, tmp_path / "model.gguf")
    found = planned(tmp_path, options, SMALL, ram_gb=1.6)
    assert not found.fits
    assert any("quantize.type" in words for words, _ in found.instead)
    assert all(each.fits for _, each in found.instead)


def test_a_quantized_model_that_is_kept_is_planned_as_it_is(model: Path, tmp_path: Path, options: Options) -> None:
    shutil.copy(model, tmp_path / "model.gguf")
    (found,) = planned(tmp_path, options, SMALL).forecasts
    assert (found.type, found.need.weights) == ("Q4_1", model.stat().st_size)


def test_safetensors_are_planned_as_the_converter_would_write_them(
    model: Path, tmp_path: Path, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_smollm.write(model, tmp_path / "town-model", shards=2)
    with converter_folder(downloads(), Silent()) as converter:
        made = tmp_path / "made.gguf"
        convert(folder, made, GgufSettings(compare=False), converter, Silent())
    monkeypatch.setattr(planning, "_models", lambda path, *_: pytest.fail(_same(path, made)))
    monkeypatch.setattr(
        "publicai_edge.pipeline.converter.converter_folder",
        lambda _store, progress, offline: converter_folder(downloads(), progress, offline=offline),
    )
    with HubServer() as hub:
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        weights = {name for name in files if name.endswith(".safetensors")}
        hub.add("town/town-model", files, lfs=weights)
        monkeypatch.setattr(sources, "Fetcher", partial(sources.Fetcher, hub_endpoint=hub.url))
        with pytest.raises(pytest.fail.Exception, match=r"^the same$"):
            planned(tmp_path, options, Q4_0.replace("file:model.gguf", "hf:town/town-model/"))


def _same(path: Path, made: Path) -> str:
    ours, theirs = gguf.read(path), gguf.read(made)
    if path.stat().st_size != made.stat().st_size or ours.tensors != theirs.tensors:
        return "other weights"
    if cost_of(ours) != cost_of(theirs) or ours.chat_template != theirs.chat_template:
        return "another model"
    return "the same" if path.stat().st_blocks < made.stat().st_blocks / 2 else "no hole"


def test_what_is_no_model_is_named(tmp_path: Path, options: Options) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"file:texts/ has neither a GGUF file nor safetensors"):
        planned(tmp_path, options, SMALL.replace("file:model.gguf", "file:texts/"))
    (tmp_path / "texts" / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(ModelError, match=r"model\.safetensors is not a safetensors file"):
        planned(tmp_path, options, SMALL.replace("file:model.gguf", "file:texts/"))


def test_models_in_onnx_are_not_planned_yet_and_that_is_said(tmp_path: Path, options: Options) -> None:
    text = SMALL.replace('source = "file:model.gguf"', 'source = "file:model/"\nengine = "onnx"')
    with pytest.raises(RecipeError, match='engine is "onnx"') as told:
        planned(tmp_path, options, text)
    assert "bench" in str(told.value.hint)


def test_documents_and_the_search_model_count(tmp_path: Path) -> None:
    store = downloads()
    found = plan(load(RECIPE), RECIPE, cases.device(), Options(tmp_path, store, Silent(), offline=True))
    (forecast,) = found.forecasts
    assert found.download == 0
    search_model = 20_000_000
    assert forecast.disk > forecast.need.weights + search_model
    assert found.to_json()["fits"] is True


def test_passages_that_are_read_ahead_count_on_the_disk(recipe: Path, warm_store: Store, tmp_path: Path) -> None:
    whole, options = recipe.read_text("utf-8"), Options(tmp_path, warm_store, Silent(), offline=True)

    def forecast(reading: str, disk_gb: float = 100) -> Forecast:
        recipe.write_text(whole.replace("min_relevance = 0.3\n", f"min_relevance = 0.3\n{reading}\n"), "utf-8")
        (found,) = plan(load(recipe), recipe, cases.device(disk_gb=disk_gb), options).forecasts
        return found

    said = '[knowledge.reading]\ncomposition = "auto"\nbundle_mb = 100\ndisk_mb = 700'
    without = forecast("").disk
    assert forecast(said).disk == without + 800_000_000
    between = (without + 500_000_000) / 1e9
    assert forecast("", between).fits
    (problem,) = forecast(said, between).problems
    assert str(problem).startswith("the bundle and the passages that the kiosk reads ahead take 0.93 GB")
