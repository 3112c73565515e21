"""The wheel with extra ``kiosk``, and nothing else, serves a bundle: no torch, no checkout, no hub client."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from publicai_edge.pipeline.build import Built
from tests.conftest import ROOT
from tests.service.conftest import Kiosk

LAPTOP_ONLY = ("torch", "transformers", "optimum", "huggingface_hub")

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Installed:
    """The wheel, and an environment with it."""

    wheel: Path
    python: Path
    brought: frozenset[str]

    @property
    def program(self) -> str:
        return str(self.python.parent / "publicai-edge")


def run(command: list[object], **options: object) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", work, ROOT])
    (found,) = work.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    work = tmp_path_factory.mktemp("installed")
    run([sys.executable, "-m", "venv", work / "venv"])
    python = work / "venv" / "bin" / "python"
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    pins = ROOT / "constraints.txt"
    run([*pip, "install", *(["-c", pins] if pins.exists() else []), f"{wheel}[kiosk]"], cwd=work)
    listed = run([python, "-m", "pip", "--disable-pip-version-check", "list", "--format=json"]).stdout
    brought = frozenset(item["name"].lower().replace("_", "-") for item in json.loads(listed))
    run([*pip, "uninstall", "-y", "huggingface-hub"])
    yield Installed(wheel, python, brought)
    run(["rm", "-rf", work / "venv"])


def bare(home: Path) -> dict[str, str]:
    """An environment in which nothing of the checkout can be found."""
    return {"PATH": "/usr/bin:/bin", "HOME": str(home), "PUBLICAI_EDGE_CACHE": str(home / "cache")}


def test_the_wheel_carries_what_the_kiosk_shows_and_nothing_of_the_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    packaged = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "publicai_edge").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packaged <= set(names)
    for part in ("kiosk/page/index.html", "kiosk/locales/es.po", "pipeline/templates/start", "py.typed"):
        assert f"publicai_edge/{part}" in names
    assert any(name.startswith("publicai_edge/pipeline/licenses/") for name in names)
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"publicai_edge"}, "no tests, recipes or docs"


def test_the_kiosk_extra_brings_no_training_library(installed: Installed) -> None:
    assert {"fastapi", "uvicorn", "llama-cpp-python", "onnxruntime"} <= installed.brought
    assert not installed.brought & {"torch", "transformers", "optimum", "optimum-onnx", "accelerate", "onnx", "pytest"}


def test_verify_ask_and_serve_work_without_the_hub_client(installed: Installed, demo: Built, tmp_path: Path) -> None:
    env = bare(tmp_path)
    done = run([installed.program, "verify", demo.folder, "--json"], env=env, cwd=tmp_path)
    assert json.loads(done.stdout)["name"] == "demo-library"
    done = run([installed.program, "ask", demo.folder, "Is there a lift?", "--json"], env=env, cwd=tmp_path)
    assert "lift" in json.loads(done.stdout)["answer"]

    kiosk = Kiosk([installed.program, "serve", str(demo.folder), "--port", "0"], tmp_path / "kiosk", env)
    try:
        kiosk.wait_ready()
        assert "<title>Kiosk</title>" in kiosk.client.get("/").text
        body = {"service": "ask", "language": "es", "question": "¿Hay ascensor?"}
        assert kiosk.client.get("/api/kiosk").json()["words"]["es"]["ask.button"] == "Preguntar"
        assert '"type": "done"' in kiosk.client.post("/api/ask", json=body).text.splitlines()[-1]
    finally:
        assert kiosk.end() == 0


def test_what_runs_on_a_kiosk_imports_nothing_of_a_laptop(installed: Installed, tmp_path: Path) -> None:
    program = f"""
import importlib.abc, pkgutil, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {LAPTOP_ONLY!r}:
            raise AssertionError(f"{{name}} is imported")

sys.meta_path.insert(0, Refuse())
import publicai_edge.kiosk, publicai_edge.engine, publicai_edge.bundle, publicai_edge.search
done = []
for package in ("kiosk", "engine", "bundle", "search"):
    place = sys.modules[f"publicai_edge.{{package}}"]
    for module in pkgutil.walk_packages(place.__path__, place.__name__ + "."):
        __import__(module.name)
        done.append(module.name)
print(len(done), *done)
"""
    done = run([installed.python, "-c", program], env=bare(tmp_path), cwd=tmp_path)
    for module in ("kiosk.app", "kiosk.server", "engine.client", "engine.worker", "bundle.verify", "search.base"):
        assert f"publicai_edge.{module}" in done.stdout


def test_a_stage_that_needs_more_says_which_extra(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}', "utf-8")
    command = [installed.program, "convert", str(tmp_path / "source"), "-o", str(tmp_path / "out")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=bare(tmp_path), cwd=tmp_path)
    assert done.returncode == 6, done.stderr
    assert "publicai-edge[onnx]" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "code", "words"), [((), 6, "pip install huggingface-hub"), (("--offline",), 3, "not in the cache")]
)
def test_the_hub_client_is_missed_only_by_what_needs_it(
    installed: Installed, tmp_path: Path, more: tuple[str, ...], code: int, words: str
) -> None:
    command = [installed.program, "pull", "hf:some/model/file.gguf", *more]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=bare(tmp_path), cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
