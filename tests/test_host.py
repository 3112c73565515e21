"""What is read of the machine: control groups of both versions, and processors with cores of two kinds."""

import sys
from pathlib import Path

import pytest

from publicai_edge import host

MIB = 1 << 20


def machine(root: Path, files: dict[str, object]) -> Path:
    """Write files of ``/proc`` and ``/sys`` below a folder."""
    for name, content in files.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{content}\n")
    return root


def meminfo(total: int, available: int) -> dict[str, object]:
    text = f"MemTotal:       {total * 1024} kB\nMemFree:  1 kB\nMemAvailable:   {available * 1024} kB"
    return {"proc/meminfo": text}


def test_this_machine_is_read_without_error() -> None:
    total, available = host.memory_bytes()
    assert 0 < available <= total
    assert 1 <= host.big_cores() <= host.physical_cores() <= host.usable_cores()
    quota = host.cpu_quota()
    assert quota is None or quota > 0


def test_memory_without_a_control_group_is_the_machines(tmp_path: Path) -> None:
    root = machine(tmp_path, meminfo(8000, 5000))
    assert host.memory_bytes(root) == (8000 * MIB, 5000 * MIB)


def test_memory_limit_of_a_group_counts_what_it_has_used_but_not_the_file_pages_it_would_give_back(
    tmp_path: Path,
) -> None:
    group = "sys/fs/cgroup/system.slice/kiosk.service"
    root = machine(
        tmp_path,
        {
            **meminfo(8000, 5000),
            "proc/self/cgroup": "0::/system.slice/kiosk.service",
            f"{group}/memory.max": 1000 * MIB,
            f"{group}/memory.current": 700 * MIB,
            f"{group}/memory.stat": f"anon {300 * MIB}\ninactive_file {250 * MIB}\nactive_file {150 * MIB}",
        },
    )
    assert host.memory_bytes(root) == (1000 * MIB, 700 * MIB)


def test_limit_of_a_group_further_out_holds_too(tmp_path: Path) -> None:
    outer = "sys/fs/cgroup/library.slice"
    root = machine(
        tmp_path,
        {
            **meminfo(8000, 5000),
            "proc/self/cgroup": "0::/library.slice/kiosk.service",
            f"{outer}/kiosk.service/memory.max": "max",
            f"{outer}/memory.max": 2000 * MIB,
            f"{outer}/memory.current": 1900 * MIB,
            f"{outer}/kiosk.service/cpu.max": "max 100000",
            f"{outer}/cpu.max": "150000 100000",
        },
    )
    assert host.memory_bytes(root) == (2000 * MIB, 100 * MIB)
    assert host.cpu_quota(root) == 1.5


def test_group_path_of_the_host_seen_in_a_container_falls_back_to_the_top(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        {
            **meminfo(8000, 5000),
            "proc/self/cgroup": "0::/../../docker/abc",
            "sys/fs/cgroup/memory.max": 500 * MIB,
            "sys/fs/cgroup/memory.current": 100 * MIB,
            "sys/fs/cgroup/cpu.max": "200000 100000",
        },
    )
    assert host.memory_bytes(root) == (500 * MIB, 400 * MIB)
    assert host.cpu_quota(root) == 2.0


def test_groups_of_version_1_are_read_by_controller(tmp_path: Path) -> None:
    memory = "sys/fs/cgroup/memory/kiosk"
    root = machine(
        tmp_path,
        {
            **meminfo(8000, 5000),
            "proc/self/cgroup": "5:cpu,cpuacct:/kiosk\n4:memory:/kiosk\n1:name=systemd:/kiosk",
            f"{memory}/memory.limit_in_bytes": 1000 * MIB,
            f"{memory}/memory.usage_in_bytes": 600 * MIB,
            f"{memory}/memory.stat": f"inactive_file 1\ntotal_inactive_file {100 * MIB}\ntotal_active_file 0",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": 9223372036854771712,
            "sys/fs/cgroup/cpu/kiosk/cpu.cfs_quota_us": 50000,
            "sys/fs/cgroup/cpu/kiosk/cpu.cfs_period_us": 100000,
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": -1,
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": 100000,
        },
    )
    assert host.memory_bytes(root) == (1000 * MIB, 500 * MIB)
    assert host.cpu_quota(root) == 0.5


