"""A shipped recipe built from a hub: only what is needed is fetched, and a kill in any stage costs nothing but time.

The hub is a local server of the Hugging Face hub's shape. In the places of the recipe's models it holds real ones that
are smaller: SmolLM2-135M in 16 bits, to be quantized as the recipe says, and all-MiniLM-L6-v2.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from publicai_edge.bundle.verify import verify
from publicai_edge.progress import Silent
from publicai_edge.quantize import quantize
from publicai_edge.recipe.lock import Pin
from tests.conftest import RECIPE, downloads
from tests.sources.hub_server import HubServer

PI = RECIPE.with_name("raspberry-pi-5.toml")
MODEL = "qwen2.5-1.5b-instruct-fp16.gguf"
EMBEDDING = "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"
# What the build says when each stage has begun.
STAGES = (
    "Converting the search model",
    "Indexing",
    "Collecting an importance matrix",
    "Quantizing to Q4_0",
    "Reading the texts with the unquantized model",
    "Measuring Q4_0",
    "Reading the service prompts",
    "Writing the bundle",
)


@pytest.fixture(scope="module")
def hub(model: Path, pins: dict[str, Pin], tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """A hub with the two repositories of the recipe, and in the second what such repositories also hold."""
    f16 = tmp_path_factory.mktemp("hub") / MODEL
    quantize(model, f16, "F16", allow_requantize=True, progress=Silent())
    store = downloads()
    files = {path: store.path(blob).read_bytes() for path, blob in pins["embedding"].files}
    files |= {"pytorch_model.bin": b"\x80\x02}", "onnx/model.onnx": b"o" * 1000, "tf_model.h5": b"h" * 1000}
    files |= {"README.md": b"A card.", ".gitattributes": b""}
    with HubServer() as server:
        server.add("Qwen/Qwen2.5-1.5B-Instruct-GGUF", {MODEL: f16.read_bytes(), "other.gguf": b"x" * 1000})
        server.add(EMBEDDING, files)
        yield server


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """The shipped recipe, without a lock file; measured on less text, with a bound that Q4_0 keeps."""
    target = tmp_path / "recipes" / PI.name
    target.parent.mkdir()
    text = PI.read_text("utf-8")
    assert "max_loss = 0.1 " in text
    target.write_text(text.replace("max_loss = 0.1 ", "characters = 1000\nmax_loss = 0.9 "), "utf-8")
    shutil.copytree(PI.parent / "documents", target.parent / "documents")
    return target


def build(recipe: Path, hub: HubServer, where: Path) -> "subprocess.Popen[str]":
    arguments = [sys.executable, "-m", "publicai_edge", "build", str(recipe), "--json"]
    arguments += ["--cache", str(where / "cache"), "--output", str(where / "dist")]
    environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(where / "hf")}
    return subprocess.Popen(
        arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def finish(process: "subprocess.Popen[str]") -> Path:
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    return Path(json.loads(out)["bundle"])


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_build_killed_in_every_stage_then_rerun_gives_the_same_bundle(
    hub: HubServer, recipe: Path, tmp_path: Path
) -> None:
    whole = finish(build(recipe, hub, tmp_path / "whole"))
    verify(whole, Silent())
    assert json.loads((whole / "bundle.json").read_text("utf-8"))["model"]["quantization"] == "Q4_0"
    asked = {seen.path for seen in hub.log if seen.method == "GET" and "/resolve/" in seen.path}
    unwanted = ("pytorch_model.bin", "onnx/", "tf_model", "README", "other.gguf")
    assert not [path for path in asked if any(name in path for name in unwanted)]

    lock = recipe.with_name("raspberry-pi-5.lock.json")
    pinned = lock.read_bytes()
    lock.unlink()
    broken = tmp_path / "broken"
    kill_while_fetching(hub, recipe, broken)
    for mark in STAGES[:-1]:
        kill_at(build(recipe, hub, broken), mark)
        assert not (broken / "dist" / whole.name).exists()
    kill_while_writing(hub, recipe, broken, broken / "dist" / whole.name)
    again = finish(build(recipe, hub, broken))
    assert tree(again) == tree(whole)
    assert lock.read_bytes() == pinned
    assert sorted(path.name for path in (broken / "dist").iterdir()) == [whole.name]


def kill_while_fetching(hub: HubServer, recipe: Path, where: Path) -> None:
    """Kill a build with a third of the model on disk, and see that the next one asks for the rest only."""
    hub.held.clear()
    hub.release.clear()
    hub.hold(MODEL, 90_000_000)
    process = build(recipe, hub, where)
    assert hub.held.wait(180)
    partial = where / "cache" / "partial"
    deadline = time.monotonic() + 180
    while sum(path.stat().st_size for path in partial.rglob("*") if path.is_file()) < 80_000_000:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    end(process)
    hub.release.set()
    before = len(hub.downloads(MODEL))
    kill_at(build(recipe, hub, where), STAGES[0])
    (rest,) = hub.downloads(MODEL)[before:]
    assert rest.status == 206
    assert rest.range
    assert int(rest.range.removeprefix("bytes=").rstrip("-")) >= 80_000_000


def kill_while_writing(hub: HubServer, recipe: Path, where: Path, bundle: Path) -> None:
    """Kill a build in its last stage: no bundle is there, or the whole one where the kill came late, and then again."""
    for _ in range(20):
        kill_at(build(recipe, hub, where), STAGES[-1], late=True)
        if not bundle.exists():
            return
        verify(bundle, Silent())
        shutil.rmtree(bundle)
    pytest.fail("no kill came before the bundle was written")


def kill_at(process: "subprocess.Popen[str]", mark: str, *, late: bool = False) -> None:
    """SIGKILL a build when it says ``mark``; ``late``: it may have ended by then."""
    assert process.stderr
    for line in process.stderr:
        if mark in line:
            break
    else:
        pytest.fail(f"the build ended without saying {mark!r}")
    end(process, late=late)


def end(process: "subprocess.Popen[str]", *, late: bool = False) -> None:
    process.kill()
    for stream in (process.stdout, process.stderr):
        if stream:
            stream.close()
    assert process.wait() in ((-signal.SIGKILL, 0) if late else (-signal.SIGKILL,))
