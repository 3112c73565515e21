"""The command that makes, moves and lists runtimes, and the standalone program's own list of verbs."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from publicai_edge import __version__
from publicai_edge.cli import operator, standalone
from publicai_edge.runtime import samples
from publicai_edge.store import Store
from tests.cli.conftest import Run
from tests.runtime.test_archive import made

STANDALONE = [sys.executable, "-m", "publicai_edge.cli.standalone"]


def test_a_runtime_moves_between_two_laptops_as_one_file(run: Run, tmp_path: Path) -> None:
    made(Store(tmp_path / "one"), "linux-aarch64")
    done = run("runtime", "export", "linux-aarch64", "--cache", str(tmp_path / "one"), "-o", str(tmp_path))
    assert done.returncode == 0, done.stderr
    file = done.stdout.strip()
    assert Path(file).name == f"publicai-edge-{__version__}-linux-aarch64.runtime.tar"
    lost = run("runtime", "export", "linux-aarch64", "--cache", str(tmp_path / "one"), "-o", str(tmp_path / "stick"))
    assert (lost.returncode, "Make the folder first" in lost.stderr) == (6, True)
    assert not (tmp_path / "stick").exists()
    other = ["--cache", str(tmp_path / "other")]
    assert "There are none" in run("runtime", "list", *other).stderr
    assert run("runtime", "import", file, *other).returncode == 0
    (listed,) = json.loads(run("runtime", "list", "--json", *other).stdout)
    assert (listed["platform"], listed["current"], listed["glibc"]) == ("linux-aarch64", True, "2.35")
    place = Path(run("runtime", "path", "linux-aarch64", *other).stdout.strip())
    assert (place / "runtime.json").is_file()


def test_what_cannot_be_made_here_is_said_with_what_can_be_done(run: Run) -> None:
    done = run("runtime", "build", "macos-aarch64")
    assert done.returncode == 2
    assert "runtime import FILE" in done.stderr


@pytest.fixture(scope="module")
def verbs() -> str:
    return subprocess.run([*STANDALONE, "--help"], capture_output=True, text=True, check=True).stdout


def test_the_standalone_program_has_the_operators_verbs_and_no_others(verbs: str) -> None:
    names = {*operator.VERBS, *operator.GROUPS}
    assert {command.name for command in standalone.app.registered_commands} == set(operator.VERBS)
    assert all(f" {name} " in verbs for name in names)
    assert " build " not in verbs


def test_the_standalone_program_starts_its_own_children_and_nothing_else() -> None:
    child = [*STANDALONE, "-m", "publicai_edge.child", "publicai_edge.cli.standalone:check"]
    with subprocess.Popen(child, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        documents = {name: base64.b64encode(data).decode() for name, data in samples.documents().items()}
        process.stdin.write(json.dumps({"documents": documents, "sentence": samples.SENTENCE}) + "\n")
        process.stdin.flush()
        found = json.loads(process.stdout.readline())["result"]
    assert found["norm"] == 2.0
    assert found["documents"] == sorted(documents)
    assert "CPUExecutionProvider" in found["onnxruntime"]
    other = subprocess.run([*STANDALONE, "-m", "http.server"], capture_output=True, text=True, check=False)
    assert other.returncode == 2
    assert "No such option" in other.stderr


def test_the_standalone_program_is_collected_without_what_only_a_laptop_needs() -> None:
    code = (
        "import sys, publicai_edge.cli.standalone, publicai_edge.kiosk.server, publicai_edge.engine.worker\n"
        "print(*sorted(name for name in sys.modules if name.startswith('publicai_edge.')))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    laptop = ("pipeline", "runtime", "sources", "convert", "quantize", "evaluate", "bench", "tune", "plan", "knowledge")
    assert not [name for name in loaded if name.split(".")[1] in laptop]
