"""llama-server asked for one token: with its prompt cache, and with chunks used again where they are the same."""

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks import peers
from publicai_edge.host import physical_cores

_PATIENCE = 120.0
_REUSE = 64  # tokens of a chunk that is used again


@contextmanager
def server(model: Path, context: int) -> Iterator[Callable[[Sequence[int]], float] | None]:
    """Run it; yields what asks for one token of an answer and returns the seconds, or None where it is not there."""
    program = peers.tool("llama-server")
    if program is None:
        yield None
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--ctx-size", context, "--threads", physical_cores(), "--parallel", 1, "--cache-reuse", _REUSE]
    command = [str(program), "--model", str(model), "--host", "127.0.0.1", "--port", str(port), *map(str, options)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(port, running)
        yield lambda tokens: _first_token(port, tokens)
    finally:
        running.terminate()
        running.wait()


def _wait(port: int, running: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and running.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("llama-server did not start")


def _first_token(port: int, tokens: Sequence[int]) -> float:
    body = {"prompt": list(tokens), "n_predict": 1, "temperature": 0, "cache_prompt": True}
    data = json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/completion", data, {"Content-Type": "application/json"})
    started = time.perf_counter()
    with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:
        answer.read()
    return time.perf_counter() - started
