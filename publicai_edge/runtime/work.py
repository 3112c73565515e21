"""Long work of other programs: run with a log, shown as it goes, and ended with this process however that ends.

Invariants: the whole output is kept in a file of its own; an error quotes its end and names that file; nothing that was
started outlives this process (``setpriv --pdeathsig``, and ``unshare --kill-child`` for what runs in a Debian folder).
"""

import os
import re
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from publicai_edge import atomic
from publicai_edge.errors import HostError
from publicai_edge.progress import Progress

_TAIL = 25
_DIE_WITH_US = ("setpriv", "--pdeathsig", "KILL") if sys.platform == "linux" else ()
_STEP = re.compile(r"\[(\d+)/(\d+)\] ")
_QUIET_ENV = {"LANG": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/job"}
# Mounts belong to the namespace, so they go with it. What is bound there: the work's folder, /dev, a fresh /proc.
_ENTER = """
root=$1 work=$2; shift 2
mkdir -p "$root/job" "$root/proc" "$root/dev" || exit 125
mount --bind "$work" "$root/job" && mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" || exit 125
exec chroot "$root" "$@"
"""


def run(
    command: Sequence[str],
    label: str,
    logs: Path,
    progress: Progress,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run a program to its end.

    Args:
        command: the program and its arguments.
        label: the work in words; also names the log.
        logs: the folder that the log goes into.
        progress: where it is shown; lines such as ``[3/120] …`` move it on.
        env: the program's environment; this process's where it is left out.

    Raises:
        HostError: it fails.
    """
    log = logs / (re.sub(r"\W+", "-", label).strip("-").lower() + ".log")
    with atomic.host_errors("write", log):
        logs.mkdir(parents=True, exist_ok=True)
        out = log.open("w", encoding="utf-8", buffering=1)
    tail: deque[str] = deque(maxlen=_TAIL)
    with out:
        process = subprocess.Popen(
            [*_DIE_WITH_US, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=dict(env) if env is not None else None,
            start_new_session=True,
        )
        try:
            _follow(process, label, progress, out.write, tail)
        finally:
            end(process)
    if process.returncode:
        raise HostError(
            f"{label} failed (exit {process.returncode}). The end of its log:\n" + "".join(tail).rstrip(),
            hint=f"The whole log: {log}",
            log=str(log),
        )


def _follow(
    process: "subprocess.Popen[str]",
    label: str,
    progress: Progress,
    write: Callable[[str], object],
    tail: deque[str],
) -> None:
    done = 0
    with progress.task(label) as task:
        for line in process.stdout or ():
            write(line)
            tail.append(line)
            if match := _STEP.match(line):
                task.set_total(int(match[2]))
                task.advance(int(match[1]) - done)
                done = int(match[1])
        process.wait()


def end(process: "subprocess.Popen[str]") -> None:
    """End a process and all that it started, where it still runs."""
    if process.poll() is None:
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            _signal(process, signal.SIGTERM)
            process.wait(5)
        if process.poll() is None:
            with suppress(ProcessLookupError):
                _signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))  # Windows has the second only
        process.wait()
    if process.stdout:
        process.stdout.close()


def _signal(process: "subprocess.Popen[str]", sign: signal.Signals) -> None:
    if hasattr(os, "killpg"):
        os.killpg(process.pid, sign)
    else:
        process.terminate()


def inside(root: Path, folder: Path, command: Sequence[str], more: Mapping[str, str] | None = None) -> list[str]:
    """Return the command that runs ``command`` in the Debian folder ``root``, where ``folder`` is ``/job``.

    It sees nothing of this machine's files besides ``folder`` and devices, none of its processes, and no network.
    """
    settings = [f"{key}={value}" for key, value in {**_QUIET_ENV, **(more or {})}.items()]
    isolated = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child"]
    entering = ["sh", "-c", _ENTER, "sh", str(root), str(folder), "/usr/bin/env", "-i", *settings, *command]
    return [*isolated, *entering]
