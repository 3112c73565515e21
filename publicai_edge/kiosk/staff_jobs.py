"""Work on documents in the background: one piece at a time, in a thread of its own, each shown as a job."""

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from publicai_edge.kiosk.guard import describe
from publicai_edge.progress import Silent, Task, Unit

_LOG = logging.getLogger("publicai_edge.kiosk")
_TOLD = 50

State = Literal["waiting", "reading", "indexing", "erasing", "done", "erased", "failed"]
ENDED = ("done", "erased", "failed")


@dataclass
class Job:
    """One document on its way in or out; ``code`` says why it failed, ``detail`` in the reader's own words."""

    number: int
    name: str
    state: State = "waiting"
    done: int = 0
    total: int = 0
    passages: int = 0
    code: str = ""
    detail: str = ""
    title: str = ""


class Jobs:
    """The last jobs, and the thread that does them."""

    def __init__(self) -> None:
        self._jobs: list[Job] = []
        self._count = 0
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._worker: threading.Thread | None = None
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many are not over."""
        return sum(job.state not in ENDED for job in self._jobs)

    def drop(self, title: str) -> None:
        """Tell no more of what is over with a document of this title."""
        with self._lock:
            self._jobs = [job for job in self._jobs if job.title != title or job.state not in ENDED]

    def begin(self, name: str, work: Callable[[Job], None]) -> Job:
        """Have a job done after those before it."""
        with self._lock:
            self._count += 1
            job = Job(self._count, name)
            self._jobs = [*self._jobs, job][-_TOLD:]
        self.submit(lambda: work(job))
        return job

    def submit(self, work: Callable[[], None]) -> None:
        """Have something done that is not shown."""
        self._work.put(work)
        with self._lock:
            if self._worker is None:
                self._worker = threading.Thread(target=self._run, name="additions", daemon=True)
                self._worker.start()

    def to_json(self) -> list[dict[str, Any]]:
        """Return the last jobs, as the page shows them."""
        return [vars(job).copy() for job in self._jobs]

    def close(self) -> None:
        """Begin nothing more."""
        self._work.put(None)

    def _run(self) -> None:
        while work := self._work.get():
            try:
                work()
            except Exception as error:  # noqa: BLE001 - the thread goes on with the next one
                _LOG.error("Work on the documents failed: %s", describe(error))


class JobProgress(Silent):
    """Shows a child's work on one document in its job.

    Args:
        job: where it is shown.
        source: of the document; the child's other tasks are not shown.
    """

    def __init__(self, job: Job, source: str) -> None:
        self._job = job
        self._source = source

    def task(self, label: str, *, total: int | None = None, unit: Unit = "items") -> Task:
        """Open a task; only that of the job's own document is shown."""
        return _JobTask(self._job, total or 0) if self._source == label else Task()


class _JobTask(Task):
    def __init__(self, job: Job, total: int) -> None:
        self._job = job
        job.state, job.done, job.total = "indexing", 0, total

    def advance(self, amount: int) -> None:
        self._job.done += amount
