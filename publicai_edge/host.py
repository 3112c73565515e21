"""What this machine has: memory, cores, and what a process has used of them."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

MADV_DONTNEED = 4
_ROOT = Path("/")
_BUSY = ("user", "nice", "system", "irq", "softirq")
_CPUS = "sys/devices/system/cpu"
_NO_LIMIT = 1 << 60
_OF_PROCESSOR = ("cpu", "pkg_temp", "coretemp", "k10temp", "zenpower", "soc")
_LEAST_CELSIUS, _MOST_CELSIUS = 0.0, 150.0
# A core below this share of the fastest is a little one. Capacity is the kernel's own measure, and the middle cores of
# a phone's processor count as big; a clock alone hides how much less a little core does in a cycle.
_BIG_CAPACITY, _BIG_CLOCK = 0.6, 0.8


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


def memory_bytes(root: Path = _ROOT) -> tuple[int, int]:
    """Return (total, available) memory in bytes; (0, 0) where the system does not say.

    The limit of the process's control group, or of a group around it, counts as the total where it is lower; what the
    group has used of it, without the file pages that it would give back, is not available.

    Args:
        root: where ``/proc`` and ``/sys`` are looked for.
    """
    info = root / "proc/meminfo"
    if info.exists():
        fields = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
        total = int(fields["MemTotal"].split()[0]) * 1024
        available = int(fields["MemAvailable"].split()[0]) * 1024
        for limit, used in _memory_limits(root):
            total, available = min(total, limit), min(available, max(0, limit - used))
        return total, available
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return total, total
    return 0, 0


def _memory_limits(root: Path) -> Iterator[tuple[int, int]]:
    """Yield (limit, used without file pages) in bytes of each control group around this process that has a limit."""
    for group in _groups(root, "memory"):
        limit = _number(group / "memory.max") or _number(group / "memory.limit_in_bytes")
        if limit is None or limit >= _NO_LIMIT:
            continue
        used = _number(group / "memory.current") or _number(group / "memory.usage_in_bytes") or 0
        counts = dict(line.split()[:2] for line in _text(group / "memory.stat").splitlines() if " " in line)
        prefix = "total_" if "total_inactive_file" in counts else ""  # version 1 counts a group's children apart
        files = sum(int(counts.get(f"{prefix}{kind}_file", 0)) for kind in ("inactive", "active"))
        yield limit, max(0, used - files)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the control groups this process is in, its own first, then those around it.

    Source: cgroups(7). Version 2 has one tree; version 1 has one for each controller.
    """
    base = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        top = base / controller if names else base
        parts = [part for part in path.split("/") if part not in {"", ".."}]
        # In a container the path may be the host's, and the folder seen at the top is the group itself.
        for depth in range(len(parts), -1, -1):
            place = top.joinpath(*parts[:depth])
            if place.is_dir():
                yield place


def cpu_quota(root: Path = _ROOT) -> float | None:
    """Return how many CPUs' worth of time the control groups around this process allow it, or None for no limit."""
    found = []
    for group in _groups(root, "cpu"):
        quota, _, period = _text(group / "cpu.max").strip().partition(" ")
        if not quota:
            quota, period = _text(group / "cpu.cfs_quota_us").strip(), _text(group / "cpu.cfs_period_us").strip()
        if quota.isdigit() and period.isdigit() and int(period):
            found.append(int(quota) / int(period))
    return min(found, default=None)


def processor_celsius(root: Path = _ROOT) -> float | None:
    """Return how warm the processor is, the warmest part of it, in degrees Celsius; None where nobody tells.

    Linux's thermal zones tell it on most machines, AMD's processors and some others by their ``hwmon`` alone. A zone
    counts when its type names the processor; where none does, the warmest of all.

    Source: Linux ``Documentation/driver-api/thermal/sysfs-api.rst`` and ``Documentation/hwmon/sysfs-interface.rst``;
    both count thousandths of a degree.

    Args:
        root: where ``/sys`` is looked for.
    """
    found: dict[bool, list[float]] = {True: [], False: []}
    for zone in (root / "sys/class/thermal").glob("thermal_zone*"):
        kind = _text(zone / "type").strip().lower()
        _add_celsius(found[any(name in kind for name in _OF_PROCESSOR)], zone / "temp")
    for chip in (root / "sys/class/hwmon").glob("hwmon*"):
        if any(name in _text(chip / "name").strip().lower() for name in _OF_PROCESSOR):
            for place in chip.glob("temp*_input"):
                _add_celsius(found[True], place)
    return max(found[True] or found[False], default=None)


def on_battery(root: Path = _ROOT) -> bool:
    """Return whether a battery is being emptied; False where nobody tells.

    Source: Linux ``Documentation/ABI/testing/sysfs-class-power``. A device's own battery (a mouse's) does not count.

    Args:
        root: where ``/sys`` is looked for.
    """
    return any(
        _text(supply / "type").strip() == "Battery"
        and _text(supply / "scope").strip() != "Device"
        and _text(supply / "status").strip() == "Discharging"
        for supply in (root / "sys/class/power_supply").glob("*")
    )


def _add_celsius(found: list[float], place: Path) -> None:
    try:
        degrees = int(_text(place).strip()) / 1000
    except ValueError:
        return
    if _LEAST_CELSIUS < degrees < _MOST_CELSIUS:  # a sensor that is not there tells -274, 0 or 255
        found.append(degrees)


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
    return _physical(_ROOT, os.sched_getaffinity(0))


