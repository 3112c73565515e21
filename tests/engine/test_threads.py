"""Cores that other programs keep busy are left to them."""

import os
import subprocess
import sys

import pytest

from publicai_edge import host
from publicai_edge.engine.threads import Threads, _processors
from tests.service.conftest import until


class Machine:
    """A clock and the processors' time under a test's control."""

    now = busy = own = web = 0.0

    def clock(self) -> float:
        return self.now

    def read(self) -> tuple[float, float, float]:
        return self.busy, self.own, self.web

    def running(self) -> None:
        return None

    def pass_second(self, *, own: float, others: float, web: float = 0.0) -> None:
        self.now += 1
        self.own += own
        self.web += web
        self.busy += own + web + others


@pytest.mark.parametrize(("others", "expected"), [(0.0, 4), (0.3, 4), (0.9, 3), (1.0, 3), (1.9, 2), (3.8, 1), (9.0, 1)])
def test_a_busy_core_is_left_to_the_others(others: float, expected: int) -> None:
    machine = Machine()
    threads = Threads(4, machine.read, machine.clock, machine.running)
    assert threads.look() == 4
    machine.pass_second(own=4 - min(others, 4), others=others)
    assert threads.look() == expected


def test_own_work_counts_for_nothing_and_the_cores_come_back() -> None:
    machine = Machine()
    threads = Threads(2, machine.read, machine.clock, machine.running)
    threads.look()
    machine.pass_second(own=2.0, others=0.0)
    assert threads.look() == 2
    machine.pass_second(own=1.0, others=1.0)
    assert threads.look() == 1
    machine.pass_second(own=1.0, others=0.0)
    assert threads.look() == 2


@pytest.mark.parametrize(("web", "others", "expected"), [(0.2, 0.5, 2), (0.5, 0.3, 2), (0.5, 0.5, 1), (1.0, 0.0, 1)])
def test_the_web_process_is_pardoned_only_what_passing_answers_on_takes(
    web: float, others: float, expected: int
) -> None:
    """A client that asked for the metrics without a pause, and the web process that told it, left a fiftieth."""
    machine = Machine()
    threads = Threads(2, machine.read, machine.clock, machine.running)
    threads.look()
    machine.pass_second(own=1.0, others=others, web=web)
    assert threads.look() == expected


def test_the_processors_are_not_asked_before_every_evaluation() -> None:
    machine = Machine()
    asked = []

    def read() -> tuple[float, float, float]:
        asked.append(machine.now)
        return machine.read()

    threads = Threads(2, read, machine.clock, machine.running)
    for _ in range(100):
        machine.now += 0.01
        threads.look()
    assert 3 <= len(asked) <= 5


@pytest.mark.parametrize(("running", "expected"), [([0], 2), ([1, 0], 2), ([1, 1, 1], 1), ([5, 3, 1], 1), ([None], 1)])
def test_who_was_busy_in_a_pause_and_is_gone_holds_no_core(running: list[int | None], expected: int) -> None:
    machine = Machine()
    glances = iter(running)
    threads = Threads(2, machine.read, machine.clock, lambda: next(glances))
    threads.look()
    machine.pass_second(own=0.0, others=2.0)
    assert threads.look() == expected
    assert threads.sure == (expected == 2)
    machine.now, machine.own, machine.busy = machine.now + 0.1, machine.own + 0.1, machine.busy + 0.1
    assert threads.look() == 2 and threads.sure


def test_between_evaluations_the_time_alone_tells() -> None:
    machine = Machine()
    threads = Threads(2, machine.read, machine.clock, lambda: 0)
    threads.look()
    machine.now, machine.busy = 0.3, 0.3
    assert threads.look() == 1


def test_who_runs_on_this_machine_can_be_counted() -> None:
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        until(lambda: host.others_running(os.getpid()), "somebody else runs")
        until(lambda: host.others_running(os.getpid(), busy.pid) == 0, "nobody but these two runs")
    finally:
        busy.kill()
        busy.wait()


def test_this_machines_processors_can_be_read() -> None:
    read = _processors()
    first = read()
    for _ in range(3_000_000):
        pass
    second = read()
    assert second[1] > first[1]
    assert second[0] >= first[0]
