"""One worker process and the pipes to it.

Invariants: sending never waits (what the worker has not read yet is held here; the client sends no more than its slots
hold); whatever happens, :meth:`Link.stop` leaves no process behind. What passes is never written anywhere.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

_LINE_LIMIT = 1 << 20
_CLOSE_SECONDS = 2.0


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
            except ValueError:
                raise BrokenLinkError from None  # without the line: a patron's words may be in it
            if message is None:
                return
            if not isinstance(message, dict) or not isinstance(message.get("event"), str):
                raise BrokenLinkError
            yield message

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
