"""Both sides of the serving benchmark as processes: ``publicai-edge serve`` and llama.cpp's ``llama-server``.

Both get the same model, the same number of threads and a cache for the same number of tokens, and are started anew for
each measurement. Everything that was started is ended when its ``with`` block is left, also by Ctrl-C.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import peers
from publicai_edge.host import physical_cores

THREADS = physical_cores()
CONTEXT = 2048
OURS, PEER = "publicai-edge serve", "llama-server"
_START_SECONDS = 120.0
_END_SECONDS = 10.0
_LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Server:
    """A server that is ready.

    Attributes:
        side: whose it is: :data:`OURS` or :data:`PEER`.
        port: where it listens, on 127.0.0.1.
        model: the name it knows its model by.
        start_seconds: from the start of the process until it said that it is ready.
        memory: what watches its memory from its start on, when that was asked for.
    """

    side: str
    port: int
    model: str
    start_seconds: float
    memory: "Memory"


@dataclass(frozen=True)
class Sides:
    """What to start for each side.

    Attributes:
        model: the GGUF file.
        bundle: our bundle with that file.
    """

    model: Path
    bundle: Path

    @property
    def names(self) -> tuple[str, ...]:
        """The sides that can be run."""
        return (OURS, PEER) if peers.tool(PEER) else (OURS,)

    @contextlib.contextmanager
    def start(self, side: str, slots: int, *, watch: bool) -> Iterator[Server]:
        """Start one side and wait until it is ready; with ``watch``, look at its memory from the start."""
        port = free_port()
        if side == OURS:
            # Without --threads it takes as many as the peer is given, and fewer while others keep the cores busy.
            options = ["serve", str(self.bundle), "--port", str(port), "--slots", str(slots)]
            command = [sys.executable, "-m", "publicai_edge", *options]
        else:
            shape = {"-c": cells(slots), "-np": slots, "-t": THREADS, "--port": port}
            command = [
                str(peers.tool(PEER)),
                "-m",
                str(self.model),
                *(str(part) for pair in shape.items() for part in pair),
            ]
        begun = time.perf_counter()
        with running(command) as process, Memory(process.pid, watch=watch) as memory:
            wait_ready(process, port, side)
            ready = time.perf_counter() - begun
            if side == OURS and f"publicai_edge_slots {slots}\n" not in get(port, "/metrics")[1].decode():
                raise RuntimeError(f"{side} has no room for {slots} slots on this machine")
            yield Server(side, port, model_of(port), ready, memory)


def build_bundle(model: Path, prompt: str, folder: Path) -> Path:
    """Build a bundle with one service that has this prompt, and no documents."""
    from publicai_edge.pipeline.build import build
    from publicai_edge.pipeline.options import Options
    from publicai_edge.progress import Silent
    from publicai_edge.store import Store

    recipe = folder / "serving.toml"
    recipe.write_text(_RECIPE.format(model=json.dumps(f"file:{model}"), prompt=json.dumps(prompt), context=CONTEXT))
    return build(recipe, Options(folder / "dist", Store(folder / "cache"), Silent(), offline=True)).folder


_RECIPE = """
[bundle]
name = "serving"
version = "1.0.0"
languages = ["en"]
title.en = "Serving"
[steward]
name = "Benchmark"
contact = "none@example.org"
ask_a_person.en = "There is nobody."
[model]
name = "benchmark"
source = {model}
license = "Apache-2.0"
license_url = "https://www.apache.org/licenses/LICENSE-2.0"
[quantize]
type = "keep"
[target]
context = {context}
[[services]]
id = "ask"
search = false
title.en = "Ask"
description.en = "Ask."
prompt.en = {prompt}
"""


def cells(slots: int) -> int:
    """Return the tokens that the cache of our engine holds for so many slots."""
    from publicai_edge.engine import warm

    return warm.cells(CONTEXT, slots)


def drop_caches() -> bool:
    """Forget cached files, as after power-on; only root may. Return whether it was done."""
    os.sync()
    place = Path("/proc/sys/vm/drop_caches")
    if not os.access(place, os.W_OK):
        return False
    place.write_text("3")
    return True


@contextlib.contextmanager
def busy_core() -> Iterator[None]:
    """Keep one core busy with another process."""
    with running([sys.executable, "-c", "while True: pass"]):
        time.sleep(0.5)
        yield


class Memory:
    """Peak memory of a process and all its descendants, looked at ten times a second: the sum of their PSS.

    PSS counts a page that several processes share in parts, so the model's file, mapped, counts once. Looking takes
    some time from the processes, so where speed is measured, nobody looks.

    Attributes:
        peak: bytes of all of them at the worst moment.
        peak_of_children: the same without the process itself.
    """

    def __init__(self, pid: int, *, watch: bool) -> None:
        self.peak = self.peak_of_children = 0
        self._process = psutil.Process(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True) if watch else None

    def __enter__(self) -> "Memory":
        if self._thread:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._thread:
            self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        """Look once more."""
        with contextlib.suppress(psutil.Error):  # it ended in the meantime
            own, others = (
                _pss(self._process.pid),
                sum(_pss(item.pid) for item in self._process.children(recursive=True)),
            )
            self.peak = max(self.peak, own + others)
            self.peak_of_children = max(self.peak_of_children, others)


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0  # it ended in the meantime
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


@contextlib.contextmanager
def running(command: Sequence[str]) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program in a session of its own, and end it with all that it started.

    Raises:
        RuntimeError: with the end of what it wrote, when something fails while it runs and it said anything.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
        )
        try:
            yield process
        except RuntimeError as error:
            said.seek(0)
            end = said.read()[-2000:].decode(errors="replace")
            raise RuntimeError(f"{error}\n{' '.join(command)}\n{end}") from error
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # its own session: whatever of it is left
    process.wait()


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def get(port: int, path: str) -> tuple[int, bytes]:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        line.request("GET", path)
        response = line.getresponse()
        return response.status, response.read()
    finally:
        line.close()


def wait_ready(process: "subprocess.Popen[bytes]", port: int, side: str) -> None:
    """Wait until a server that was just started says that it is ready.

    Raises:
        RuntimeError: it ends, or takes too long.
    """
    begun = time.perf_counter()
    while not _ready(port):
        if process.poll() is not None:
            raise RuntimeError(f"{side} ended with {process.returncode} before it was ready")
        if time.perf_counter() - begun > _START_SECONDS:
            raise RuntimeError(f"{side} was not ready within {_START_SECONDS:.0f} s")
        time.sleep(0.005)


def _ready(port: int) -> bool:
    """Say whether a server can answer: both tell it at /health, llama-server by the status, ours by a word as well."""
    try:
        status, body = get(port, "/health")
    except (OSError, http.client.HTTPException):
        return False
    return status == http.client.OK and json.loads(body).get("engine", "ready") == "ready"


def model_of(port: int) -> str:
    return str(json.loads(get(port, "/v1/models")[1])["data"][0]["id"])
