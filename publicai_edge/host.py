"""What this machine has: memory, cores, and what a process has used of them."""

import os
import sys
from pathlib import Path


def peak_rss_bytes() -> int:
    """Return the peak resident memory of this process, in bytes.

    Linux's ``VmHWM`` is read where there is one: ``ru_maxrss`` there also counts what the parent held at fork.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def memory_bytes() -> tuple[int, int]:
    """Return (total, available) memory in bytes; (0, 0) where the system does not say.

    A cgroup limit below the machine's memory counts as the total.
    """
    info = Path("/proc/meminfo")
    if info.exists():
        fields = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
        total = int(fields["MemTotal"].split()[0]) * 1024
        available = int(fields["MemAvailable"].split()[0]) * 1024
        limit = _cgroup_limit()
        return (min(total, limit), min(available, limit)) if limit else (total, available)
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return total, total
    return 0, 0


def _cgroup_limit() -> int | None:
    for place in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(place).read_text().strip()
        except OSError:
            continue
        if text.isdigit() and int(text) < 1 << 60:
            return int(text)
    return None


def usable_cores() -> int:
    """Return how many CPUs this process may run on (affinity and container limits respected)."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def physical_cores() -> int:
    """Return the usable physical cores: hyper-threads of one core count once.

    Decoding is bound by memory and dense arithmetic; a second thread on a core slows the first.
    """
    if not hasattr(os, "sched_getaffinity"):
        return usable_cores()
    siblings = set()
    for cpu in os.sched_getaffinity(0):
        place = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        try:
            siblings.add(place.read_text().strip())
        except OSError:
            siblings.add(str(cpu))
    return max(1, len(siblings))
