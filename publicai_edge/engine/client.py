"""The kiosk's end of the worker: starts it, restarts it when it dies, and lines requests up before it.

Invariants: at most one request is with the worker; the others wait in order and know their place; closing a request's
stream cancels it; a worker that dies fails only the request it was answering, and the next one waits for its
successor.
"""

import asyncio
import contextlib
import json
import sys
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from publicai_edge.engine.config import EngineConfig
from publicai_edge.engine.protocol import (
    ChatRequest,
    Delta,
    EngineStatus,
    Event,
    Finished,
    Queued,
    Started,
    State,
)
from publicai_edge.errors import EngineError, OverloadedError, PublicAIError

_LINE_LIMIT = 1 << 20
_RESTART_DELAYS = (0.1, 0.5, 1.0, 2.0, 5.0)
_CLOSE_SECONDS = 2.0
_SECONDS_PER_WAITING = 10
_EVENTS: dict[str, type[Started | Delta | Finished]] = {
    "started": Started,
    "delta": Delta,
    "finished": Finished,
}


class _Ticket:
    """One request's place in line and the mailbox its events arrive in."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.mail: asyncio.Queue[Event | PublicAIError] = asyncio.Queue()
        self.turn = asyncio.Event()


class WorkerEngine:
    """The real :class:`publicai_edge.engine.protocol.Engine`: one worker process, supervised."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._status = EngineStatus("closed")
        self._supervisor: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._changed = asyncio.Condition()
        self._line: deque[_Ticket] = deque()
        self._active: _Ticket | None = None
        self._count = 0
        self._failure: PublicAIError | None = None

    @property
    def status(self) -> EngineStatus:
        """How the worker is now."""
        return self._status

    @property
    def pid(self) -> int | None:
        """Process id of the worker, while there is one."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the worker and return at once."""
        if self._supervisor is None:
            self._set("loading")
            self._supervisor = asyncio.create_task(self._supervise())

    async def close(self) -> None:
        """End the worker; requests in progress fail."""
        if self._supervisor:
            self._supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._supervisor
            self._supervisor = None
        await self._stop_process()
        self._fail_active(EngineError("The engine was closed."))
        await self._announce("closed")

    async def ready(self) -> EngineStatus:
        """Wait until the model is loaded.

        Raises:
            PublicAIError: it cannot be loaded.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._status.state in {"ready", "failed", "closed"})
        if self._status.state != "ready":
            raise self._failure or EngineError("The engine is not running.")
        return self._status

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """Answer ``request``; see the protocol."""
        self._count += 1
        ticket = _Ticket(self._count)
        try:
            async for event in self._wait_in_line(ticket):
                yield event
            await self.ready()
            await self._send({"op": "chat", "id": ticket.number, "request": request.to_json()})
            while True:
                item = await ticket.mail.get()
                if isinstance(item, PublicAIError):
                    raise item
                yield item
                if isinstance(item, Finished):
                    self._leave(ticket)
                    return
        finally:
            await self._cancel(ticket)

    async def _wait_in_line(self, ticket: _Ticket) -> AsyncIterator[Event]:
        if self._active is None and not self._line:
            self._active = ticket
            return
        if len(self._line) >= self._config.queue:
            raise OverloadedError(
                f"{len(self._line)} requests are waiting already.",
                hint="Try again in a moment.",
                retry_after=_SECONDS_PER_WAITING * len(self._line),
            )
        self._line.append(ticket)
        told = 0
        while self._active is not ticket:
            position = self._line.index(ticket) + 1
            if position != told:
                told = position
                yield Queued(position)
            ticket.turn.clear()
            if self._active is not ticket and self._line.index(ticket) + 1 == told:
                await ticket.turn.wait()

    def _leave(self, ticket: _Ticket) -> None:
        """Take a ticket out of the line and let the next one in."""
        if ticket in self._line:
            self._line.remove(ticket)
        elif self._active is ticket:
            self._active = self._line.popleft() if self._line else None
            if self._active:
                self._active.turn.set()
        for other in self._line:
            other.turn.set()

    async def _cancel(self, ticket: _Ticket) -> None:
        """End a request whose reader is gone; the worker frees its sequence within one step."""
        if self._active is ticket and self._status.state == "ready":
            with contextlib.suppress(EngineError):
                await self._send({"op": "cancel", "id": ticket.number})
        self._leave(ticket)

    async def _send(self, message: dict[str, Any]) -> None:
        process = self._process
        if process is None or process.stdin is None:
            raise EngineError("The engine is restarting.", hint="Ask again in a moment.")
        try:
            process.stdin.write(json.dumps(message).encode() + b"\n")
            await process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise EngineError("The engine stopped.", hint="Ask again in a moment.") from error

    async def _supervise(self) -> None:
        """Keep one worker alive; give up only when the model itself cannot be loaded."""
        crashes = 0
        while True:
            # A worker that dies before it is ready is started again without the stored states: if one of them is what
            # kills it, the kiosk starts slower instead of never.
            reached_ready = await self._run_once(self._config if crashes == 0 else self._config.without_states())
            if self._failure:
                await self._announce("failed", self._failure.message)
                return
            crashes = 0 if reached_ready else crashes + 1
            await self._announce("restarting", "The engine stopped and is being restarted.")
            await asyncio.sleep(_RESTART_DELAYS[min(crashes, len(_RESTART_DELAYS) - 1)])

    async def _run_once(self, config: EngineConfig) -> bool:
        """Run one worker to its end; say whether it ever was ready."""
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "publicai_edge.engine.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # a native abort may print what it was working on
            limit=_LINE_LIMIT,
        )
        reached_ready = False
        try:
            await self._send({"op": "load", "config": config.to_json()})
            if process.stdout is None:
                raise RuntimeError("the worker was started without pipes")
            while line := await process.stdout.readline():
                message = json.loads(line)
                if message["event"] == "ready":
                    reached_ready = True
                    await self._announce("ready", facts={**message["facts"], "pid": process.pid})
                elif message["event"] == "failed":
                    self._failure = PublicAIError.from_json(message["error"])
                else:
                    self._deliver(message)
        except EngineError:
            pass  # it died before it took the configuration; the supervisor tries again
        finally:
            await self._stop_process()
            self._fail_active(EngineError("The engine stopped while it was answering.", hint="Ask again in a moment."))
        return reached_ready

    def _deliver(self, message: dict[str, Any]) -> None:
        ticket = self._active
        if ticket is None or ticket.number != message.pop("id"):
            return  # what is left of a cancelled request
        kind = message.pop("event")
        if kind == "error":
            ticket.mail.put_nowait(PublicAIError.from_json(message["error"]))
        else:
            ticket.mail.put_nowait(_EVENTS[kind](**message))

    def _fail_active(self, error: EngineError) -> None:
        if self._active:
            self._active.mail.put_nowait(error)

    async def _stop_process(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _CLOSE_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()

    def _set(self, state: State, detail: str | None = None, facts: dict[str, Any] | None = None) -> None:
        self._status = EngineStatus(state, detail, facts or {})

    async def _announce(self, state: State, detail: str | None = None, facts: dict[str, Any] | None = None) -> None:
        self._set(state, detail, facts)
        async with self._changed:
            self._changed.notify_all()
