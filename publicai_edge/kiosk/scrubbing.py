"""After a request that may have held a patron's words has ended, the memory that it used is overwritten.

Once a second at most: it stops the process for some 15 ms.
"""

import asyncio
import contextlib
import urllib.parse
from collections.abc import Callable, Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from publicai_edge.scrub import scrub

_REST_SECONDS = 1.0


class Scrubber:
    """Overwrites freed memory soon after it was told that there is something to overwrite.

    Args:
        others: what has other threads do the same with what they keep for themselves.
    """

    def __init__(self, others: Sequence[Callable[[], None]] = ()) -> None:
        self._others = tuple(others)
        self._wanted = asyncio.Event()

    def want(self) -> None:
        """Take note that something was let go."""
        self._wanted.set()

    async def run(self) -> None:
        """Scrub when it is wanted, until cancelled; once more then."""
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                await self._wanted.wait()
                await asyncio.sleep(_REST_SECONDS)
                self._wanted.clear()
                self._scrub()
        self._scrub()

    def _scrub(self) -> None:
        for other in self._others:
            other()
        # A stranger's program may put words into an address.
        urllib.parse.urlsplit.cache_clear()  # type: ignore[attr-defined]
        scrub()


class Scrubbing:
    """ASGI middleware, the outermost one: tells a scrubber of every request that ended and may have had a body.

    Args:
        app: what answers.
        scrubber: who is told.
    """

    def __init__(self, app: ASGIApp, scrubber: Scrubber) -> None:
        self._app = app
        self._scrubber = scrubber

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        try:
            await self._app(scope, receive, send)
        finally:
            if scope["type"] == "http" and scope["method"] not in {"GET", "HEAD"}:
                self._scrubber.want()
