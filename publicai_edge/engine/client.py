"""The kiosk's end of the worker: starts it, restarts it when it dies or hangs, and lines requests up before it.

Invariants:
- At most as many requests are with the worker as it has slots, and a slot is given on only when the worker has said
  that its answer ended, or has died. Closing a request's stream cancels it; until the worker says so, its slot is held.
- A worker that dies fails the answers it had begun. Those it had not begun, and those who wait, go on with its
  successor; a request that two workers died on is failed, so that it cannot bring down a third.
- Nothing here waits for the worker without an end, and what a patron typed is let go once the worker has it in hand.
- Every request has one end: answered, failed, cancelled or refused, and is counted as that when it ends;
  ``metrics.requests`` counts it from when it comes.
"""

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any, Literal

from publicai_edge import host
from publicai_edge.engine.config import EngineConfig
from publicai_edge.engine.keeping import Keeping, Kept
from publicai_edge.engine.line import Line
from publicai_edge.engine.link import BrokenLinkError, Link, read_event
from publicai_edge.engine.pending import Pending, is_the_askers
from publicai_edge.engine.protocol import (
    ChatRequest,
    EngineMetrics,
    EngineStatus,
    Event,
    Finished,
    Queued,
    Started,
    State,
)
from publicai_edge.errors import EngineError, OverloadedError, PublicAIError

_LOG = logging.getLogger("publicai_edge.kiosk")
_WORKERS = {"llama": "publicai_edge.engine.worker", "onnx": "publicai_edge.engine.onnx.worker"}
_RESTART_DELAYS = (0.1, 0.5, 1.0, 2.0, 5.0)
_STARTS_TO_WAIT_FOR = 3  # after so many workers that died before they were ready, those who wait are told
_MOST_TRIES = 2
_HANG_SECONDS = 60.0
_REST_SECONDS = 0.5
_PADDING = "0" * (1 << 16)  # more than the buffers on its way hold
_LOOKS = 4  # how often a silent worker is looked at within that time
_SHARE = 0.1  # what a look counts at a worker that computes
_COMPUTES = 0.1  # processors that one takes at least, while others keep it from more
_AGAIN = "Ask again in a moment."
_End = Literal["answered", "failed", "cancelled", "refused"]


