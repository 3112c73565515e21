"""The kiosk as a process: ready at once, quiet, and gone within two seconds of Ctrl-C."""

import asyncio
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from publicai_edge.bundle.open import Bundle
from publicai_edge.errors import HostError
from publicai_edge.kiosk.server import bind, page_address, serve
from tests.kiosk.conftest import PATIENCE
from tests.kiosk.fakes import FakeDocuments, FakeEngine

CANARY = "kanarienvogel-4711"
BUSY = 4  # a machine that does other things besides gets so many times as long, and half of what the answer takes
PROGRAM = """
import sys, time
from pathlib import Path
from publicai_edge.bundle.open import open_bundle
from publicai_edge.kiosk.server import serve
from tests.kiosk.fakes import FakeDocuments, FakeEngine

class Loading(FakeEngine):
    async def start(self):
        self.state = "loading"

def open_slowly():
    time.sleep(0.3)
    return FakeDocuments()

engine = Loading()
engine.pause = 0.5
serve(open_bundle(Path(sys.argv[1])), engine, open_slowly, port=0, on_ready=lambda url: print(url, flush=True))
print("closed", engine.closes, engine.finished_streams, flush=True)
"""


class Process:
    def __init__(self, bundle: Bundle) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PROGRAM, str(bundle.root)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert self.child.stdout
        self.url = self.child.stdout.readline().strip()


@pytest.fixture
def process(bundle: Bundle) -> Iterator[Process]:
    held = Process(bundle)
    yield held
    held.child.kill()
    held.child.communicate()


def test_the_page_is_up_within_two_seconds_while_the_model_loads(process: Process) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", process.url)
    assert httpx.get(process.url, timeout=PATIENCE).status_code == 200
    spent = psutil.Process(process.child.pid).cpu_times()  # a busy machine takes longer by the clock
    assert spent.user + spent.system < 2
    assert httpx.get(f"{process.url}health", timeout=PATIENCE).json() == {"status": "unavailable", "engine": "loading"}


@pytest.mark.parametrize("path", ["api/ask", "v1/chat/completions"])
def test_ctrl_c_ends_it_within_two_seconds_with_an_answer_open(process: Process, path: str) -> None:
    body = {
        "api/ask": {"service": "ask", "language": "en", "question": f"library {CANARY}"},
        "v1/chat/completions": {
            "model": "SmolLM2-135M-Instruct",
            "messages": [{"role": "user", "content": CANARY}],
            "stream": True,
        },
    }[path]
    with httpx.stream("POST", process.url + path, json=body, timeout=PATIENCE) as response:
        lines = response.iter_lines()
        next(lines)
        begun = time.monotonic()
        process.child.send_signal(signal.SIGINT)
        list(lines)
    out, err = process.child.communicate(timeout=PATIENCE)
    assert time.monotonic() - begun < 2 * BUSY
    assert process.child.returncode == 0
    assert out == "closed 1 0\n"
    assert err == "", "nothing is logged, least of all what was typed"


def test_no_core_file_can_be_written(process: Process) -> None:
    soft, hard = resource.prlimit(process.child.pid, resource.RLIMIT_CORE)
    assert soft == hard <= 1, "1 keeps it from programs that collect crashes as well"


def test_it_listens_on_the_loopback_address_only(process: Process) -> None:
    port = int(process.url.rstrip("/").rpartition(":")[2])
    tables = [Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6")]
    listening = [line.split()[1] for table in tables for line in table.splitlines()[1:] if line.split()[3] == "0A"]
    assert [place.split(":")[0] for place in listening if int(place.split(":")[1], 16) == port] == ["0100007F"]


def test_a_port_in_use_is_told_with_the_next_step_before_anything_starts(bundle: Bundle) -> None:
    engine = FakeEngine()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(HostError, match=f"Port {port} on 127.0.0.1 is in use") as caught:
            serve(bundle, engine, FakeDocuments, port=port, on_ready=lambda _: None)
    assert "--port" in str(caught.value.hint)
    assert engine.starts == 0
    assert json.dumps(caught.value.to_json())


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 0), ("no such host.invalid", 0), ("127.0.0.1", 99999)])
def test_an_address_that_is_not_ours_is_told(host: str, port: int) -> None:
    with pytest.raises(HostError, match="Cannot listen"):
        bind(host, port)


def test_the_address_to_open_is_one_a_browser_takes() -> None:
    assert page_address("0.0.0.0", 8017) == "http://127.0.0.1:8017/"
    assert page_address("::1", 8017) == "http://[::1]:8017/"


def test_no_small_write_waits_for_the_acknowledgement_of_the_one_before() -> None:
    async def options() -> int:
        seen = asyncio.get_running_loop().create_future()
        listener = bind("127.0.0.1", 0)

        async def met(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(met, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            try:
                return int(await seen)
            finally:
                writer.close()

    assert asyncio.run(options()) != 0
