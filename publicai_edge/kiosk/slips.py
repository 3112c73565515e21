"""Slips "This answer is wrong": what a patron tells the staff of an answer, kept on the kiosk until they take it.

Invariants: a slip holds no name, no session, no address and no time but the day, and neither do the file's own time nor
the order of the slips of a day; the question is in it only where the patron ticked that, and the patron's own words
only where the recipe allows them; there are never more than :data:`MOST` slips, nor more bytes than :data:`MOST_BYTES`;
what is full stays as it is, and takes no more. What cannot be kept is told, and nothing of it is written elsewhere.

The pace is bounded for the kiosk as a whole: to bound it for each patron, one would have to know them.
"""

import contextlib
import json
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from publicai_edge import atomic
from publicai_edge.errors import HostError

FILE = "slips.jsonl"
MOST = 1000
MOST_BYTES = 2 << 20
MOST_PASSAGES = 8
MOST_WORDS_LETTERS = 400
BURST = 5
SECONDS_A_SLIP = 12.0

REASONS = {
    "wrong": "What it says is not right",
    "outdated": "It is out of date",
    "passages": "The passages do not fit the question",
    "missing": "It should have been found",
    "unclear": "It is hard to understand",
    "other": "Something else",
}
"""The reasons that a patron chooses from, as the staff read them; the page has its own words for them."""


class SlipsFullError(Exception):
    """There is no room for another slip."""


class TooManySlipsError(Exception):
    """Slips come too fast; ``seconds`` is when to try again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@dataclass(frozen=True)
class Cited:
    """A passage that the answer was given with."""

    source: str
    page: int | None = None
    heading: str = ""


@dataclass(frozen=True)
class Slip:
    """What one slip holds beside its day; ``question`` and ``words`` are None unless the patron gave them."""

    service: str
    language: str
    reason: str
    passages: tuple[Cited, ...] = ()
    question: str | None = None
    words: str | None = None


class Slips:
    """The slips of a kiosk, in a folder that outlives updates.

    Args:
        folder: the kiosk's own folder for state; made when the first slip comes.
        today: the day, by this machine's clock.
        clock: monotonic seconds.
    """

    def __init__(
        self, folder: Path, today: Callable[[], date] = date.today, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder
        self._today = today
        self._clock = clock
        self._one_at_a_time = threading.Lock()
        self._left, self._counted = float(BURST), clock()

    @property
    def place(self) -> Path:
        """The file."""
        return self._folder / FILE

    def count(self) -> int | None:
        """Return how many there are; None where that cannot be told."""
        try:
            return len(self._lines())
        except HostError:
            return None

    def read(self) -> list[dict[str, Any]]:
        """Return all slips, oldest day first.

        Raises:
            HostError: they cannot be read.
        """
        return [json.loads(line) for line in self._lines()]

    def may_come(self) -> None:
        """Count a slip that is about to come.

        Raises:
            TooManySlipsError: too many came shortly before.
        """
        with self._one_at_a_time:
            now = self._clock()
            self._left = min(BURST, self._left + (now - self._counted) / SECONDS_A_SLIP)
            self._counted = now
            if self._left < 1:
                raise TooManySlipsError(max(1, round((1 - self._left) * SECONDS_A_SLIP)))
            self._left -= 1

    def add(self, slip: Slip) -> None:
        """Keep a slip.

        Raises:
            SlipsFullError: there is no room.
            HostError: it cannot be written.
        """
        day = self._today()
        line = json.dumps({"day": day.isoformat(), **asdict(slip)}, ensure_ascii=False)
        with atomic.host_errors("write to", self._folder):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._one_at_a_time, _locked(self._folder):
            lines = self._lines()
            if len(lines) >= MOST or sum(len(known.encode()) + 1 for known in (*lines, line)) > MOST_BYTES:
                raise SlipsFullError
            of_today = sum(json.loads(known)["day"] == day.isoformat() for known in lines)
            # Anywhere among those of its day: the last line would tell who was the last at the kiosk.
            lines.insert(len(lines) - secrets.randbelow(of_today + 1), line)
            self._write(lines, day)

    def remove(self, known: Sequence[dict[str, Any]]) -> None:
        """Remove these slips; what came after they were read stays.

        Raises:
            HostError: they cannot be removed.
        """
        if not known:
            return
        with self._one_at_a_time, _locked(self._folder):
            left = self._lines()
            for line in (json.dumps(slip, ensure_ascii=False) for slip in known):
                if line in left:
                    left.remove(line)
            if left:
                self._write(left, self._today())
                return
            with atomic.host_errors("remove", self.place):
                self.place.unlink(missing_ok=True)
                atomic.fsync_path(self._folder)

    def _lines(self) -> list[str]:
        try:
            data = self.place.read_bytes()[: MOST_BYTES + 1]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except PermissionError as error:
            raise HostError(
                f"No permission to read {self.place}.",
                hint="Run it as the user who serves the kiosk, or as root.",
                path=str(self.place),
            ) from error
        except OSError as error:
            raise atomic.host_error(error, "read", self.place) from error
        return [line for line in data.decode("utf-8", "replace").split("\n") if _is_slip(line)]

    def _write(self, lines: Sequence[str], day: date) -> None:
        with atomic.replacing(self.place) as temporary:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as stream:
                stream.write("".join(f"{line}\n" for line in lines).encode())
            if hasattr(os, "geteuid") and os.geteuid() == 0:  # the kiosk itself runs as the folder's owner
                owner = self._folder.stat()
                os.chown(temporary, owner.st_uid, owner.st_gid)
            midnight = datetime(day.year, day.month, day.day).timestamp()
            os.utime(temporary, (midnight, midnight))


def _is_slip(line: str) -> bool:
    """Say whether a line is a slip, and not what a power cut or a stranger left."""
    try:
        value = json.loads(line)
    except ValueError:
        return False
    return isinstance(value, dict) and isinstance(value.get("day"), str)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let no other process change the slips meanwhile; the folder itself is locked, so that no file is left for it."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    with atomic.host_errors("open", folder):
        handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
