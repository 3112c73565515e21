"""A bundle whose language model is in ONNX: from the recipe to an answer over the kiosk's API."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from publicai_edge.artifact import Blob, FileSet
from publicai_edge.bundle.open import open_bundle
from publicai_edge.bundle.verify import verify
from publicai_edge.errors import BundleError, RecipeError
from publicai_edge.pipeline.build import Built, build
from publicai_edge.pipeline.onnx_chat import published
from publicai_edge.pipeline.options import Options
from publicai_edge.progress import Silent
from publicai_edge.recipe import load
from publicai_edge.store import Store
from tests import minimind
from tests.conftest import RECIPE, downloads
from tests.convert.dequantized import hf_folder
from tests.kept import kept
from tests.service.conftest import PROGRAM, Kiosk

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
LIFT = "Is there a lift?"


@pytest.fixture(scope="module")
def store(demo_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A copy (of links) of the demo's store, with the ONNX model's files."""
    root = tmp_path_factory.mktemp("onnx") / "cache"
    shutil.copytree(demo_store.root, root, copy_function=os.link)
    found = Store(root)
    for _, blob in minimind.files(downloads()):
        found.add_copy(downloads().path(blob))
    return found


@pytest.fixture(scope="module")
def built(store: Store) -> Built:
    """The demo bundle with MiniMind2-Small."""
    recipe = minimind.recipe(RECIPE, store.root.parent / "recipes")
    return build(recipe, Options(store.root.parent / "dist", store, Silent(), offline=True))


def test_the_bundle_is_whole_and_says_which_engine_runs_it(built: Built) -> None:
    manifest = verify(built.folder, Silent()).manifest
    config = open_bundle(built.folder).engine_config()
    assert (manifest.engine.name, config.kind) == ("onnx", "onnx")
    assert {path.rpartition("/")[2] for path in manifest.model.parts} >= {"model.onnx", "tokenizer.json", "config.json"}
    assert config.model.is_dir()
    assert not list(built.folder.rglob("*.gguf"))
    assert manifest.model.quantization == "ONNX model_quantized"


def test_a_second_build_in_another_folder_is_the_same_byte_for_byte(built: Built, store: Store, tmp_path: Path) -> None:
    recipe = minimind.recipe(RECIPE, tmp_path / "elsewhere")
    shutil.rmtree(store.root / "steps" / "warm")
    again = build(recipe, Options(tmp_path / "dist", store, Silent(), offline=True))
    assert {step.name for step in again.steps if not step.reused and step.files.files} == {"warm"}
    for path in built.folder.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (again.folder / path.relative_to(built.folder)).read_bytes(), path


@pytest.mark.slow
def test_the_same_api_answers(built: Built, tmp_path: Path) -> None:
    kiosk = Kiosk([*PROGRAM, "serve", str(built.folder), "--port", "0"], tmp_path, ENVIRONMENT).wait_ready()
    try:
        health = kiosk.client.get("/health").json()
        body = {"model": "MiniMind2-Small", "messages": [{"role": "user", "content": LIFT}], "max_tokens": 12}
        answer = kiosk.client.post("/v1/chat/completions", json=body).json()
        schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
        refused = kiosk.client.post("/v1/chat/completions", json={**body, "response_format": schema})
        with kiosk.client.stream("POST", "/api/ask", json={"service": "ask", "language": "en", "question": LIFT}) as it:
            events = [json.loads(line) for line in it.iter_lines()]
    finally:
        kiosk.end()
    assert health["engine"] == "ready"
    assert answer["choices"][0]["message"]["content"].strip()
    assert 0 < answer["usage"]["completion_tokens"] <= 12
    assert events[-1]["type"] == "done", "also after a request that was refused"
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "response_format")


@pytest.mark.slow
def test_ask_answers_with_every_prompts_state_from_its_file(built: Built) -> None:
    asked = subprocess.run(
        [*PROGRAM, "ask", "--json", str(built.folder), LIFT], capture_output=True, text=True, check=True
    )
    found = json.loads(asked.stdout)
    assert found["answer"]
    assert "lift" in found["sources"][0]["text"]


@pytest.mark.parametrize("part", ["tokenizer.json", "model.onnx"])
def test_a_missing_part_of_the_model_is_named(built: Built, tmp_path: Path, part: str) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(built.folder, copy, copy_function=os.link)
    (copy / "data" / "model" / part).unlink()
    with pytest.raises(BundleError, match=part):
        open_bundle(copy)


