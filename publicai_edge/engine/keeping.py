"""The kiosk's end of keeping passages: one is with the worker at a time, and its end is waited for."""

import asyncio
from typing import Any, Literal

from publicai_edge.engine.link import Link
from publicai_edge.engine.protocol import ChatRequest

Kept = Literal["kept", "full", "failed", "refused", "lost"]
"""How it ended: its state is on the disk; there is no room; the engine or the disk failed; the engine keeps none, or is
not there; the worker ended before."""


class Keeping:
    """The passage that the worker reads, if there is one."""

    def __init__(self) -> None:
        self._count = 0
        self._under_way: asyncio.Future[Kept] | None = None

    async def ask(self, link: Link, request: ChatRequest) -> Kept:
        """Have a passage read and kept; returns when that has ended, however long others are answered meanwhile."""
        if self._under_way and not self._under_way.done():
            return "refused"
        self._count += 1
        self._under_way = asyncio.get_running_loop().create_future()
        link.send({"op": "keep", "n": self._count, "request": request.to_json()})
        return await self._under_way

    def heard(self, message: dict[str, Any]) -> None:
        """Take the worker's word on how it ended."""
        how: Any = message.get("how")
        if message.get("n") == self._count:
            self._end(how if how in {"kept", "full", "failed"} else "refused")

    def lost(self) -> None:
        """Note that the worker is gone."""
        self._end("lost")

    def _end(self, how: Kept) -> None:
        if self._under_way and not self._under_way.done():
            self._under_way.set_result(how)
