"""The kiosk's side of a ZIM file: asks the process that reads it, and starts another where that one dies.

Invariants: what a damaged archive does to that process never reaches the one that asks; an answer is waited for no
longer than :attr:`Limits.seconds` and a little; no error says what was searched for; what passed between the two is
overwritten by :meth:`ZimReader.scrub`.
"""

import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from publicai_edge.child import let_end, write_whole
from publicai_edge.errors import BundleError

_PADDING = "." * (64 << 10)  # fills the pipes and every buffer at their ends
_PATIENCE = 2.0  # beyond the alarm that the process sets itself
_HINT = "Run `publicai-edge verify` on the bundle; it names every file that changed."


@dataclass(frozen=True)
class Limits:
    """What a request may cost: seconds to answer it, and address space of the process."""

    seconds: int = 10
    memory_bytes: int = 4 << 30


@dataclass(frozen=True)
class Found:
    """What the index says to a question's words: their weights, and the paths of articles, best first."""

    weights: dict[str, float]
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Text:
    """An article: its path, its title, and its passages, each as heading and text."""

    path: str
    title: str
    passages: tuple[tuple[str, str], ...]


class ZimReader:
    """A ZIM file in a process of its own; several threads may ask, one is answered at a time."""

    def __init__(self, path: Path, passage_words: int, limits: Limits = Limits()) -> None:
        self._path = path
        self._passage_words = passage_words
        self._limits = limits
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._closed = False

    @property
    def name(self) -> str:
        """The file's name."""
        return self._path.name

    @property
    def pid(self) -> int | None:
        """The process's id, while it runs."""
        process = self._process
        return process.pid if process else None

    def open(self) -> None:
        """Start the process and wait until it has opened the archive.

        Raises:
            BundleError: it cannot be opened.
        """
        with self._lock:
            self._running()

    def search(self, words: Sequence[str], most: int) -> Found:
        """Return what the index finds.

        Args:
            words: terms as :mod:`publicai_edge.search.terms` makes them.
            most: so many articles.

        Raises:
            BundleError: the process died, took too long, or found the archive damaged.
        """
        answer = self._ask({"words": list(words), "most": most})
        return Found(answer["weights"], tuple(answer["paths"]))

    def article(self, path: str) -> Text | None:
        """Return the article at ``path``, or None where there is no text.

        Raises:
            BundleError: as :meth:`search`.
        """
        answer = self._ask({"article": path})
        if not answer["passages"]:
            return None
        return Text(answer["path"], answer["title"], tuple((heading, text) for heading, text in answer["passages"]))

    def scrub(self) -> None:
        """Have the process overwrite what it has let go, where it runs; what is sent fills the buffers between."""
        with self._lock, contextlib.suppress(BundleError):
            if self._process and not self._closed:
                self._exchange(self._process, {"rest": _PADDING})

    def close(self) -> None:
        """End the process; a request under way ends with it."""
        self._closed = True
        if process := self._process:
            process.kill()
        with self._lock:
            self._end()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            return self._exchange(self._running(), request)

    def _running(self) -> "subprocess.Popen[str]":
        if self._closed:
            raise RuntimeError("the ZIM file is closed")
        return self._process or self._start()

    def _start(self) -> "subprocess.Popen[str]":
        settings = {
            "path": str(self._path),
            "passage_words": self._passage_words,
            "seconds": self._limits.seconds,
            "memory_bytes": self._limits.memory_bytes,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "publicai_edge.knowledge.zim.worker", json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what libraries print may quote a question
            text=True,
            encoding="utf-8",
        )
        self._process = process
        self._exchange(process, None)
        return process

    def _exchange(self, process: "subprocess.Popen[str]", request: dict[str, Any] | None) -> dict[str, Any]:
        answer = ""
        timer = threading.Timer(self._limits.seconds + _PATIENCE, process.kill)
        timer.start()
        try:
            with contextlib.suppress(BrokenPipeError):
                if request is not None:
                    write_whole(process.stdin.fileno(), json.dumps(request).encode() + b"\n")  # type: ignore[union-attr]
                answer = process.stdout.readline()  # type: ignore[union-attr]
        finally:
            timer.cancel()
        if not answer.endswith("\n"):
            raise self._died()
        value: dict[str, Any] = json.loads(answer)
        if "error" in value:
            if request is None:
                self._end()
            raise BundleError(f"{self.name} cannot be read: {value['error']}.", hint=_HINT)
        return value

    def _died(self) -> BundleError:
        code = self._end()
        if code in {-getattr(signal, "SIGALRM", 0), -getattr(signal, "SIGKILL", 0)}:
            how = f"took longer than {self._limits.seconds} s"
        else:
            how = f"ended the process that did it ({signal.Signals(-code).name if code < 0 else f'code {code}'})"
        return BundleError(f"{self.name} cannot be read: a search in it {how}.", hint=_HINT)

    def _end(self) -> int:
        process, self._process = self._process, None
        return let_end(process)