@pytest.mark.parametrize("content", ["max 100000", "", "nonsense", "100000 0"])
def test_no_quota_is_none(tmp_path: Path, content: str) -> None:
    root = machine(tmp_path, {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": content})
    assert host.cpu_quota(root) is None


def cpus(numbers: range, name: str, value: int) -> dict[str, object]:
    return {f"sys/devices/system/cpu/cpu{cpu}/{name}": value for cpu in numbers}


def test_big_cores_of_a_phones_processor_are_found_by_capacity(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        {
            **cpus(range(4), "cpu_capacity", 325),
            **cpus(range(4, 7), "cpu_capacity", 828),
            **cpus(range(7, 8), "cpu_capacity", 1024),
        },
    )
    assert host.big_cores(root, range(8)) == 4
    assert host.big_cores(root, range(4)) == 4  # pinned to the little ones: they are all there is
    assert host.big_cores(root, {2, 3, 4}) == 1


def test_big_cores_are_found_by_clock_where_the_kernel_gives_no_capacity(tmp_path: Path) -> None:
    clock = "cpufreq/cpuinfo_max_freq"
    root = machine(tmp_path, {**cpus(range(2), clock, 2_400_000), **cpus(range(2, 6), clock, 1_800_000)})
    assert host.big_cores(root, range(6)) == 2


def test_cores_that_differ_a_little_are_all_big(tmp_path: Path) -> None:
    clock = "cpufreq/cpuinfo_max_freq"
    root = machine(tmp_path, {**cpus(range(2), clock, 5_800_000), **cpus(range(2, 8), clock, 5_500_000)})
    assert host.big_cores(root, range(8)) == 8


def test_big_cores_of_a_hybrid_processor_are_its_performance_cores_each_once(tmp_path: Path) -> None:
    siblings = {
        f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list": f"{cpu // 2 * 2}-{cpu // 2 * 2 + 1}"
        for cpu in range(8)
    }
    lone = {f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list": cpu for cpu in range(8, 16)}
    root = machine(
        tmp_path,
        {"sys/devices/cpu_core/cpus": "0-7", "sys/devices/cpu_atom/cpus": "8-15", **siblings, **lone},
    )
    assert host.big_cores(root, range(16)) == 4
    assert host.big_cores(root, range(8, 16)) == 8


def test_processor_that_says_nothing_has_one_kind_of_core(tmp_path: Path) -> None:
    assert host.big_cores(tmp_path, range(3)) == 3


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="madvise")
def test_pages_of_a_mapped_file_are_given_back_and_come_back(tmp_path: Path) -> None:
    import mmap

    path = tmp_path / "weights"
    path.write_bytes(b"\x07" * (8 << 20))

    def resident() -> int:
        found = 0
        lines = Path("/proc/self/smaps").read_text().splitlines()
        for number, line in enumerate(lines):
            if line.endswith(str(path)):
                rss = next(item for item in lines[number:] if item.startswith("Rss:"))
                found += int(rss.split()[1]) * 1024
        return found

    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[::4096]) > 0
        assert resident() > 7 << 20
        host.release_mapped(path)
        assert resident() < 1 << 20
        assert mapped[5_000_000] == 7


SYS = "sys/class/thermal/thermal_zone"


@pytest.mark.parametrize(
    ("files", "celsius"),
    [
        ({}, None),
        (
            {f"{SYS}0/type": "x86_pkg_temp", f"{SYS}0/temp": 61500, f"{SYS}1/type": "acpitz", f"{SYS}1/temp": 90000},
            61.5,
        ),
        ({f"{SYS}0/type": "cpu-thermal", f"{SYS}0/temp": 48312}, 48.312),
        ({f"{SYS}0/type": "acpitz", f"{SYS}0/temp": 27800, f"{SYS}1/type": "iwlwifi", f"{SYS}1/temp": 40000}, 40.0),
        ({f"{SYS}0/type": "cpu0", f"{SYS}0/temp": 40000, f"{SYS}1/type": "cpu1", f"{SYS}1/temp": 44000}, 44.0),
        ({f"{SYS}0/type": "cpu", f"{SYS}0/temp": -274000, f"{SYS}1/type": "cpu", f"{SYS}1/temp": "N/A"}, None),
        ({"sys/class/hwmon/hwmon3/name": "k10temp", "sys/class/hwmon/hwmon3/temp1_input": 55125}, 55.125),
        ({"sys/class/hwmon/hwmon0/name": "nvme", "sys/class/hwmon/hwmon0/temp1_input": 70000}, None),
        ({f"{SYS}0/type": "cpu"}, None),
    ],
)
def test_how_warm_the_processor_is_comes_from_what_names_it(
    tmp_path: Path, files: dict[str, object], celsius: float | None
) -> None:
    assert host.processor_celsius(machine(tmp_path, files)) == celsius


SUPPLY = "sys/class/power_supply/"


@pytest.mark.parametrize(
    ("files", "emptied"),
    [
        ({}, False),
        ({f"{SUPPLY}BAT0/type": "Battery", f"{SUPPLY}BAT0/status": "Discharging"}, True),
        ({f"{SUPPLY}BAT0/type": "Battery", f"{SUPPLY}BAT0/status": "Charging"}, False),
        ({f"{SUPPLY}AC/type": "Mains", f"{SUPPLY}AC/status": "Discharging"}, False),
        (
            {
                f"{SUPPLY}mouse/type": "Battery",
                f"{SUPPLY}mouse/scope": "Device",
                f"{SUPPLY}mouse/status": "Discharging",
            },
            False,
        ),
    ],
)
def test_a_machine_is_on_battery_when_its_own_is_emptied(
    tmp_path: Path, files: dict[str, object], emptied: bool
) -> None:
    assert host.on_battery(machine(tmp_path, files)) == emptied
