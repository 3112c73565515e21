"""Faults put into a real process at a chosen system call, by strace: SIGKILL, a full disk, an I/O error.

Nothing in the program knows of it. A first run is only watched, to learn which calls it makes that change something;
then the same run is repeated once for each of them and each kind of fault.
"""

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cryptography
import pytest

from tests.faults import operation

STRACE = shutil.which("strace")
needs_strace = pytest.mark.skipif(STRACE is None, reason="strace is not installed (scripts/system_packages.sh tests)")
CHANGES = [
    *("mkdir", "mkdirat", "openat", "write", "pwrite64", "copy_file_range", "sendfile", "fsync", "fdatasync"),
    *("rename", "renameat", "renameat2", "symlink", "symlinkat", "link", "linkat", "unlink", "unlinkat", "rmdir"),
    *("chmod", "fchmod", "fchmodat", "ftruncate"),
]
READS = ["read", "pread64", "getdents64", "readlink", "readlinkat"]
_WRITING = re.compile(r"O_(WRONLY|RDWR|CREAT|TRUNC)")
_LINE = re.compile(r"^\d+ +(\w+)\((.*)$")


@dataclass(frozen=True)
class Call:
    """One system call of the operation: its name, its number among those of that name, and its arguments."""

    name: str
    number: int
    text: str


@dataclass(frozen=True)
class Fault:
    """What is done at a call."""

    call: Call
    how: str

    def __str__(self) -> str:
        return f"{self.how} at {self.call.name} {self.call.number}: {self.call.text[:120]}"

    @property
    def injection(self) -> str:
        """Return it as strace wants it."""
        what = "signal=KILL" if self.how == "KILL" else f"error={self.how}"
        return f"inject={self.call.name}:{what}:when={self.call.number}"


def command(arguments: Sequence[object]) -> list[str]:
    """Return the command of one operation, in an interpreter that loads nothing it does not need."""
    packages = Path(cryptography.__file__).parent.parent
    return [sys.executable, "-S", "-I", "-B", str(Path(operation.__file__)), str(packages), *map(str, arguments)]


def calls(arguments: Sequence[object], log: Path, names: Sequence[str] = CHANGES) -> list[Call]:
    """Run an operation undisturbed; return its calls of these names, those of starting Python left out."""
    wanted = ",".join(f"?{name}" for name in ("mkdir", *names))
    watched = ["strace", "-f", "-qq", "-s", "200", "-y", "-o", str(log), "-e", f"trace={wanted}"]
    subprocess.run([*watched, *command(arguments)], check=True, capture_output=True)
    count: Counter[str] = Counter()
    found, begun = [], False
    for line in log.read_text().splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        name, text = match[1], match[2]
        count[name] += 1
        if operation.BEGIN in text:
            begun = True
        elif text.startswith("1<"):
            break  # the acknowledgement
        elif begun and name in names and (name != "openat" or name in READS or _WRITING.search(text)):
            found.append(Call(name, count[name], text))
    assert begun, "the operation does not say where it begins"
    return found


def faults(found: Sequence[Call]) -> list[Fault]:
    """Return every fault that can meet these calls: what only reads cannot fill a disk."""
    return [
        Fault(call, how) for call in found for how in (("EIO",) if call.name in READS else ("KILL", "ENOSPC", "EIO"))
    ]


def run(arguments: Sequence[object], fault: Fault) -> "subprocess.CompletedProcess[str]":
    """Run an operation with a fault in it."""
    fast = [] if fault.how == "KILL" else ["--seccomp-bpf"]  # with that, strace 6.1 injects errors but no signals
    traced = ["strace", "-f", "-qq", *fast, "-o", "/dev/null", "-e", f"trace={fault.call.name}"]
    return subprocess.run(
        [*traced, "-e", fault.injection, *command(arguments)], check=False, capture_output=True, text=True, timeout=600
    )
