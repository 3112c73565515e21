"""``publicai-edge convert --to gguf``: the result as data, and bad input told with its exit code."""

import json
from pathlib import Path

import pytest

from publicai_edge.cli.convert import convert
from publicai_edge.pipeline.converter import converter_files
from publicai_edge.pipeline.fetching import EMBEDDING_FILES, MODEL_FILES
from publicai_edge.progress import Silent
from publicai_edge.recipe import load
from publicai_edge.sources import Fetcher, Request
from tests.cli.conftest import Run
from tests.cli.test_bad_input import is_told, written
from tests.conftest import RECIPE, downloads
from tests.convert import tiny_smollm

_ANY_MODEL = tuple(dict.fromkeys((*MODEL_FILES, *EMBEDDING_FILES)))


@pytest.fixture
def tiny(model: Path, here: Path) -> Path:
    """A sound model of two layers in three files, beside the recipe."""
    return tiny_smollm.write(model, here / "tiny", shards=3)


@pytest.fixture(scope="session")
def cache() -> tuple[object, ...]:
    """Options for a cache that holds llama.cpp's converter, so that no network is touched."""
    converter_files(downloads(), Silent())
    return "--cache", downloads().root, "--offline"


def test_the_result_is_told_as_data(run: Run, here: Path, tiny: Path, cache: tuple[object, ...]) -> None:
    done = run("convert", tiny, "--to", "gguf", "--name", "town", "-o", "out", "--json", *cache)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (here / result["file"]).read_bytes()[:4] == b"GGUF"
    assert written(here / "out") == ["town-F16.conversion.json", "town-F16.gguf"]
    assert result["tokenizer"]["differing"] == 0
    assert result["tokenizer"]["texts"] > 40
    assert 0 <= result["loss"]["mean_kl"] < 1e-3
    assert (result["vectors"], result["not_compared"], result["type"]) == (None, None, "f16")
    assert result["peak_rss_bytes"] > 0
    assert "mean KL divergence" in done.stderr


def test_an_unknown_type_is_told_with_the_known_ones(run: Run, here: Path, tiny: Path) -> None:
    done = run("convert", tiny, "--to", "gguf", "--type", "q4_k_m", "-o", "out", "--offline")
    is_told(done, 2, "'q4_k_m'", "f16, bf16, q8_0, f32", "publicai-edge quantize")
    assert not (here / "out").exists()


def test_a_missing_folder_is_named(run: Run, here: Path) -> None:
    is_told(run("convert", "nothere", "--to", "gguf", "-o", "out", "--offline"), 4, "nothere", "config.json")
    assert written(here) == ["small.toml"]


def test_the_hint_for_a_missing_folder_names_a_pull_of_a_model_there_is(run: Run, here: Path) -> None:
    embedding = load(RECIPE).embedding
    assert embedding is not None
    done = run("convert", "nothere", "-o", "out")
    is_told(done, 4, "nothere", f"publicai-edge pull {embedding.source} -o ")


def test_the_example_in_the_help_converts(run: Run, here: Path) -> None:
    example = (convert.__doc__ or "").rpartition("Example:  publicai-edge ")[2].split()
    embedding = load(RECIPE).embedding
    assert embedding is not None
    assert example[:2] == ["convert", embedding.source]
    Fetcher(downloads(), Silent()).fetch(Request(example[1], None, None, here, _ANY_MODEL))
    done = run(*example, "--cache", downloads().root, "--offline")
    assert done.returncode == 0, done.stderr
    assert written(here / example[-1])[-2:] == ["model.onnx", "tokenizer.json"]


@pytest.mark.parametrize("output", ["tiny", "mine"])
def test_onnx_takes_no_folders_place_that_no_conversion_made(run: Run, here: Path, tiny: Path, output: str) -> None:
    (here / "mine").mkdir()
    (here / "mine" / "letters.txt").write_text("mine")
    before = written(here)
    is_told(run("convert", tiny, "-o", output, "--offline"), 2, output, "no conversion made")
    assert written(here) == before


def test_an_unsupported_architecture_is_named(run: Run, here: Path, tiny: Path, cache: tuple[object, ...]) -> None:
    config = tiny / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "architectures": ["NoSuchForCausalLM"]}))
    done = run("convert", tiny, "--to", "gguf", "-o", "out", *cache)
    is_told(done, 4, "'NoSuchForCausalLM'", "this llama.cpp does not convert")
    assert not (here / "out").exists()


@pytest.mark.parametrize("left", [-1, 100, 0], ids=["last byte", "header", "empty"])
def test_weights_cut_short_are_named_before_the_converter_is_fetched(
    run: Run, here: Path, tiny: Path, left: int
) -> None:
    path = tiny / "model-00002-of-00003.safetensors"
    path.write_bytes(path.read_bytes()[:left])
    done = run("convert", tiny, "--to", "gguf", "-o", "out", "--offline")
    is_told(done, 4, str(path), "is not a whole safetensors file", "Fetch the model again")
    assert not (here / "out").exists()


def test_a_missing_shard_is_named(run: Run, here: Path, tiny: Path) -> None:
    (tiny / "model-00003-of-00003.safetensors").unlink()
    done = run("convert", tiny, "--to", "gguf", "-o", "out", "--offline")
    is_told(done, 4, "lacks 'model-00003-of-00003.safetensors', one of its 3 files of weights")
    assert not (here / "out").exists()
