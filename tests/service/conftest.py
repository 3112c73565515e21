"""The kiosk as an operator starts it: ``publicai-edge serve`` in a process of its own, with the real model."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from publicai_edge.pipeline.build import Built

PROGRAM = [sys.executable, "-m", "publicai_edge"]
PATIENCE = 180.0
"""Seconds that a test waits for something; far beyond what it takes, so that a busy machine fails nothing."""


def patched(patch: str) -> list[str]:
    """Return a program that is this one with ``patch``, Python code, run before it starts: a broken build."""
    return [sys.executable, "-c", f"{patch}\nimport sys\nfrom publicai_edge.cli.main import main\nmain()"]


def until(holds: Callable[[], object], what: str, seconds: float = PATIENCE) -> float:
    """Wait until something holds; return the seconds it took."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < seconds, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.01)
    return time.monotonic() - begun


def children(pid: int) -> list[int]:
    """Return the processes that a process started and that still run."""
    found = []
    for place in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(word) for word in place.read_text().split()]
        except OSError:
            continue  # the thread ended in the meantime
    return found


def runs(pid: int) -> bool:
    """Say whether a process is there and is more than an entry that nobody has collected."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}


class Kiosk:
    """A kiosk that is being started; what it prints goes to files."""

    def __init__(self, arguments: list[str], folder: Path, env: dict[str, str], cwd: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.stdout, self.stderr = folder / "stdout", folder / "stderr"
        self.begun = time.monotonic()
        with self.stdout.open("wb") as out, self.stderr.open("wb") as err:
            self.process = subprocess.Popen(arguments, stdout=out, stderr=err, env=env, cwd=cwd)
        until(lambda: self.stdout.read_text().endswith("\n") or self.process.poll() is not None, "the URL is printed")
        self.url_seconds = time.monotonic() - self.begun
        assert self.process.poll() is None, self.stderr.read_text()
        self.url = self.stdout.read_text().splitlines()[0]
        self.client = httpx.Client(base_url=self.url, timeout=PATIENCE)

    def state(self) -> str:
        return str(self.client.get("/health").json()["engine"])

    def wait_ready(self) -> "Kiosk":
        until(lambda: self.state() == "ready", "the model is loaded")
        return self

    def worker(self) -> int:
        found: list[int] = []

        def one() -> bool:
            found[:] = children(self.process.pid)
            return len(found) == 1

        until(one, "there is one worker")
        return found[0]

    def end(self, sign: signal.Signals = signal.SIGINT) -> int:
        """End the kiosk and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(sign)
        self.client.close()
        return self.process.wait(PATIENCE)


@pytest.fixture
def serve(demo: Built, tmp_path: Path) -> Iterator[Callable[..., Kiosk]]:
    """Start a kiosk: ``serve()`` takes the demo bundle, or another; all of them are gone after the test.

    With ``patch`` it is a broken build, see :func:`patched`.
    """
    started: list[Kiosk] = []

    def start(bundle: Path = demo.folder, *options: str, patch: str = "", **env: str) -> Kiosk:
        arguments = [*(patched(patch) if patch else PROGRAM), "serve", str(bundle), "--port", "0", *options]
        started.append(Kiosk(arguments, tmp_path / f"kiosk-{len(started)}", os.environ | env))
        return started[-1]

    yield start
    for kiosk in started:
        kiosk.end(signal.SIGKILL)


@pytest.fixture(scope="module")
def kiosk(demo: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kiosk]:
    """A kiosk that the tests of a module share; none of them harms it."""
    arguments = [*PROGRAM, "serve", str(demo.folder), "--port", "0"]
    held = Kiosk(arguments, tmp_path_factory.mktemp("kiosk"), dict(os.environ))
    try:
        yield held.wait_ready()
        assert held.end() == 0
    finally:
        held.end(signal.SIGKILL)
