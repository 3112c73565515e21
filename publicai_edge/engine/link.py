"""One worker process and the pipes to it.

Invariants: sending never waits (what the worker has not read yet is held here; the client sends no more than its slots
hold); whatever happens, :meth:`Link.stop` leaves no process behind. What passes is never written anywhere.
"""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Sequence
from typing import Any

from publicai_edge.engine.protocol import Delta, Finished, Started
from publicai_edge.errors import PublicAIError

_LINE_LIMIT = 1 << 20
_CLOSE_SECONDS = 2.0
_SIGKILL = 9  # Windows, where no process ends so, has no name for it


class BrokenLinkError(Exception):
    """The worker sent what is no message."""


class Link:
    """A running worker; made by :meth:`open`.

    Attributes:
        hung: set by whoever ends it because it was silent.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.hung = False
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the worker was started without pipes")
        self._in, self._out = process.stdin, process.stdout

    @staticmethod
    async def open(command: Sequence[str]) -> "Link":
        """Start the worker; raises OSError where the system cannot."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # a native abort may print what it was working on
            limit=_LINE_LIMIT,
        )
        return Link(process)

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    def send(self, message: dict[str, Any]) -> None:
        """Hand a message over without waiting; a worker that died meanwhile is noticed by :meth:`messages` ending."""
        if not self._in.is_closing():
            self._in.write(json.dumps(message).encode() + b"\n")

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        """Yield what the worker says until it ends.

        Raises:
            BrokenLinkError: a line is too long or no message.
        """
        while True:
            try:
                line = await self._out.readline()
                message = json.loads(line) if line else None
            except (ValueError, RecursionError):
                raise BrokenLinkError from None  # without the line: a patron's words may be in it
            if message is None:
                return
            if not isinstance(message, dict) or not isinstance(message.get("event"), str):
                raise BrokenLinkError
            yield message

    @property
    def ending(self) -> str:
        """How the worker ended, to be read after "The engine"; of use after :meth:`stop`."""
        code = self._process.returncode
        if self.hung:
            return "was silent for too long, and was ended"
        if code is None or code == 0:
            return "ended"
        if code == -signal.SIGABRT:
            return "ended itself (signal 6), as it does where something is broken"
        if code == -_SIGKILL:
            return "was ended (signal 9), as the system does when memory runs out"
        return f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"

    def kill(self) -> None:
        """End the worker at once."""
        if self._process.returncode is None:
            self._process.kill()

    async def stop(self) -> None:
        """Close the pipe to the worker, which ends it, and see that it has ended."""
        self._in.close()
        try:
            await asyncio.wait_for(self._process.wait(), _CLOSE_SECONDS)
        except TimeoutError:
            pass
        finally:
            self.kill()  # also when this wait is itself cancelled
        await self._process.wait()


def read_event(message: dict[str, Any]) -> Started | Delta | Finished | PublicAIError | None:
    """Read a request's event; None for one of a kind that is not known here.

    Raises:
        BrokenLinkError: its fields are not those of its kind.
    """
    kinds: dict[str, type[Started | Delta | Finished]] = {"started": Started, "delta": Delta, "finished": Finished}
    kind = message.pop("event")
    try:
        if kind == "error":
            return PublicAIError.from_json(message["error"])
        return kinds[kind](**message) if kind in kinds else None
    except (KeyError, TypeError, AttributeError):
        raise BrokenLinkError from None
