"""Ctrl-C at any moment: one line, what to do next, and 130."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from publicai_edge.cli import interrupts
from tests.cli.conftest import Run

# Sends Ctrl-C to its own process when a module is looked for: as a person's would come, at that moment exactly.
SENDER = """
import os, signal, sys

class Sender:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["INTERRUPT_AT"]:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Sender())
"""
TOLD = ["Error: Interrupted.", "Next: Run the same command again; what is done is kept."]


@pytest.mark.parametrize(
    "moment",
    ["publicai_edge.cli.main", "typer", "publicai_edge.cli.bench", "publicai_edge.cli.console"],
)
def test_while_the_program_starts(run: Run, tmp_path: Path, moment: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(SENDER)
    paths = os.pathsep.join([str(tmp_path), str(Path(interrupts.__file__).parents[2])])
    done = run("device", "list", PYTHONPATH=paths, INTERRUPT_AT=moment)
    assert done.returncode == interrupts.INTERRUPTED
    assert done.stdout == ""
    assert [line for line in done.stderr.splitlines() if line] == TOLD


@pytest.mark.parametrize("moment", ["publicai_edge.plan.device", "pydantic", "annotated_types"])
def test_while_a_verb_imports_what_it_needs(run: Run, tmp_path: Path, moment: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(SENDER)
    paths = os.pathsep.join([str(tmp_path), str(Path(interrupts.__file__).parents[2])])
    done = run("device", "list", PYTHONPATH=paths, INTERRUPT_AT=moment)
    assert done.returncode == interrupts.INTERRUPTED
    assert done.stdout == ""
    assert [line for line in done.stderr.splitlines() if line] == TOLD


def test_after_a_verb_has_run() -> None:
    program = (
        "import atexit, os, signal, sys; sys.argv = ['publicai-edge', '--version'];"
        "atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT));"
        "from publicai_edge.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == interrupts.INTERRUPTED
    assert "Traceback" not in done.stderr
    assert done.stdout.startswith("publicai-edge ")


def test_where_it_is_ignored_it_stays_ignored() -> None:
    program = "import signal, os; from publicai_edge.cli import interrupts; interrupts.end_at_once();"
    program += "os.kill(os.getpid(), signal.SIGINT); print('on')"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (done.returncode, done.stdout) == (0, "on\n")
