"""A model that is larger than its medium's files may be is split in the build, and serves as if it were one."""

import shutil

import pytest

from publicai_edge.bundle.open import open_bundle
from publicai_edge.bundle.verify import verify
from publicai_edge.engine.client import WorkerEngine
from publicai_edge.errors import BundleError
from publicai_edge.pipeline.build import Built, build
from publicai_edge.pipeline.options import Options
from publicai_edge.progress import Silent
from publicai_edge.store import Store
from tests.conftest import ROOT
from tests.engine.engines import answer, request_of, use_model

pytestmark = pytest.mark.slow
MOST_MB = 40


@pytest.fixture(scope="module")
def split(demo: Built, demo_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The demo bundle with its model in files of at most 40 MB; all other stages come from the demo's store."""
    work = tmp_path_factory.mktemp("split")
    shutil.copytree(ROOT / "recipes", work / "recipes")
    recipe = work / "recipes" / "demo.toml"
    text = recipe.read_text("utf-8")
    assert text.count('name = "SmolLM2-135M-Instruct"') == 1
    line = f'name = "SmolLM2-135M-Instruct"\nmax_file_mb = {MOST_MB}'
    recipe.write_text(text.replace('name = "SmolLM2-135M-Instruct"', line), "utf-8")
    return build(recipe, Options(work / "dist", demo_store, Silent(), offline=True))


def test_every_part_is_listed_and_checked(split: Built) -> None:
    model = verify(split.folder, Silent()).manifest.model
    assert model.file == "data/model/model-00001-of-00003.gguf"
    assert sorted(model.parts) == [f"data/model/model-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    assert all((split.folder / part).stat().st_size <= MOST_MB * 10**6 for part in model.parts)


def test_budget_counts_the_whole_model(split: Built, demo: Built) -> None:
    ours, whole = (built.report["budget"]["memory_bytes"] for built in (split, demo))
    assert ours == pytest.approx(whole, rel=0.001)


def test_missing_part_is_named_when_the_bundle_is_opened(split: Built) -> None:
    part = split.folder / "data" / "model" / "model-00002-of-00003.gguf"
    aside = split.folder.parent / "aside"
    part.rename(aside)
    try:
        with pytest.raises(BundleError, match="lacks data/model/model-00002"):
            open_bundle(split.folder)
    finally:
        aside.rename(part)


def test_stored_prompts_are_used_with_the_split_model(split: Built) -> None:
    bundle = open_bundle(split.folder)
    system = bundle.manifest.services[0].prompt["en"]

    async def body(engine: WorkerEngine) -> None:
        _, started, finished = await answer(engine, request_of(system, "Is there a lift?", max_tokens=4))
        assert started.reused_tokens > 20
        assert finished.completion_tokens

    use_model(bundle.engine_config(threads=2), body)