class WorkerEngine:
    """The real :class:`publicai_edge.engine.protocol.Engine`: one worker process, supervised.

    Args:
        config: the model and its settings.
        command: what starts the worker; by default this project's, by ``config.kind``.
        hang_seconds: how long a worker with something to answer may be silent before it is ended and started anew; ten
            times as long while it computes. Only a worker that says ``ping`` among its facts is watched: it answers
            from between its steps, so the longest step must fit.
    """

    def __init__(
        self, config: EngineConfig, *, command: Sequence[str] | None = None, hang_seconds: float = _HANG_SECONDS
    ) -> None:
        self._config = config
        self._command = tuple(command or (sys.executable, "-m", _WORKERS[config.kind]))
        self._hang_seconds = hang_seconds
        self._status = EngineStatus("closed")
        self._supervisor: asyncio.Task[None] | None = None
        self._link: Link | None = None
        self._changed = asyncio.Condition()
        self._line = Line(slots=config.slots, queue=config.queue)
        self._requests: dict[int, Pending] = {}
        self._metrics = EngineMetrics()
        self._failure: PublicAIError | None = None
        self._failed_starts = 0
        self._heard = 0  # grows with each sign that the worker lives
        self._resting: asyncio.TimerHandle | None = None
        self._keeping = Keeping()

    @property
    def status(self) -> EngineStatus:
        """How the worker is now."""
        return self._status

    @property
    def metrics(self) -> EngineMetrics:
        """What was asked and answered since this engine was made, and how busy it is."""
        busy = sum(request.sent for request in self._requests.values())
        queued = len(self._requests) - busy
        return replace(self._metrics, slots=self._line.slots, slots_busy=busy, queued=queued)

    @property
    def pid(self) -> int | None:
        """Process id of the worker, while there is one."""
        return self._link.pid if self._link else None

    async def start(self) -> None:
        """Start the worker and return at once."""
        if self._supervisor is None:
            self._failure, self._failed_starts = None, 0
            self._status = EngineStatus("loading")
            self._supervisor = asyncio.create_task(self._supervise())

    async def close(self) -> None:
        """End the worker; requests in progress and those who wait fail."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor:
            supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await supervisor
        self._fail_all(EngineError("The engine was closed."))
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
        mine = self._enter(request)
        del request
        try:
            while True:
                item = await mine.mail.get()
                if isinstance(item, PublicAIError):
                    raise item
                if isinstance(item, Queued):
                    if mine.ticket.position in {0, mine.told}:
                        continue
                    mine.told = mine.ticket.position
                    item = Queued(mine.told)
                yield item
                if isinstance(item, Finished):
                    return
        finally:
            self._reader_left(mine)

    async def keep(self, request: ChatRequest) -> Kept:
        """Have the first passage of a request read while there is nothing else to do; nothing is answered.

        Returns:
            How it ended, once it has.
        """
        if self._link is None or self._status.state != "ready":
            return "refused"
        return await self._keeping.ask(self._link, request)

    # The line ---------------------------------------------------------------------------------------------------------

    def _enter(self, request: ChatRequest) -> Pending:
        if self._status.state in {"failed", "closed"}:
            raise self._failure or EngineError("The engine is not running.")
        self._count(requests=1)
        if self._failed_starts >= _STARTS_TO_WAIT_FOR:
            self._count(failed=1)
            raise self._not_starting()
        try:
            ticket, pushed_out = self._line.enter(request.client)
        except OverloadedError:
            self._count(refused=1)
            raise
        if pushed_out:
            self._end(self._requests[pushed_out.number], "refused", self._line.overloaded())
        mine = self._requests[ticket.number] = Pending(ticket, request)
        self._settle()
        return mine

    def _settle(self) -> None:
        """Tell those whose place changed, and hand the worker what it has slots for."""
        for request in self._requests.values():
            if request.ticket.position not in {0, request.told} and request.mail.empty():
                request.mail.put_nowait(Queued(request.ticket.position))
        if self._link is None or self._status.state != "ready":
            return
        free = self._line.slots - sum(request.sent for request in self._requests.values())
        unsent = [self._requests[ticket.number] for ticket in self._line.active]
        for request in [request for request in unsent if not request.sent][: max(0, free)]:
            self._send(self._link, request)

    def _send(self, link: Link, request: Pending) -> None:
        if request.words is None:
            raise RuntimeError("a request is sent after its words were let go")
        request.sent, request.sent_at = True, time.monotonic()
        if not request.tries:
            self._count(queue_seconds=request.sent_at - request.entered)
        request.tries += 1
        self._heard += 1  # its time to answer begins now
        link.send({"op": "chat", "id": request.ticket.number, "request": request.words.to_json()})

    def _reader_left(self, request: Pending) -> None:
        """End a request whose reader is gone; one that is with the worker keeps its slot until the worker says so."""
        if request.ticket.number not in self._requests:
            return
        self._count(cancelled=1)
        request.gone = True
        if request.sent and self._link:
            self._link.send({"op": "cancel", "id": request.ticket.number})
        else:
            self._end(request, "cancelled")
            self._settle()

    def _end(self, request: Pending, how: _End, error: PublicAIError | None = None) -> None:
        """Take a request out; one whose reader is gone was counted then."""
        del self._requests[request.ticket.number]
        seconds = time.monotonic() - request.sent_at if how == "answered" else None
        self._line.leave(request.ticket, seconds=seconds)
        if not request.gone:
            self._count(**{how: 1})
        if error:
            request.mail.put_nowait(error)
        if self._resting:
            self._resting.cancel()
        self._resting = asyncio.get_running_loop().call_later(_REST_SECONDS, self._rest)

    def _rest(self) -> None:
        """Have a worker that has nothing to do overwrite what it has let go; what is sent fills the buffers between."""
        if self._link and self._status.state == "ready" and not self._requests:
            self._link.send({"op": "rest", "padding": _PADDING})

    def _fail_all(self, error: PublicAIError) -> None:
        for request in list(self._requests.values()):
            self._end(request, "failed", error)

    def _count(self, **more: float) -> None:
        now = {name: getattr(self._metrics, name) + value for name, value in more.items()}
        self._metrics = replace(self._metrics, **now)

    # The worker -------------------------------------------------------------------------------------------------------

    async def _supervise(self) -> None:
        """Keep one worker alive; give up only when the model itself cannot be loaded."""
        while True:
            # A worker that dies before it is ready is started again without the stored states: if one of them is what
            # kills it, the kiosk starts slower instead of never.
            await self._run_once(self._config.without_states() if self._failed_starts else self._config)
            if self._failure:
                await self._announce("failed", self._failure.message)
                self._fail_all(self._failure)
                return
            if self._failed_starts >= _STARTS_TO_WAIT_FOR:
                self._fail_all(self._not_starting())
            await asyncio.sleep(self._restart_delay)
            self._count(restarts=1)

    @property
    def _restart_delay(self) -> float:
        return _RESTART_DELAYS[min(self._failed_starts, len(_RESTART_DELAYS) - 1)]

    async def _run_once(self, config: EngineConfig) -> None:
        """Run one worker to its end."""
        try:
            link = self._link = await Link.open(self._command)
        except OSError as error:
            self._failed_starts += 1
            await self._announce_restart(f"could not be started ({error.strerror})")
            return
        watch: asyncio.Task[None] | None = None
        became_ready = False
        try:
            link.send({"op": "load", "config": config.to_json()})
            async for message in link.messages():
                self._heard += 1
                if message["event"] == "ready":
                    became_ready = True
                    facts = message.get("facts") or {}
                    await self._become_ready(link, facts)
                    if facts.get("ping"):
                        watch = asyncio.create_task(self._watch(link))
                elif message["event"] == "failed":
                    self._failure = PublicAIError.from_json(message.get("error") or {})
                elif message["event"] == "kept":
                    self._keeping.heard(message)
                elif "id" in message:
                    self._deliver(message)
        except BrokenLinkError:
            link.kill()
        finally:
            self._link = None
            self._keeping.lost()
            if watch:
                watch.cancel()
            await link.stop()
            self._failed_starts += not became_ready
            if self._supervisor and not self._failure:  # it is neither closed nor given up
                await self._announce_restart(link.ending)
            self._worker_left(hung=link.hung)

    async def _become_ready(self, link: Link, facts: dict[str, Any]) -> None:
        self._failed_starts = 0
        self._line.resize(min(self._config.slots, int(facts.get("slots", 1))))
        await self._announce("ready", facts={**facts, "pid": link.pid})
        self._settle()

    def _deliver(self, message: dict[str, Any]) -> None:
        request = self._requests.get(message.pop("id"))
        if request is None or not request.sent:
            return
        event = read_event(message)
        if event is None:
            return
        if isinstance(event, PublicAIError):
            if not is_the_askers(event):
                _LOG.warning("The engine could not go on with an answer (%s).", type(event).__name__)
            self._end(request, "failed", event)
            self._settle()
            return
        if isinstance(event, Started):
            request.begun, request.words = True, None
            self._count(prompt_tokens=event.prompt_tokens, reused_tokens=event.reused_tokens)
        if not request.gone:
            request.mail.put_nowait(event)
        if isinstance(event, Finished):
            self._count(
                completion_tokens=event.completion_tokens,
                prefill_seconds=event.prefill_seconds,
                decode_seconds=event.decode_seconds,
            )
            self._end(request, "cancelled" if request.gone else "answered")
            self._settle()

    def _worker_left(self, *, hung: bool) -> None:
        """Fail the answers that the worker had begun; what it had not begun goes on with its successor."""
        what = "The engine did not go on with its answers" if hung else "The engine stopped while it was answering"
        for request in [request for request in self._requests.values() if request.sent]:
            again = not (request.gone or request.begun or hung or request.tries >= _MOST_TRIES)
            if again:
                request.sent = False
            else:
                self._end(request, "failed", EngineError(f"{what}.", hint=_AGAIN))
        self._settle()

    async def _watch(self, link: Link) -> None:
        """End a worker that has something to answer and says nothing for too long.

        Time is counted in looks, so that a pause of this process (the machine slept) is no silence of the worker's. One
        that computes meanwhile is given ten times as long: on an old computer a step of a long question takes minutes.
        """
        silence, pings, interval = 0.0, 0, self._hang_seconds / _LOOKS
        while silence < _LOOKS:
            heard, spent = self._heard, host.process_seconds(link.pid)
            await asyncio.sleep(interval)
            if heard != self._heard or not any(request.sent for request in self._requests.values()):
                silence = 0.0
                continue
            if not silence:  # one ping a silence: the pipe of a worker that does not read must not fill up
                pings += 1
                link.send({"op": "ping", "n": pings})
            computes = host.process_seconds(link.pid) - spent >= _COMPUTES * interval
            silence += _SHARE if computes else 1
        link.hung = True
        link.kill()

    def _not_starting(self) -> EngineError:
        return EngineError(
            f"The engine was started {self._failed_starts} times and ended before its model was loaded.",
            hint="Too little memory is the usual cause: run `publicai-edge doctor` on the kiosk.",
        )

    async def _announce_restart(self, why: str) -> None:
        await self._announce("restarting", f"The engine {why}. It is started again in {self._restart_delay:g} s.")

    async def _announce(self, state: State, detail: str | None = None, facts: dict[str, Any] | None = None) -> None:
        self._status = EngineStatus(state, detail, facts or {})
        async with self._changed:
            self._changed.notify_all()
