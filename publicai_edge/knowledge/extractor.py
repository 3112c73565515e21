"""Documents are read in a process of their own, which may be ended.

A document can make its parser loop for hours or fill the memory. So the process that builds the index
never parses one itself: it asks this one, which limits its own address space and sets an alarm before each.
One process serves all the documents until one of them ends it; the next document gets a fresh one.

Where pages that are pictures are recognised, the same process does it, and tells of each page before it begins: then
the alarm is set anew, so that a long document has time and no single page has much.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from publicai_edge.child import claim_stdout, let_end
from publicai_edge.errors import DocumentError
from publicai_edge.knowledge.blocks import Extracted
from publicai_edge.knowledge.extract import extract

if TYPE_CHECKING:
    from publicai_edge.knowledge.extract.pdf import Scans


@dataclass(frozen=True)
class Limits:
    """What one document may cost.

    Attributes:
        seconds: to read it, without recognising pages.
        file_bytes: its size.
        characters: its text.
        memory_bytes: address space of the reader.
        scanned_pages: most pages of pictures that are recognised in it; with 0, none is.
        page_seconds: to recognise one of them.
    """

    seconds: int = 120
    file_bytes: int = 200 << 20
    characters: int = 20_000_000
    memory_bytes: int = 2 << 30
    scanned_pages: int = 0
    page_seconds: float = 60


class Extractor:
    """The client's side; used as a context manager, from one thread."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._process: subprocess.Popen[str] | None = None

    def extract(self, path: Path, name: str, tell: Callable[[int, int], None] | None = None) -> Extracted:
        """Return the blocks of the document at ``path``.

        Where recognising a page ends the reader, the pages that have text of their own are still read.

        Args:
            path: the file.
            name: what it is called in messages; its suffix tells the format.
            tell: is told, before each page that is recognised, how many are done and of how many.

        Raises:
            DocumentError: it cannot be read within the limits; the message is the reason alone.
        """
        answer = self._ask(path, name, tell, recognize=True)
        if isinstance(answer, Extracted):
            return answer
        if not answer.facts["page"]:
            raise answer
        typed = self._ask(path, name, None, recognize=False)
        if not isinstance(typed, Extracted):
            raise answer
        return replace(typed, warnings=(*typed.warnings, f"has pages that are left out: {answer.message}"))

    def _ask(
        self, path: Path, name: str, tell: Callable[[int, int], None] | None, *, recognize: bool
    ) -> Extracted | DocumentError:
        """Return what the reader answers; its error too, with the ``page`` it recognised when it ended, or 0."""
        process = self._process or self._start()
        page = 0
        request = {"path": str(path), "name": name, "recognize": recognize}
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(request) + "\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            while (answer := process.stdout.readline()).endswith("\n"):  # type: ignore[union-attr]
                data = json.loads(answer)
                if "recognizing" not in data:
                    return _settled(data)
                page, done, total = data["recognizing"]
                if tell:
                    tell(done, total)
        return self._died(page)

    def _start(self) -> "subprocess.Popen[str]":
        self._process = subprocess.Popen(
            [sys.executable, "-m", "publicai_edge.knowledge.extractor", json.dumps(asdict(self._limits))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # parsers quote the document there
            text=True,
            encoding="utf-8",
        )
        return self._process

    def _died(self, page: int) -> DocumentError:
        """Return what ended the reader; while it recognised ``page``, or read the document where that is 0."""
        code = self._close()
        what = f"recognising its page {page}" if page else "reading it"
        if code == -signal.SIGALRM:
            seconds = self._limits.page_seconds if page else self._limits.seconds
            return DocumentError(f"{what} takes longer than {seconds} s", page=page)
        how = signal.Signals(-code).name if code < 0 else f"code {code}"
        return DocumentError(f"{what} crashed the reader ({how})", page=page)

    def _close(self) -> int:
        process, self._process = self._process, None
        return let_end(process)

    def __enter__(self) -> "Extractor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process and kind is not None:
            self._process.kill()
        self._close()


def _settled(answer: dict[str, Any]) -> Extracted | DocumentError:
    if "error" in answer:
        return DocumentError(answer["error"], hint=answer["hint"], page=0)
    return Extracted.from_json(answer)


def _serve(limits: Limits) -> None:
    channel = claim_stdout()
    _limit_memory(limits.memory_bytes)
    scans = _scans(channel, limits) if limits.scanned_pages else None
    for line in sys.stdin:
        request = json.loads(line)
        signal.alarm(limits.seconds)  # its default action ends the process, in native code too
        answer = json.dumps(_answer(request, limits, scans if request["recognize"] else None))
        signal.alarm(0)
        channel.write(answer + "\n")
        channel.flush()


def _scans(channel: TextIO, limits: Limits) -> "Scans":
    """Return what recognises pages in this process, which from now on can write no file."""
    import resource

    from publicai_edge.knowledge.ocr.scans import PageScans

    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    def tell(page: int, done: int, total: int) -> None:
        # Where nobody listens any more, since the build was interrupted, this raises, and so does the answer.
        channel.write(json.dumps({"recognizing": [page, done, total]}) + "\n")
        channel.flush()
        signal.setitimer(signal.ITIMER_REAL, limits.page_seconds)

    return PageScans(limits.scanned_pages, tell)


def _answer(request: dict[str, Any], limits: Limits, scans: "Scans | None") -> dict[str, object]:
    try:
        name = request["name"]
        return extract(Path(request["path"]), name, limits.file_bytes, limits.characters, scans).to_json()
    except DocumentError as error:
        return {"error": error.message, "hint": error.hint}
    except MemoryError:
        return {"error": "it needs more memory than one document may use", "hint": None}


def _limit_memory(size: int) -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    with contextlib.suppress(ValueError, OSError):  # macOS refuses; the alarm still holds there
        resource.setrlimit(resource.RLIMIT_AS, (size, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that asked decides
    _serve(Limits(**json.loads(sys.argv[1])))
    os._exit(0)
