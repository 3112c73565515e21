"""Work of a model that is loaded on demand, for patrons: off the event loop, one request at a time.

Invariants: at most so many requests wait or are worked on; one whose patron has gone is not worked on any further: the
process is ended, with all that it holds.
"""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from publicai_edge.engine.ondemand.client import OnDemand
from publicai_edge.errors import OverloadedError
from publicai_edge.scrub import scrub_thread

P = ParamSpec("P")
T = TypeVar("T")

MOST_WAITING = 4
_SECONDS_PER_WAITING = 3


class Serial:
    """Asks a process, for one patron after the other.

    Args:
        process: is asked.
        name: of the thread that waits for it.
    """

    def __init__(self, process: OnDemand, name: str) -> None:
        self._process = process
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._waiting = 0

    @property
    def pids(self) -> tuple[int, ...]:
        """The process, while it runs."""
        pid = self._process.pid
        return () if pid is None else (pid,)

    async def do(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a call of the process returns; cancel it to end the work.

        Raises:
            OverloadedError: too many requests wait.
            EngineError: the model cannot be loaded, or fails.
        """
        if self._waiting >= MOST_WAITING:
            raise OverloadedError(
                f"{self._waiting} requests are waiting already.",
                hint="Try again in a moment.",
                retry_after=_SECONDS_PER_WAITING * self._waiting,
            )
        self._waiting += 1
        work = self._thread.submit(call, *args, **kwargs)
        try:
            return await asyncio.wrap_future(work)
        finally:
            self._waiting -= 1
            if work.running():
                self._process.stop()

    def scrub(self) -> None:
        """Have the thread that asks, and the process that is asked, overwrite what they have let go."""
        with contextlib.suppress(RuntimeError):  # it has been let go
            self._thread.submit(self._scrub)

    def _scrub(self) -> None:
        self._process.scrub()
        scrub_thread()

    def close(self) -> None:
        """End the process; a request under way ends with it."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._process.close()
