"""Documents are read in a process of their own, which may be ended.

A document can make its parser loop for hours or fill the memory. So the process that builds the index
never parses one itself: it asks this one, which limits its own address space and sets an alarm before each.
One process serves all the documents until one of them ends it; the next document gets a fresh one.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from publicai_edge.child import claim_stdout
from publicai_edge.errors import DocumentError
from publicai_edge.knowledge.blocks import Extracted
from publicai_edge.knowledge.extract import extract


@dataclass(frozen=True)
class Limits:
    """What one document may cost: seconds to read it, its bytes, its characters, memory of the reader."""

    seconds: int = 120
    file_bytes: int = 200 << 20
    characters: int = 20_000_000
    memory_bytes: int = 2 << 30


class Extractor:
    """The client's side; used as a context manager, from one thread."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._process: subprocess.Popen[str] | None = None

    def extract(self, path: Path, name: str) -> Extracted:
        """Return the blocks of the document at ``path``.

        Raises:
            DocumentError: it cannot be read within the limits; the message is the reason alone.
        """
        process = self._process or self._start()
        answer = ""
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps({"path": str(path), "name": name}) + "\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            answer = process.stdout.readline()  # type: ignore[union-attr]
        if not answer.endswith("\n"):
            raise self._died()
        data = json.loads(answer)
        if "error" in data:
            raise DocumentError(data["error"])
        return Extracted.from_json(data)

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

    def _died(self) -> DocumentError:
        code = self._close()
        if code == -signal.SIGALRM:
            return DocumentError(f"reading it takes longer than {self._limits.seconds} s")
        how = signal.Signals(-code).name if code < 0 else f"code {code}"
        return DocumentError(f"reading it crashed the reader ({how})")

    def _close(self) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()  # type: ignore[union-attr]
        code = process.wait()
        process.stdout.close()  # type: ignore[union-attr]
        return code

    def __enter__(self) -> "Extractor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process and kind is not None:
            self._process.kill()
        self._close()


def _serve(limits: Limits) -> None:
    channel = claim_stdout()
    _limit_memory(limits.memory_bytes)
    for line in sys.stdin:
        request = json.loads(line)
        signal.alarm(limits.seconds)  # its default action ends the process, in native code too
        answer = json.dumps(_answer(request, limits))
        signal.alarm(0)
        channel.write(answer + "\n")
        channel.flush()


def _answer(request: dict[str, str], limits: Limits) -> dict[str, object]:
    try:
        name = request["name"]
        return extract(Path(request["path"]), name, limits.file_bytes, limits.characters).to_json()
    except DocumentError as error:
        return {"error": error.message}
    except MemoryError:
        return {"error": "it needs more memory than one document may use"}


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
