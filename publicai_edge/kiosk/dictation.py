"""The bundle's speech model for patrons: loaded when somebody speaks, run off the event loop, one recording at a time.

Invariants: at most :data:`MOST_WAITING` recordings wait or are written down; one whose patron has gone is not written
down any further: the process that does it is ended, with all that it holds; no error says what was said.
"""

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor

from publicai_edge.bundle.open import Bundle
from publicai_edge.engine.speech import SAMPLE_BYTES, SAMPLE_RATE
from publicai_edge.engine.speech.recognizer import Recognizer
from publicai_edge.errors import OverloadedError
from publicai_edge.scrub import scrub_thread

MOST_WAITING = 4
_SECONDS_PER_WAITING = 3


class Dictation:
    """Writes down what patrons say.

    Args:
        recognizer: asks the speech model.
        languages: those of the bundle's languages that it knows.
        seconds: longest recording.
    """

    def __init__(self, recognizer: Recognizer, languages: tuple[str, ...], seconds: int) -> None:
        self._recognizer = recognizer
        self.languages = languages
        self.seconds = seconds
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dictation")
        self._waiting = 0

    @staticmethod
    def of(bundle: Bundle) -> "Dictation | None":
        """Return that of a bundle, or None where it has none; nothing is loaded yet."""
        info, folder = bundle.manifest.dictation, bundle.dictation_path
        return Dictation(Recognizer(folder), info.languages, info.max_seconds) if info and folder else None

    @property
    def most_bytes(self) -> int:
        """Bytes of the longest recording."""
        return self.seconds * SAMPLE_RATE * SAMPLE_BYTES

    @property
    def pids(self) -> tuple[int, ...]:
        """The process that writes down what is said, while it runs."""
        pid = self._recognizer.pid
        return () if pid is None else (pid,)

    async def write_down(self, recording: bytes, language: str) -> str:
        """Return what is said in a recording, "" where nobody speaks; cancel it to end the work.

        Raises:
            OverloadedError: too many recordings wait.
            EngineError: the model cannot be loaded, or fails.
        """
        if self._waiting >= MOST_WAITING:
            raise OverloadedError(
                f"{self._waiting} recordings are waiting already.",
                hint="Try again in a moment.",
                retry_after=_SECONDS_PER_WAITING * self._waiting,
            )
        self._waiting += 1
        work = self._thread.submit(self._recognizer.write_down, recording, language)
        try:
            return await asyncio.wrap_future(work)
        finally:
            self._waiting -= 1
            if work.running():
                self._recognizer.stop()

    def scrub(self) -> None:
        """Have the thread that asks, and the process that is asked, overwrite what they have let go."""
        with contextlib.suppress(RuntimeError):  # it has been let go
            self._thread.submit(self._scrub)

    def _scrub(self) -> None:
        self._recognizer.scrub()
        scrub_thread()

    def close(self) -> None:
        """End the process; a recording under way ends with it."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._recognizer.close()
