"""The machine as a comparison needs to know it: what its speed depends on, and whether it was left alone.

What the system does not tell is left out, and :func:`facts` says so nowhere but by its absence. Host names, serial
numbers and users are never read.
"""

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from publicai_edge import host

_ROOT = Path("/")
_CPUS = "sys/devices/system/cpu"
# What kernels are chosen by; the other flags of /proc/cpuinfo change nothing.
_FLAGS = frozenset(
    {"sse3", "ssse3", "sse4_1", "sse4_2", "avx", "f16c", "fma", "avx2", "bmi2", "avx_vnni", "avx512f", "avx512bw"}
    | {"avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "amx_tile"}
    | {"asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme", "fphp"}
)
_GIB = 1 << 30
DISTURBED = 0.15  # processors' worth of time that others took while a sample was taken


def facts(root: Path = _ROOT) -> dict[str, Any]:
    """Return what tells this machine from another: processor, cores, memory, governor, limits of a container."""
    info = _text(root / "proc/cpuinfo")
    total, _ = host.memory_bytes()
    found: dict[str, Any] = {
        "cpu": _field(info, "model name", "Model", "Hardware") or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "features": sorted(_FLAGS & set(_field(info, "flags", "Features").split())),
        "cores": host.usable_cores(),
        "physical_cores": host.physical_cores(),
        "memory_gib": round(total / _GIB),
        "system": platform.system(),
        "governor": _text(root / _CPUS / "cpu0/cpufreq/scaling_governor").strip() or None,
        "boost": _text(root / _CPUS / "cpufreq/boost").strip() or None,
        "cpu_quota": host.cpu_quota(),
        "virtual": "hypervisor" in info or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def throttled(root: Path = _ROOT) -> int | None:
    """Return how often the processors were slowed down because they were hot, since the start; None where untold.

    A Raspberry Pi tells it by its firmware alone: what was seen since the start is bits 16 to 19.
    Source: Linux ``Documentation/ABI/testing/sysfs-devices-system-cpu``; the Raspberry Pi's ``get_throttled``.
    """
    counts = [_text(place) for place in (root / _CPUS).glob("cpu[0-9]*/thermal_throttle/core_throttle_count")]
    numbers = [int(text) for text in counts if text.strip().isdigit()]
    if numbers:
        return sum(numbers)
    pi = _text(root / "sys/devices/platform/soc/soc:firmware/get_throttled").strip()
    try:
        return int(pi, 16) >> 16 if pi else None
    except ValueError:
        return None


@dataclass
class Neighbours:
    """What other programs took of the processors while a block ran: ``share`` in processors' worth of time."""

    share: float = 0.0

    @property
    def disturbed(self) -> bool:
        """Whether that is enough to make a sample worthless."""
        return self.share > DISTURBED


@contextmanager
def watched(*workers: int) -> Iterator[Neighbours]:
    """Tell afterwards what others took while the block ran; this process and its ``workers``, by pid, do not count.

    The system counts in hundredths of a second, so a block shorter than a tenth tells little.
    """
    read = host.processor_time(os.getpid(), *workers, stolen=True)
    found = Neighbours()
    at, before = time.perf_counter(), read()
    yield found
    elapsed, after = time.perf_counter() - at, read()
    if elapsed > 0:
        found.share = max(0.0, (after[0] - before[0]) - (after[1] - before[1])) / elapsed


def _field(info: str, *names: str) -> str:
    """Return the first value that ``/proc/cpuinfo`` has under one of these names."""
    for name in names:
        for line in info.splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return ""


def _text(place: Path) -> str:
    try:
        return place.read_text("utf-8", "replace")
    except OSError:
        return ""
