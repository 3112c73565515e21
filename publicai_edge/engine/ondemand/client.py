"""The kiosk's side of a model that is loaded on demand: starts its process, asks it, and ends it after a pause.

Invariants: a request is answered or refused within :attr:`Limits.seconds` and a little; what kills the process never
reaches the one that asks; no error says what was asked; nothing of it is left between the two after
:meth:`OnDemand.scrub`; the model's memory is given back when nobody has asked for :attr:`Limits.idle_seconds`.
"""

import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

from publicai_edge import host
from publicai_edge.child import let_end, write_whole
from publicai_edge.engine.ondemand import END, read_bytes, read_line
from publicai_edge.errors import EngineError

_PADDING = bytes(64 << 10)  # fills the pipes and every buffer at their ends
_PATIENCE = 2.0  # beyond the alarm that the process sets itself
_MOST_THREADS = 4
_HINT = "Try again; if it stays so, run `publicai-edge verify` on the bundle."


@dataclass(frozen=True)
class Limits:
    """What a request may cost: seconds to answer it, or to load the model; address space.

    ``idle_seconds``: how long to wait for the next one before the process is ended.
    """

    seconds: int = 60
    memory_bytes: int = 4 << 30
    idle_seconds: float = 120.0


class OnDemand:
    """A model in a process of its own; several threads may ask, one is answered at a time.

    Args:
        module: what the process runs, by way of :func:`publicai_edge.engine.ondemand.server.main`.
        settings: what the module loads.
        task: what the process does, in words that follow "The process that".
        limits: of each request.
    """

    def __init__(self, module: str, settings: Mapping[str, Any], task: str, limits: Limits) -> None:
        self._module = module
        self._settings = dict(settings)
        self._task = task
        self._limits = limits
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._idle: threading.Timer | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The process's id, while it runs."""
        process = self._process
        return process.pid if process else None

    def ask(self, request: Mapping[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        """Return the answer to a request, and the bytes that come with it.

        Raises:
            EngineError: the process cannot start, died, took too long, was stopped, or refuses.
        """
        with self._lock:
            try:
                return self._exchange(self._running(), request, data)
            finally:
                self._wait_idle()

    def scrub(self) -> None:
        """Have the process overwrite what it has let go, where it runs; what is sent fills the pipes between."""
        with self._lock, contextlib.suppress(EngineError):
            if self._process and not self._closed:
                self._exchange(self._process, {"rest": True}, _PADDING)

    def stop(self) -> None:
        """End the process, with all that it holds, and the request under way; the next request starts another."""
        if process := self._process:
            process.kill()

    def close(self) -> None:
        """End the process, and start none any more."""
        self._closed = True
        self.stop()
        with self._lock:
            self._end()

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._closed:
            raise EngineError(f"The process that {self._task} was closed.", hint=_HINT)
        if self._idle:
            self._idle.cancel()
        if self._process and self._process.poll() is not None:
            self._end()
        return self._process or self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        limits = {"seconds": self._limits.seconds, "memory_bytes": self._limits.memory_bytes}
        process = subprocess.Popen(
            [sys.executable, "-m", self._module, json.dumps({**limits, "load": self._settings})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what libraries print may quote what was asked
            bufsize=0,
        )
        self._process = process
        if self._closed:  # meanwhile
            process.kill()
        self._exchange(process, None)
        return process

    def _exchange(
        self, process: "subprocess.Popen[bytes]", request: Mapping[str, Any] | None, data: bytes = b""
    ) -> tuple[dict[str, Any], bytes]:
        found = None
        timer = threading.Timer(self._limits.seconds + _PATIENCE, process.kill)
        timer.start()
        try:
            with contextlib.suppress(BrokenPipeError):
                if request is not None:
                    head = json.dumps({**request, "bytes": len(data)}).encode() + b"\n"
                    write_whole(process.stdin.fileno(), head)  # type: ignore[union-attr]
                    write_whole(process.stdin.fileno(), data)  # type: ignore[union-attr]
                found = _received(process.stdout)  # type: ignore[arg-type]
        finally:
            timer.cancel()
        if found is None:
            raise self._died()
        if "error" in found[0]:
            if request is None:
                self._end()
            raise EngineError(found[0]["error"], hint=_HINT)
        return found

    def _died(self) -> EngineError:
        code = self._end()
        if code == -getattr(signal, "SIGALRM", 0):
            how = f"took longer than {self._limits.seconds} s"
        else:
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        return EngineError(f"The process that {self._task} {how}.", hint=_HINT)

    def _wait_idle(self) -> None:
        if self._process and not self._closed:
            self._idle = threading.Timer(self._limits.idle_seconds, self._end_idle, [self._process])
            self._idle.daemon = True
            self._idle.start()

    def _end_idle(self, process: "subprocess.Popen[bytes]") -> None:
        with self._lock:
            timer = self._idle
            if self._process is process and timer and timer is threading.current_thread():
                self._end()

    def _end(self) -> int:
        if self._idle:
            self._idle.cancel()
        process, self._process = self._process, None
        return let_end(process)


def _received(stream: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    """Return an answer and the bytes behind it, or None where the process ended before it was whole."""
    line = read_line(stream)
    if not line.endswith(b"\n"):
        return None
    answer: dict[str, Any] = json.loads(line)
    data = bytes(read_bytes(stream, answer["bytes"]))
    return (answer, data) if stream.read(len(END)) == END else None


def threads() -> int:
    """Return how many threads such a process uses: half of the cores, since others may be answered meanwhile."""
    return max(1, min(_MOST_THREADS, host.big_cores() // 2))
