"""Responses that are made while they are read, and end when they should.

Invariant: when the client leaves, the session ends or the kiosk closes, the generator behind a response is
closed at once, and with it the engine's work; nothing waits for the garbage collector.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from publicai_edge.errors import EngineError, PublicAIError


class Stream(Response):
    """A response whose body is a generator's lines.

    Nothing is sent before the first line is there: an error raised until then becomes a response of its own.

    Args:
        lines: the body; closed in every case.
        media_type: of the body.
        stops: events that end the response early.
        on_error: makes the response for an error raised before the first line.
        last: what is sent where a stop event ends a response that has begun, so that nobody takes it for a whole one.
    """

    def __init__(
        self,
        lines: AsyncGenerator[bytes, None],
        *,
        media_type: str,
        stops: tuple[asyncio.Event, ...],
        on_error: Callable[[PublicAIError], Response],
        headers: Mapping[str, str] | None = None,
        last: bytes = b"",
    ) -> None:
        self.status_code = 200
        self.media_type = media_type
        self.background = None
        self.init_headers(headers)
        self._lines = lines
        self._stops = stops
        self._on_error = on_error
        self._last = last
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the lines until they end, the client leaves, or a stop event is set."""
        pump = asyncio.ensure_future(self._pump(scope, receive, send))
        gone = asyncio.ensure_future(_disconnected(receive))
        stops = [asyncio.ensure_future(stop.wait()) for stop in self._stops]
        watched = [pump, gone, *stops]
        try:
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        finally:
            left = gone.done()
            finished = pump.done()
            for task in watched:
                task.cancel()
            await asyncio.gather(*watched, return_exceptions=True)
        if finished:
            await pump
        elif not left:
            await self._end(scope, receive, send)

    async def _pump(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._lines):
            try:
                line = await anext(self._lines, None)
            except PublicAIError as error:
                await self._on_error(error)(scope, receive, send)
                return
            await self._start(send)
            while line is not None:
                await send({"type": "http.response.body", "body": line, "more_body": True})
                line = await anext(self._lines, None)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _start(self, send: Send) -> None:
        self._started = True
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})

    async def _end(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._started:
            await send({"type": "http.response.body", "body": self._last, "more_body": False})
            return
        await self._on_error(ended())(scope, receive, send)


def ended() -> EngineError:
    """Return what a request ends with that the kiosk ends itself."""
    return EngineError("The kiosk ended this request.", hint="Ask again in a moment.")


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
