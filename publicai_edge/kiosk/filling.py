"""Has the model read the documents' passages while nobody asks, so that answers from them start at once.

Everything is read in one fixed order, that of the passages' digests, whatever was asked: neither what is on the disk
nor when it came there tells anything of patrons. The worker reads only while it has nothing to answer, and breaks off
when somebody comes (:mod:`publicai_edge.engine.worker`); here it is not even asked to before it was idle for a while,
nor on battery, nor when the processor is hot.

Invariant: no state stays of a passage that is not in the documents any more.
"""

import asyncio
import logging
import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from publicai_edge import host
from publicai_edge.bundle.manifest import ServiceInfo
from publicai_edge.engine.keeping import Kept
from publicai_edge.engine.passages import store as states
from publicai_edge.engine.protocol import ChatRequest, EngineMetrics, EngineStatus
from publicai_edge.errors import PublicAIError
from publicai_edge.kiosk.answering import Inquiry, compose, passage_text, source_of
from publicai_edge.kiosk.library import Library
from publicai_edge.kiosk.passage_states import digest_of
from publicai_edge.kiosk.staff_place import PASSAGES
from publicai_edge.kiosk.state import Kiosk

if TYPE_CHECKING:  # it brings numpy; the page must be up before that is loaded
    from publicai_edge.search import Passage

_LOG = logging.getLogger("publicai_edge.kiosk")
_IDLE_SECONDS = 5.0
_LOOK_SECONDS = 0.5
_PAUSE_SECONDS = 30.0
_AGAIN_SECONDS = 6 * 3600.0
_HOT_CELSIUS = 80.0
_MOST_FAILURES = 5

_Place = tuple[str, str, int]  # a passage's digest, its document, its number there


@runtime_checkable
class Keeper(Protocol):
    """An engine that reads passages and keeps what it computed, as the real one does."""

    @property
    def status(self) -> EngineStatus:
        """How the engine is now."""
        ...

    @property
    def metrics(self) -> EngineMetrics:
        """How busy it is."""
        ...

    async def keep(self, request: ChatRequest) -> Kept:
        """Have the first passage of a request read while there is nothing else to do."""
        ...


class Filler:
    """Fills the folder of states.

    Args:
        kiosk: the running kiosk.
        engine: its engine.
        library: its documents.
        folder: where the engine keeps states.
        idle_seconds: how long nobody must have asked.
    """

    def __init__(
        self, kiosk: Kiosk, engine: Keeper, library: Library, folder: Path, *, idle_seconds: float = _IDLE_SECONDS
    ) -> None:
        self._kiosk = kiosk
        self._engine = engine
        self._library = library
        self._folder = folder
        self._idle_seconds = idle_seconds
        self._answered: tuple[int, float] = (0, 0.0)

    async def run(self) -> None:
        """Fill it until cancelled: again when the documents or the worker are others, and from time to time."""
        done: object = None
        while True:
            hours = int(time.monotonic() / _AGAIN_SECONDS)  # one that was damaged is missing by then
            now = (self._version, self._engine.status.facts.get("pid"), hours)
            if done != now and self._ready:
                try:
                    await self._fill()
                except (PublicAIError, OSError) as error:
                    _LOG.warning("The passages of the documents cannot be read ahead (%s).", type(error).__name__)
                    self._kiosk.ahead.state = "failed"
                done = now
            await asyncio.sleep(_LOOK_SECONDS)

    @property
    def _version(self) -> int:
        return self._kiosk.staff.version if self._kiosk.staff else 0

    @property
    def _ready(self) -> bool:
        status = self._engine.status
        composes = not str(status.facts.get("passages", "exact")).startswith("exact")
        return status.state == "ready" and composes and self._library.state == "ready"

    async def _fill(self) -> None:
        """Go through all passages once; ends early when they change, when there is no room, or when it cannot be."""
        version, failures = self._version, 0
        places = await self._listed()
        ahead = self._kiosk.ahead
        await self._remove_others({name for name, _, _ in places})
        manifest = self._kiosk.bundle.manifest
        services = [service for service in manifest.services if service.search]
        ahead.state, ahead.done = "reading", 0
        ahead.all = len(places) * len(services) * len(manifest.languages)
        for place in places:
            for service in services:
                for language in manifest.languages:
                    await self._until_idle()
                    passage = await self._passage(place)
                    if passage is None or self._version != version:
                        return
                    how = await self._engine.keep(self._request(service, language, passage))
                    if self._version != version:  # it may be of a document that was removed meanwhile
                        await self._remove_others({name for name, _, _ in await self._listed()})
                        return
                    ahead.done += how == "kept"
                    failures = 0 if how == "kept" else failures + 1
                    if how in {"full", "refused"} or failures >= _MOST_FAILURES:
                        ahead.state = "full" if how == "full" else "failed"
                        return
        ahead.state = "ready"

    async def _listed(self) -> list[_Place]:
        """Return all passages in the order in which they are read."""
        found: list[_Place] = []
        for source in await self._library.sources():
            passages = await self._library.document(source)
            found += [(digest_of(passage), source, number) for number, passage in enumerate(passages)]
            await asyncio.sleep(0)
        return sorted(found)

    async def _passage(self, place: _Place) -> "Passage | None":
        name, source, number = place
        passages = await self._library.document(source)
        found = passages[number] if number < len(passages) else None
        return found if found and digest_of(found) == name else None

    def _request(self, service: ServiceInfo, language: str, passage: "Passage") -> ChatRequest:
        """Return a request as a patron's would be whose question finds this passage first, without a question."""
        from publicai_edge.search import Hit

        inquiry = Inquiry(service, language, "", labels=self._kiosk.words.get(language))
        return compose(inquiry, [passage_text(source_of(1, Hit(passage, 1.0, 1.0)))])

    async def _remove_others(self, wanted: Collection[str]) -> None:
        """Remove the states of passages that are not among these; those of beginnings are under their own name."""

        def sweep() -> None:
            there = {place.stem for place in states.files(self._folder) if place.stem != place.parent.name}
            states.remove(self._folder, sorted(there - set(wanted)))

        await asyncio.to_thread(sweep)

    async def _until_idle(self) -> None:
        """Wait until nobody has asked for a while, and the machine can spare the work."""
        while True:
            metrics, now = self._engine.metrics, time.monotonic()
            busy = metrics.slots_busy or metrics.queued
            if busy or metrics.requests != self._answered[0]:
                self._answered = (metrics.requests, now)
            if now - self._answered[1] >= self._idle_seconds and not busy and self._engine.status.state == "ready":
                if not await asyncio.to_thread(_spare):
                    await asyncio.sleep(_PAUSE_SECONDS)
                    continue
                return
            await asyncio.sleep(_LOOK_SECONDS)


def _spare() -> bool:
    """Say whether the machine can do what nobody waits for: it is on mains, and not hot."""
    celsius = host.processor_celsius()
    return not host.on_battery() and (celsius is None or celsius < _HOT_CELSIUS)


async def fill(kiosk: Kiosk) -> None:
    """Fill a kiosk's folder of states until cancelled, where there are documents, a folder, and an engine for it."""
    if kiosk.library and kiosk.staff and isinstance(kiosk.engine, Keeper):
        await Filler(kiosk, kiosk.engine, kiosk.library, kiosk.staff.place / PASSAGES).run()