def big_cores(root: Path = _ROOT, usable: Iterable[int] | None = None) -> int:
    """Return the usable physical cores of the fast kind; all of them where the processor has one kind only.

    Threads of one evaluation wait for the slowest among them, so a little core slows the big ones down.

    Args:
        root: where ``/sys`` is looked for.
        usable: numbers of the CPUs that may be used; by default those this process may run on.

    Source: Linux's ``Documentation/ABI/testing/sysfs-devices-system-cpu`` (``cpu_capacity``, ``cpufreq``), and the
    ``cpu_core`` and ``cpu_atom`` event sources of Intel's hybrid processors.
    """
    if usable is None:
        if not hasattr(os, "sched_getaffinity"):
            return usable_cores()
        usable = os.sched_getaffinity(0)
    return _physical(root, _big(root, set(usable)))


def _big(root: Path, usable: set[int]) -> set[int]:
    performance = _cpu_list(_text(root / "sys/devices/cpu_core/cpus"))
    if performance and _text(root / "sys/devices/cpu_atom/cpus").strip():
        return usable & performance or usable
    for name, share in (("cpu_capacity", _BIG_CAPACITY), ("cpufreq/cpuinfo_max_freq", _BIG_CLOCK)):
        speeds = {cpu: _number(root / _CPUS / f"cpu{cpu}" / name) for cpu in usable}
        known = {cpu: speed for cpu, speed in speeds.items() if speed}
        if len(known) == len(usable) and len(set(known.values())) > 1:
            fastest = max(known.values())
            return {cpu for cpu, speed in known.items() if speed >= fastest * share}
    return usable


def _physical(root: Path, cpus: Iterable[int]) -> int:
    siblings = set()
    for cpu in cpus:
        place = root / _CPUS / f"cpu{cpu}/topology/thread_siblings_list"
        siblings.add(_text(place).strip() or str(cpu))
    return max(1, len(siblings))


def _cpu_list(text: str) -> set[int]:
    """Read a list of CPUs as Linux writes it: ``0-7,16``."""
    found: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            found.update(range(int(first), int(last or first) + 1))
    return found


def _number(place: Path) -> int | None:
    text = _text(place).strip()
    return int(text) if text.isdigit() else None


def _text(place: Path) -> str:
    """Return a file's text; "" where it is not there or cannot be read."""
    try:
        return place.read_text()
    except OSError:
        return ""


def process_seconds(pid: int) -> float:
    """Return the seconds of processor time that a process took; none if it has ended, or may not be looked at."""
    import psutil

    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def processor_time(*pids: int, stolen: bool = False) -> Callable[[], tuple[float, float]]:
    """Return what reads the seconds that the usable processors were busy, and those of them that these processes took.

    Both are since some start of their own, so that only differences tell anything; the system counts in hundredths.

    Args:
        pids: the processes; one that has ended, or may not be looked at, has taken none.
        stolen: whether time that a virtual machine's host gave to others counts as busy.
    """
    import psutil

    kinds = (*_BUSY, "steal") if stolen else _BUSY
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None

    def read() -> tuple[float, float]:
        busy = 0.0
        for number, times in enumerate(psutil.cpu_times(percpu=True)):
            if usable is None or number in usable:
                busy += sum(getattr(times, name, 0.0) for name in kinds)
        return busy, sum(map(process_seconds, pids))

    return read


def others_running(*ours: int) -> int | None:
    """Return how many threads, those of these processes left out, run or are ready to at this moment.

    Linux counts all for the whole machine, in ``procs_running`` of /proc/stat, and tells each thread's state in
    /proc/PID/task/TID/stat; None where nobody tells.
    """
    try:
        text = Path("/proc/stat").read_bytes()
    except OSError:
        return None
    _, found, rest = text.partition(b"procs_running ")
    return max(0, int(rest.split(maxsplit=1)[0]) - sum(map(_running_threads, ours))) if found else None


def _running_threads(pid: int) -> int:
    """Return how many threads of a process run or are ready to; none of a process that is gone."""
    count = 0
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            state = stat.read_bytes().rpartition(b") ")[2]
        except OSError:  # it ended meanwhile
            continue
        count += state.startswith(b"R")
    return count


def advise_mapped(choose: Callable[[str, str], int | None]) -> None:
    """Advise the system about the files mapped into this process's memory; does nothing where there is no such call.

    Args:
        choose: given an area's permissions ("r--s") and the file's path, what to advise (``MADV_…`` of Linux's mman.h),
            or None.
    """
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    madvise = ctypes.CDLL(None, use_errno=True).madvise
    for line in Path("/proc/self/maps").read_text().splitlines():
        area, permissions, *rest = line.split(maxsplit=5)
        if len(rest) == 4 and (advice := choose(permissions, rest[-1])) is not None:  # noqa: PLR2004 - the path is last
            start, end = (int(part, 16) for part in area.split("-"))
            madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), advice)


def release_mapped(path: Path) -> None:
    """Drop this process's pages of a file that is mapped for reading; they stay in the system's cache, and come back.

    A page that is backed by the file and was never written to: dropping it can lose nothing.
    """
    name = str(path.resolve())
    advise_mapped(lambda permissions, mapped: MADV_DONTNEED if mapped == name and "w" not in permissions else None)


def refuse_core_files() -> None:
    """Let the system write no core file of this process and its children: it would hold what patrons typed.

    The limit is one byte, not none: Linux then also refuses to pipe the memory to a program that collects crashes,
    which a limit of 0 does not keep it from (``fs/coredump.c``). A limit that is 0 for good stays.
    """
    if sys.platform == "win32":
        return
    import resource

    most = 0 if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0 else 1
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))
