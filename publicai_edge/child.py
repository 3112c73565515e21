"""Work that needs a process of its own: native code that may crash, and memory that must be given back.

The child is ``python -m publicai_edge.child MODULE:FUNCTION``. One JSON line on its stdin is the payload; JSON
lines on its stdout are progress and, last, the result or the error. Native libraries print where they like:
the child's file descriptor 1 is turned to stderr first, and the tail of stderr is kept for the error message.

Invariant: the child dies with its parent. It watches its stdin, which closes when the parent goes, however
that happens; so a build killed in the middle leaves nothing writing behind.
"""

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from publicai_edge.compiling import compile_command
from publicai_edge.errors import EngineError, PublicAIError
from publicai_edge.host import peak_rss_bytes, refuse_core_files
from publicai_edge.progress import Progress, Task, Unit

_TAIL_LINES = 40


@dataclass(frozen=True)
class ChildResult:
    """What a child returned, and what it used: peak resident bytes and wall seconds."""

    value: Any
    peak_rss_bytes: int
    seconds: float


def run(
    target: str, payload: dict[str, Any], *, what: str, progress: Progress, limit_seconds: float | None = None
) -> ChildResult:
    """Run ``MODULE:FUNCTION`` of this project in a child process.

    Args:
        target: a function ``(payload: dict, progress: Progress) -> JSON value``.
        payload: a JSON value.
        what: the work in words, for the message when the child crashes ("quantize model.gguf").
        progress: where the child's progress is shown.
        limit_seconds: when the child is ended, for work on files that may be hostile.

    Raises:
        PublicAIError: the one the child raised, rebuilt; or :class:`EngineError` when it crashed or took too long.
    """
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "publicai_edge.child", target],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    drain = threading.Thread(target=_drain, args=(process.stderr, tail), daemon=True)
    drain.start()
    late = threading.Event()

    def stop_late() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(limit_seconds or 0, stop_late)
    if limit_seconds:
        timer.start()
    try:
        final = _converse(process, payload, progress)
    finally:
        if process.poll() is None and sys.exc_info()[0] is not None:
            process.kill()
        if process.stdin:
            with contextlib.suppress(BrokenPipeError):  # what a child did not read before it died
                process.stdin.close()
        process.wait()
        timer.cancel()
        drain.join(timeout=5)
        if process.stdout:
            process.stdout.close()
        if process.stderr:
            process.stderr.close()
    if final is None and late.is_set():
        raise EngineError(
            f"The process that should {what} had not ended after {limit_seconds:g} seconds, and was stopped.",
            hint="The file it worked on may be damaged or hostile: fetch it again, from a publisher you trust.",
        )
    if final is None:
        raise _crashed(what, process.returncode, tail)
    if "error" in final:
        raise PublicAIError.from_json(final["error"])
    return ChildResult(final["result"], final["peak_rss_bytes"], time.monotonic() - started)


def _converse(process: "subprocess.Popen[str]", payload: dict[str, Any], progress: Progress) -> dict[str, Any] | None:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the child was started without pipes")
    try:
        process.stdin.write(json.dumps(payload) + "\n")
        process.stdin.flush()
    except BrokenPipeError:
        return None
    tasks: dict[int, Task] = {}
    final = None
    try:
        for line in process.stdout:
            message = json.loads(line)
            if "result" in message or "error" in message:
                final = message
            else:
                _relay(message, tasks, progress)
    finally:
        for task in tasks.values():
            task.__exit__(None, None, None)
    return final


def _relay(message: dict[str, Any], tasks: dict[int, Task], progress: Progress) -> None:
    match message:
        case {"open": number, "label": label, "total": total, "unit": unit}:
            tasks[number] = progress.task(label, total=total, unit=unit)
            tasks[number].__enter__()
        case {"advance": amount, "task": number}:
            tasks[number].advance(amount)
        case {"set_total": total, "task": number}:
            tasks[number].set_total(total)
        case {"close": number}:
            tasks.pop(number).__exit__(None, None, None)
        case {"say": text}:
            progress.say(text)
        case {"warn": text}:
            progress.warn(text)


def _drain(stream: TextIO | None, tail: deque[str]) -> None:
    for line in stream or ():
        tail.append(line.rstrip())


def _hint(number: int) -> str:
    match number:
        case 9:  # SIGKILL, a name that Windows lacks
            return "Out of memory is the usual cause: close other programs, or take a smaller model."
        case signal.SIGILL:
            return f"llama.cpp was compiled for another processor than this one. Compile it here: {compile_command()}"
        case _:
            return "Run again with --debug and report it."


