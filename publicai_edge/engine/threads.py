"""How many threads to evaluate with, by what else is busy on the same cores.

An evaluation's threads meet at a barrier after every operation. When another program takes one of their cores, all wait
for the thread that it pushed aside, and the speed collapses: with SmolLM2-135M on two cores, one of them taken, two
threads gave 34 tokens a second and one thread 79. So the processors' time is looked at a few times a second, and a core
that others keep busy is left to them.

After a pause, that time tells of the pause: what kept a core busy may have ended with it. So then a core is left to
others only if somebody runs at that moment as well, and the next look comes soon.
"""

import math
import os
import time
from collections.abc import Callable

from publicai_edge import host

_EVERY_SECONDS = 0.25
_SOON_SECONDS = 0.08  # the system counts in hundredths
_PAUSE_SECONDS = 0.5
_GLANCES, _BETWEEN_SECONDS = 3, 0.001  # whoever merely passed a message on is gone at one of them
_TAKEN = 0.6  # a core that others use for this share of the time is theirs
_PASSING_ON = 0.25  # the web process needs no more of a core to pass answers on: a twentieth for four patrons


def threads_on_this_machine() -> int:
    """Return the number of threads on an idle machine: fast cores, each once, within the container's share of time."""
    cores = host.big_cores()
    quota = host.cpu_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


class Threads:
    """The number of threads to use now.

    Attributes:
        now: that number.
        sure: False while it was found from a pause alone; then the next evaluation should be short, and look again.

    Args:
        most: threads on an idle machine.
        read: returns seconds since some start: that the usable cores were busy, that we ourselves used, and that the
            web process used.
        clock: seconds.
        running: returns how many threads of others run at this moment; None where the system does not say.
    """

    def __init__(
        self,
        most: int,
        read: Callable[[], tuple[float, float, float]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        running: Callable[[], int | None] | None = None,
    ) -> None:
        self._most = most
        self._read = read or _processors()
        self._clock = clock
        self._running = running or _others_running
        self._seen: tuple[float, float, float, float] | None = None
        self.now = most
        self.sure = True

    def look(self) -> int:
        """Return the number of threads; cheap enough to ask before every evaluation."""
        at = self._clock()
        if self._seen and at - self._seen[0] < (_EVERY_SECONDS if self.sure else _SOON_SECONDS):
            return self.now
        reading = (at, *self._read())
        if self._seen:
            elapsed, busy, own, web = (new - old for new, old in zip(reading, self._seen, strict=True))
            # That it has work because answers are written is no reason to write slower; whatever else it does, is.
            passing_on = min(web, _PASSING_ON * elapsed)
            others = max(0.0, busy - own - passing_on) / elapsed
            taken = int(others + 1 - _TAKEN)
            if taken > 0 and elapsed > _PAUSE_SECONDS:
                taken = self._still_taken(taken)
                self.sure = taken == 0
            else:
                self.sure = True
            self.now = max(1, self._most - taken)
        self._seen = reading
        return self.now

    def _still_taken(self, most: int) -> int:
        """Return how many cores others are using now, up to ``most``."""
        for glance in range(_GLANCES):
            if glance:
                time.sleep(_BETWEEN_SECONDS)
            now = self._running()
            if now is None:
                break
            most = min(most, now)
            if not most:
                break
        return most


def _others_running() -> int | None:
    # Just after a pause, the web process passes requests on and a thread of ours turns them into tokens.
    return host.others_running(os.getpid(), os.getppid())


def _processors() -> Callable[[], tuple[float, float, float]]:
    own, web = os.getpid(), os.getppid()  # the web process is the worker's parent
    read = host.processor_time(own)
    return lambda: (*read(), host.process_seconds(web))
