"""What a runtime leaves out, its program does without: the check of a finished one, in a Python with as little."""

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import grimp
import numpy as np

from publicai_edge.cli import standalone
from publicai_edge.knowledge.extract import SUFFIXES
from publicai_edge.pipeline import runtimes
from publicai_edge.pipeline.build import Built
from publicai_edge.runtime import freeze, packages, samples
from tests import spoken, voiced
from tests.conftest import ROOT, downloads

_PAYLOAD = {
    "documents": {name: base64.b64encode(data).decode() for name, data in samples.documents().items()},
    "sentence": samples.SENTENCE,
}
# As PyInstaller leaves modules out: whoever imports one is told that there is none.
_WITHOUT = """
import json, sys
for name in json.loads(sys.argv.pop(1)):
    sys.modules[name] = None
from publicai_edge.cli import standalone
"""
_CHECK = f"{_WITHOUT}print(json.dumps(standalone.check(json.loads(sys.argv[1]), None)))"
_WRITE_DOWN = f"""{_WITHOUT}
import numpy
from pathlib import Path
from publicai_edge.engine.speech.whisper import Whisper
print(Whisper.open(Path(sys.argv[1])).write_down(numpy.load(sys.argv[2]), "en"))
"""
_SPEAK = f"""{_WITHOUT}
from pathlib import Path
from publicai_edge.engine.voice.talker import Talker
print(len(Talker(Path(sys.argv[1])).speak("The library opens at nine.")))
"""
_ASK = f"{_WITHOUT}standalone.main()"


def check(folder: Path, payload: dict[str, Any]) -> "subprocess.CompletedProcess[str]":
    """Check this program as :func:`without` runs it."""
    return without(folder, _CHECK, json.dumps(payload))


def without(folder: Path, code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run this program with what a runtime leaves out left out, and what stands in for it in its place."""
    packages.replace_ssl(folder)
    blocked = json.dumps([*freeze._EXCLUDED, "libzim"])
    return subprocess.run(
        [sys.executable, "-c", code, blocked, *arguments],
        env={"PYTHONPATH": f"{folder}:{ROOT}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_program_does_all_without_what_a_runtime_leaves_out(tmp_path: Path) -> None:
    done = check(tmp_path, _PAYLOAD)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["documents"] == sorted(_PAYLOAD["documents"])
    assert said["zim"] is False


def test_what_is_said_is_written_down_without_what_a_runtime_leaves_out(tmp_path: Path) -> None:
    model = spoken.folder(downloads(), tmp_path / "whisper")
    np.save(tmp_path / "said.npy", spoken.say(spoken.SENTENCE))
    done = without(tmp_path, _WRITE_DOWN, str(model), str(tmp_path / "said.npy"))
    assert done.returncode == 0, done.stderr
    assert "library" in done.stdout
    assert "publicai_edge.engine.speech.worker" in standalone.CHILDREN


def test_text_is_read_aloud_without_what_a_runtime_leaves_out(tmp_path: Path) -> None:
    done = without(tmp_path, _SPEAK, str(voiced.folder(downloads(), tmp_path / "voice")))
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > voiced.RATE
    assert "publicai_edge.engine.voice.worker" in standalone.CHILDREN


def test_the_program_answers_from_documents_without_what_a_runtime_leaves_out(demo: Built, tmp_path: Path) -> None:
    done = without(tmp_path, _ASK, "ask", str(demo.folder), "Is there a lift?", "--debug")
    assert done.returncode == 0, done.stderr
    assert "A lift goes to every floor" in done.stdout


def test_a_program_that_reads_a_document_wrongly_fails_its_check(tmp_path: Path) -> None:
    done = check(tmp_path, {**_PAYLOAD, "sentence": "Nobody gets a permit."})
    assert done.returncode != 0
    assert "does not say 'Nobody gets a permit.'" in done.stderr


def test_there_is_a_sample_of_every_format_that_staff_may_add() -> None:
    kinds = {".text": ".txt", ".markdown": ".md", ".htm": ".html", ".xhtml": ".html"}
    wanted = {kinds.get(suffix, suffix) for suffix in SUFFIXES}
    assert {Path(name).suffix for name in samples.documents()} == wanted


def test_whatever_would_use_tls_in_a_runtime_ends_with_a_sentence(tmp_path: Path) -> None:
    shutil.copyfile(packages.NO_TLS, tmp_path / "ssl.py")
    code = "import uvicorn, urllib.request, http.client, asyncio.sslproto, ssl; ssl.create_default_context()"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.stderr.rstrip().endswith("it has no TLS.")


def test_a_change_of_any_code_in_a_runtime_makes_it_one_of_other_code() -> None:
    graph = grimp.build_graph("publicai_edge")
    waiting = ["publicai_edge.cli.standalone", "publicai_edge.child"]
    waiting += [module for name in freeze.KIOSK for module in (name, *graph.find_descendants(name))]
    found: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += graph.find_modules_directly_imported_by(module)
    parts = {".".join(module.split(".")[:2]) for module in found} - {"publicai_edge"}
    listed = {*freeze.KIOSK, *(f"publicai_edge.{name}" for name in runtimes._CARRIED)}
    assert parts == listed
