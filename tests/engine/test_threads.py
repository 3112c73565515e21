"""Cores that other programs keep busy are left to them."""

import pytest

from publicai_edge.engine.threads import Threads, _processors


class Machine:
    """A clock and the processors' time under a test's control."""

    now = busy = own = 0.0

    def clock(self) -> float:
        return self.now

    def read(self) -> tuple[float, float]:
        return self.busy, self.own

    def pass_second(self, *, own: float, others: float) -> None:
        self.now += 1
        self.own += own
        self.busy += own + others


@pytest.mark.parametrize(("others", "expected"), [(0.0, 4), (0.3, 4), (0.9, 3), (1.0, 3), (1.9, 2), (3.8, 1), (9.0, 1)])
def test_a_busy_core_is_left_to_the_others(others: float, expected: int) -> None:
    machine = Machine()
    threads = Threads(4, machine.read, machine.clock)
    assert threads.look() == 4
    machine.pass_second(own=4 - min(others, 4), others=others)
    assert threads.look() == expected


def test_own_work_counts_for_nothing_and_the_cores_come_back() -> None:
    machine = Machine()
    threads = Threads(2, machine.read, machine.clock)
    threads.look()
    machine.pass_second(own=2.0, others=0.0)
    assert threads.look() == 2
    machine.pass_second(own=1.0, others=1.0)
    assert threads.look() == 1
    machine.pass_second(own=1.0, others=0.0)
    assert threads.look() == 2


def test_the_processors_are_not_asked_before_every_evaluation() -> None:
    machine = Machine()
    asked = []

    def read() -> tuple[float, float]:
        asked.append(machine.now)
        return machine.read()

    threads = Threads(2, read, machine.clock)
    for _ in range(100):
        machine.now += 0.01
        threads.look()
    assert 3 <= len(asked) <= 5


def test_this_machines_processors_can_be_read() -> None:
    read = _processors()
    first = read()
    for _ in range(3_000_000):
        pass
    second = read()
    assert second[1] > first[1]
    assert second[0] >= first[0]