def _crashed(what: str, code: int, tail: deque[str]) -> EngineError:
    if code < 0:
        try:
            how = f"was ended by {signal.Signals(-code).name}"
        except ValueError:
            how = f"was ended by signal {-code}"
    else:
        how = f"ended with code {code}"
    last = "\n".join(tail).strip()
    message = f"The process that should {what} {how}."
    if last:
        message += f" Its last words:\n{last[-1500:]}"
    return EngineError(message, hint=_hint(-code))


class _ChildTask(Task):
    def __init__(self, send: Callable[[dict[str, Any]], None], number: int) -> None:
        self._send = send
        self._number = number
        self._pending = 0
        self._sent = time.monotonic()

    def advance(self, amount: int) -> None:
        self._pending += amount
        if time.monotonic() - self._sent > 0.05:  # noqa: PLR2004 - twenty lines a second are plenty
            self._flush()

    def set_total(self, total: int | None) -> None:
        self._send({"set_total": total, "task": self._number})

    def _flush(self) -> None:
        self._send({"advance": self._pending, "task": self._number})
        self._pending = 0
        self._sent = time.monotonic()

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        self._flush()
        self._send({"close": self._number})


class _ChildProgress:
    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send
        self._count = 0

    def task(self, label: str, *, total: int | None = None, unit: Unit = "items") -> Task:
        self._count += 1
        self._send({"open": self._count, "label": label, "total": total, "unit": unit})
        return _ChildTask(self._send, self._count)

    def say(self, message: str) -> None:
        self._send({"say": message})

    def warn(self, message: str) -> None:
        self._send({"warn": message})


def die_with_parent(stream: TextIO) -> None:
    """End this process at once when ``stream``, a pipe from the parent, closes."""

    def watch() -> None:
        stream.read()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def let_end(process: "subprocess.Popen[Any] | None") -> int:
    """Close a child's stdin, wait until it has ended, and return its code: below 0, the signal; 0 without a child.

    For children that serve requests for as long as their stdin is open. Kill one that may be busy first.
    """
    if process is None:
        return 0
    if process.stdin:
        with contextlib.suppress(BrokenPipeError):  # what a child did not read before it died
            process.stdin.close()
    code = process.wait()
    if process.stdout:
        process.stdout.close()
    return code


def limit_this_process(cpu_seconds: float, memory_bytes: int) -> None:
    """Let the system end this process when it has used up what the work on a hostile file may use.

    In processor time, so that a busy machine refuses nothing that a quiet one accepts. No file can be written after
    this, and no core file is. Where the system cannot (Windows; address space on macOS), only the parent's clock ends
    the process.

    Args:
        cpu_seconds: processor time from now on.
        memory_bytes: address space beyond what the process has now.
    """
    if sys.platform == "win32":
        return
    import resource

    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)  # the signal ends the process: nothing here catches it
    for what in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(what, (0, 0))
    with contextlib.suppress(OSError, ValueError):  # macOS does not limit address space
        most = _address_space() + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _address_space() -> int:
    import resource

    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 1 << 30


def confine_this_process(memory_bytes: int) -> None:
    """Let this process write no file and no core file from now on, and take no more address space than that."""
    refuse_core_files()
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with contextlib.suppress(OSError, ValueError):  # macOS does not limit address space
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def time_this_process(seconds: int) -> None:
    """Have the system end this process in so many seconds, in native code too; with 0, not any more."""
    if sys.platform != "win32":
        signal.alarm(seconds)


def claim_stdout() -> TextIO:
    """Take the real stdout for messages and turn file descriptor 1 to stderr, where native prints may go."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    return channel


def write_whole(file: int, data: bytes) -> None:
    """Write to a file descriptor without a buffer that would keep it."""
    while data:
        data = data[os.write(file, data) :]


def _main(target: str) -> int:
    channel = claim_stdout()
    lock = threading.Lock()

    def send(message: dict[str, Any]) -> None:
        with lock:
            channel.write(json.dumps(message) + "\n")
            channel.flush()

    payload = json.loads(sys.stdin.readline())
    die_with_parent(sys.stdin)
    module, _, name = target.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
        value = function(payload, _ChildProgress(send))
    except PublicAIError as error:
        send({"error": error.to_json()})
        return 1
    send({"result": value, "peak_rss_bytes": peak_rss_bytes()})
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, and closes the pipe
    os._exit(_main(sys.argv[1]))
