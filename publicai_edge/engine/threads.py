"""How many threads to evaluate with, by what else is busy on the same cores.

An evaluation's threads meet at a barrier after every operation. When another program takes one of their cores, all wait
for the thread that it pushed aside, and the speed collapses: with SmolLM2-135M on two cores, one of them taken, two
threads gave 34 tokens a second and one thread 79. So the processors' time is looked at a few times a second, and a core
that others keep busy is left to them.
"""

import math
import os
import time
from collections.abc import Callable

from publicai_edge import host

_EVERY_SECONDS = 0.25
_TAKEN = 0.6  # a core that others use for this share of the time is theirs


def threads_on_this_machine() -> int:
    """Return the number of threads on an idle machine: fast cores, each once, within the container's share of time."""
    cores = host.big_cores()
    quota = host.cpu_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


class Threads:
    """The number of threads to use now.

    Args:
        most: threads on an idle machine.
        read: returns seconds since some start, that the usable cores were busy and that we ourselves used.
        clock: seconds.
    """

    def __init__(
        self,
        most: int,
        read: Callable[[], tuple[float, float]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._read = read or _processors()
        self._clock = clock
        self._seen: tuple[float, float, float] | None = None
        self.now = most

    def look(self) -> int:
        """Return the number of threads; cheap enough to ask before every evaluation."""
        at = self._clock()
        if self._seen and at - self._seen[0] < _EVERY_SECONDS:
            return self.now
        busy, own = self._read()
        if self._seen:
            elapsed = at - self._seen[0]
            others = max(0.0, (busy - self._seen[1]) - (own - self._seen[2])) / elapsed
            taken = int(others + 1 - _TAKEN)
            self.now = max(1, self._most - taken)
        self._seen = (at, busy, own)
        return self.now


def _processors() -> Callable[[], tuple[float, float]]:
    # The web process is the worker's parent: it has work because answers are written, and is no reason to write slower.
    return host.processor_time(os.getpid(), os.getppid())