def test_a_manifest_that_speaks_of_another_tokenizer_is_refused(built: Built, tmp_path: Path) -> None:
    from publicai_edge import digest
    from publicai_edge.bundle import bag

    copy = tmp_path / "bundle"
    shutil.copytree(built.folder, copy)
    manifest = json.loads((copy / "bundle.json").read_text("utf-8"))
    manifest["model"]["parts"]["data/model/tokenizer.json"] = f"sha256:{'0' * 64}"
    before = digest.of_file(copy / "bundle.json")
    (copy / "bundle.json").write_text(json.dumps(manifest), "utf-8")
    tags = (copy / bag.TAG_MANIFEST).read_text("utf-8")
    (copy / bag.TAG_MANIFEST).write_text(tags.replace(before, digest.of_file(copy / "bundle.json")), "utf-8")
    with pytest.raises(BundleError, match=r"data/model/tokenizer\.json here is sha256:"):
        verify(copy, Silent())


def test_a_folder_made_by_hand_takes_the_place_of_the_source(built: Built, store: Store, tmp_path: Path) -> None:
    folder = minimind.folder(downloads(), tmp_path / "given")
    recipe = minimind.recipe(RECIPE, tmp_path / "recipes")
    again = build(recipe, Options(tmp_path / "dist", store, Silent(), offline=True, model=folder))
    name = "data/model/model.onnx"
    assert (again.folder / name).read_bytes() == (built.folder / name).read_bytes()
    with pytest.raises(RecipeError, match=r"model\.onnx"):
        build(recipe, Options(tmp_path / "dist", store, Silent(), offline=True, model=tmp_path))


def test_weights_beside_the_graph_keep_the_name_it_knows() -> None:
    blobs = [Blob(f"{number:064x}", number) for number in range(6)]
    paths = ("onnx/q4.onnx", "onnx/q4.onnx_data", "onnx/q8.onnx", "onnx/q8.onnx_data", "config.json", "README.md")
    source = FileSet(dict(zip(paths, blobs, strict=True)))
    found = published(source, "onnx/q4.onnx", "hf:x/y/").files
    assert found == {"model.onnx": blobs[0], "q4.onnx_data": blobs[1], "config.json": blobs[4]}
    with pytest.raises(RecipeError, match=r"onnx/q4\.onnx, onnx/q8\.onnx"):
        published(source, "onnx/q5.onnx", "hf:x/y/")


WRONG = {
    "quantize.type is 'Q4_K_M'": lambda text: text.replace('type = "keep"', 'type = "Q4_K_M"').replace("file =", "#"),
    "is in ONNX already": lambda text: text.replace('type = "keep"', 'type = "int4"'),
    r"model\.file is for engine": lambda text: text.replace('engine = "onnx"', 'engine = "llama"'),
    r"\[quality\] measures GGUF": lambda text: (
        text + '\n[quality]\n[[quality.texts]]\nsource = "file:x/"\nname = "x"\nlicense = "x"\n'
    ),
}


@pytest.mark.parametrize("message", WRONG)
def test_a_recipe_that_does_not_fit_the_engine_is_refused(tmp_path: Path, message: str) -> None:
    change: Callable[[str], str] = WRONG[message]
    place = minimind.recipe(RECIPE, tmp_path / "recipes")
    place.write_text(change(place.read_text("utf-8")), "utf-8")
    with pytest.raises(RecipeError, match=message):
        load(place)


@pytest.mark.soak
def test_smollm2_in_int4_answers_from_the_documents(model: Path, store: Store, tmp_path: Path) -> None:
    source = kept("smollm2-hf", lambda work: hf_folder(model, work / "model"))
    text = f"""
[model]
name = "SmolLM2-135M-Instruct"
engine = "onnx"
source = "file:{source}/"
license = "Apache-2.0"
license_url = "https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct"

"""
    recipe = minimind.recipe(RECIPE, tmp_path / "recipes", text)
    recipe.write_text(recipe.read_text("utf-8").replace('type = "keep"', 'type = "int4-genai"'), "utf-8")
    made = build(recipe, Options(tmp_path / "dist", store, Silent(), offline=True))
    assert verify(made.folder, Silent()).manifest.model.quantization == "ONNX int4-genai"
    asked = subprocess.run(
        [*PROGRAM, "ask", "--json", str(made.folder), LIFT], capture_output=True, text=True, check=True
    )
    assert "lift goes to every floor" in json.loads(asked.stdout)["answer"]
