"""The kiosk's side of dictation: starts the process that writes down what is said, asks it, and ends it after a pause.

Invariants: a recording is written down or refused within :attr:`Limits.seconds` and a little; what kills that process
never reaches the one that asks; no error says what was said; nothing of it is left between the two after
:meth:`Recognizer.scrub`; the model's memory is given back when nobody has spoken for :attr:`Limits.idle_seconds`.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from publicai_edge import host
from publicai_edge.child import write_whole
from publicai_edge.errors import EngineError

_PADDING = bytes(64 << 10)  # fills the pipes and every buffer at their ends
_PATIENCE = 2.0  # beyond the alarm that the process sets itself
_MOST_THREADS = 4
_HINT = "Try again; if it stays so, run `publicai-edge verify` on the bundle."


@dataclass(frozen=True)
class Limits:
    """What a recording may cost: seconds to write it down, or to load the model; address space.

    ``idle_seconds``: how long to wait for the next one before the process is ended.
    """

    seconds: int = 60
    memory_bytes: int = 4 << 30
    idle_seconds: float = 120.0


class Recognizer:
    """The speech model in ``folder``, in a process of its own; several threads may ask, one is answered at a time."""

    def __init__(self, folder: Path, limits: Limits = Limits()) -> None:
        self._folder = folder
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

    def write_down(self, recording: bytes, language: str) -> str:
        """Return what is said in a recording, "" where nobody speaks.

        Args:
            recording: samples as :mod:`publicai_edge.engine.speech` has them, at most 30 seconds.
            language: a BCP 47 tag.

        Raises:
            EngineError: the process cannot start, died, took too long, or was stopped.
        """
        with self._lock:
            try:
                answer = self._exchange(self._running(), {"language": language}, recording)
                return str(answer["text"])
            finally:
                self._wait_idle()

    def scrub(self) -> None:
        """Have the process overwrite what it has let go, where it runs; what is sent fills the pipes between."""
        with self._lock, contextlib.suppress(EngineError):
            if self._process and not self._closed:
                self._exchange(self._process, {}, _PADDING)

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
            raise EngineError("The speech model was closed.", hint=_HINT)
        if self._idle:
            self._idle.cancel()
        if self._process and self._process.poll() is not None:
            self._end()
        return self._process or self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        settings = {
            "folder": str(self._folder),
            "threads": threads(),
            "seconds": self._limits.seconds,
            "memory_bytes": self._limits.memory_bytes,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "publicai_edge.engine.speech.worker", json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what libraries print may quote what was said
            bufsize=0,
        )
        self._process = process
        if self._closed:  # meanwhile
            process.kill()
        self._exchange(process, None)
        return process

    def _exchange(
        self, process: "subprocess.Popen[bytes]", request: dict[str, Any] | None, data: bytes = b""
    ) -> dict[str, Any]:
        answer = b""
        timer = threading.Timer(self._limits.seconds + _PATIENCE, process.kill)
        timer.start()
        try:
            with contextlib.suppress(BrokenPipeError):
                if request is not None:
                    head = json.dumps({**request, "bytes": len(data)}).encode() + b"\n"
                    write_whole(process.stdin.fileno(), head)  # type: ignore[union-attr]
                    write_whole(process.stdin.fileno(), data)  # type: ignore[union-attr]
                answer = _line(process.stdout.fileno())  # type: ignore[union-attr]
        finally:
            timer.cancel()
        if not answer.endswith(b"\n"):
            raise self._died()
        value: dict[str, Any] = json.loads(answer)
        if "error" in value:
            if request is None:
                self._end()
            raise EngineError(value["error"], hint=_HINT)
        return value

    def _died(self) -> EngineError:
        code = self._end()
        if code == -getattr(signal, "SIGALRM", 0):
            how = f"took longer than {self._limits.seconds} s"
        else:
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        return EngineError(f"The process that writes down what is said {how}.", hint=_HINT)

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
        if process is None:
            return 0
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()  # type: ignore[union-attr]
        code = process.wait()
        process.stdout.close()  # type: ignore[union-attr]
        return code


def _line(file: int) -> bytes:
    """Return what comes up to the end of a line, read without a buffer that would keep it; less at the pipe's end."""
    line = b""
    while not line.endswith(b"\n") and (piece := os.read(file, 1 << 16)):
        line += piece
    return line


def threads() -> int:
    """Return how many threads write down what is said: half of the cores, since others may be answered meanwhile."""
    return max(1, min(_MOST_THREADS, host.big_cores() // 2))
