"""What is read of a machine, on made-up ones and on this one; and energy, limits and neighbours."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from publicai_edge import host
from publicai_edge.bench import energy, machine
from publicai_edge.bench.limits import Limits
from publicai_edge.bench.machine import watched

PI = "processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd asimddp crc32\n\nModel\t\t: Raspberry Pi 5 Model B\n"
PC = "processor\t: 0\nmodel name\t: Example N100\nflags\t\t: fpu avx2 fma hypervisor\n"


def put(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return root


def test_a_pc_and_a_pi_are_told_by_what_they_say(tmp_path: Path) -> None:
    pc = machine.facts(put(tmp_path / "pc", {"proc/cpuinfo": PC, "sys/devices/system/cpu/cpufreq/boost": "1\n"}))
    assert (pc["cpu"], pc["features"], pc["boost"]) == ("Example N100", ["avx2", "fma"], "1")
    assert pc["virtual"] is True
    governor = {"proc/cpuinfo": PI, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n"}
    pi = machine.facts(put(tmp_path / "pi", governor))
    assert (pi["cpu"], pi["features"], pi["governor"]) == ("Raspberry Pi 5 Model B", ["asimd", "asimddp"], "ondemand")
    assert "virtual" not in pi


def test_nothing_that_names_the_owner_is_told() -> None:
    import getpass
    import socket

    told = repr(machine.facts())
    # As a word: the name of a container may be a few letters that stand in any text.
    assert socket.gethostname() not in re.findall(r"[\w.-]+", told)
    assert f"'{getpass.getuser()}'" not in told


def test_heat_is_counted_where_it_is_told(tmp_path: Path) -> None:
    assert machine.throttled(tmp_path) is None
    counts = {f"sys/devices/system/cpu/cpu{i}/thermal_throttle/core_throttle_count": f"{i + 1}\n" for i in range(3)}
    assert machine.throttled(put(tmp_path / "pc", counts)) == 6
    firmware = "sys/devices/platform/soc/soc:firmware/get_throttled"
    assert machine.throttled(put(tmp_path / "pi", {firmware: "50005\n"})) == 5
    assert machine.throttled(put(tmp_path / "odd", {firmware: "what\n"})) is None


@pytest.mark.parametrize(("busy", "own", "disturbed"), [(0.5, 0.5, False), (0.55, 0.5, False), (0.9, 0.5, True)])
def test_what_others_take_is_what_was_busy_less_ones_own(
    monkeypatch: pytest.MonkeyPatch, busy: float, own: float, disturbed: bool
) -> None:
    readings = iter([(100.0, 10.0), (100.0 + busy, 10.0 + own)])
    times = iter([5.0, 6.0])
    monkeypatch.setattr(machine.host, "processor_time", lambda *_pids, **_more: lambda: next(readings))
    monkeypatch.setattr(machine.time, "perf_counter", lambda: next(times))
    with watched() as others:
        pass
    assert others.share == pytest.approx(busy - own)
    assert others.disturbed is disturbed


def test_a_workers_time_is_read_as_ones_own() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as worker:
        try:
            alone, both = host.processor_time(os.getpid()), host.processor_time(os.getpid(), worker.pid)
            before = alone(), both()
            ends = time.monotonic() + 60  # on a busy machine the worker's turn comes late
            while True:
                time.sleep(0.1)
                after = alone(), both()
                own = after[1][1] - before[1][1] - (after[0][1] - before[0][1])
                if own > 0.2 or time.monotonic() > ends:
                    break
        finally:
            worker.kill()
    assert after[0][0] - before[0][0] > 0.2, "the processors were busy"
    assert own > 0.2


def test_energy_is_told_or_said_why_not(tmp_path: Path) -> None:
    meter, told = energy.meter(tmp_path)
    assert meter is None
    assert "no RAPL counters" in told
    place = "sys/class/powercap/intel-rapl:0"
    files = {f"{place}/energy_uj": "990000\n", f"{place}/max_energy_range_uj": "1000000\n"}
    put(tmp_path, files | {"sys/class/powercap/intel-rapl:0:0/energy_uj": "5\n"})
    meter, told = energy.meter(tmp_path)
    assert meter
    assert "RAPL" in told
    before = meter.read()
    assert len(before) == 1, "a package's parts are in the package"
    (tmp_path / place / "energy_uj").write_text("995000\n")
    assert meter.joules(before) == pytest.approx(0.005)
    (tmp_path / place / "energy_uj").write_text("10000\n")
    assert meter.joules(before) == pytest.approx(0.02), "the counter has begun anew"


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_energy_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    place = tmp_path / "sys/class/powercap/intel-rapl:0/energy_uj"
    put(tmp_path, {str(place.relative_to(tmp_path)): "1\n"})
    place.chmod(0)
    assert "superuser" in energy.meter(tmp_path)[1]


def test_without_the_library_a_gpus_energy_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    meter, told = energy.gpu_meter()
    assert meter is None
    assert "nvidia-ml-py is not installed" in told


def test_limits_are_those_of_a_machine_of_this_century() -> None:
    limits = Limits(1)
    assert 0.5 < limits.bandwidth() < 2000
    assert 0.5 < limits.peak() < 100_000
