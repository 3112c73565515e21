"""Passages are read ahead when nobody asks: all of them, in one order, and nothing stays of what was removed."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from publicai_edge import digest, host
from publicai_edge.bundle.open import Bundle
from publicai_edge.engine.keeping import Kept
from publicai_edge.engine.passages import store as states
from publicai_edge.engine.passages.store import Key, StateStore
from publicai_edge.engine.protocol import ChatRequest, EngineMetrics, EngineStatus
from publicai_edge.kiosk import filling, passage_states
from publicai_edge.kiosk.answering import Inquiry, compose, passage_text, source_of
from publicai_edge.kiosk.filling import Filler
from publicai_edge.kiosk.library import Library
from publicai_edge.kiosk.reading_ahead import ReadingAhead
from publicai_edge.kiosk.state import Kiosk
from publicai_edge.search import Hit
from tests.engine.passages.states import state
from tests.kiosk.conftest import manifest
from tests.kiosk.fakes import PASSAGES, FakeDocuments

BEGINNING = "c" * 64


class FakeKeeper:
    """An engine that writes a state for each passage it is given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[ChatRequest] = []
        self.metrics = EngineMetrics()
        self.facts: dict[str, Any] = {"passages": "shifted", "pid": 1}
        self.how: list[Kept] = []
        self.meanwhile: Callable[[], None] = lambda: None

    @property
    def status(self) -> EngineStatus:
        return EngineStatus("ready", facts=self.facts)

    async def keep(self, request: ChatRequest) -> Kept:
        self.requests.append(request)
        await asyncio.sleep(0)
        self.meanwhile()
        message = request.messages[-1]
        ((begin, end),) = message.passages
        how = self.how.pop(0) if self.how else "kept"
        if how == "kept":
            name = digest.of_bytes(message.content[begin:end].encode())
            StateStore(self.folder, "a" * 64, 1 << 30).write(Key(BEGINNING, name), range(10), state())
        return how


@dataclass
class Place:
    """What a filler works on."""

    filler: Filler
    engine: FakeKeeper
    documents: FakeDocuments
    desk: SimpleNamespace
    folder: Path
    ahead: ReadingAhead

    def kept(self) -> set[str]:
        return {file.stem for file in states.files(self.folder)}

    def run(self, until: Callable[[], bool], seconds: float = 10.0) -> None:
        async def main() -> None:
            task = asyncio.create_task(self.filler.run())
            await eventually(until, seconds)
            task.cancel()

        asyncio.run(main())


async def eventually(holds: Callable[[], bool], seconds: float) -> None:
    end = asyncio.get_running_loop().time() + seconds
    while not holds():
        assert asyncio.get_running_loop().time() < end, "it did not come about"
        await asyncio.sleep(0.01)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(filling, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(host, "on_battery", lambda: False)
    monkeypatch.setattr(host, "processor_celsius", lambda: 50.0)
    documents = FakeDocuments(PASSAGES)
    library = Library(lambda: documents)
    library.start()
    folder = tmp_path / "passages"
    engine = FakeKeeper(folder)
    desk = SimpleNamespace(version=1)
    bundle = Bundle(tmp_path, manifest())
    ahead = ReadingAhead()
    kiosk = SimpleNamespace(bundle=bundle, words={}, staff=desk, ahead=ahead)
    filler = Filler(cast("Kiosk", kiosk), engine, library, folder, idle_seconds=0.0)
    return Place(filler, engine, documents, desk, folder, ahead)


def wanted(passages: Any = PASSAGES) -> set[str]:
    return {passage_states.digest_of(passage) for passage in passages}


def texts(engine: FakeKeeper) -> list[str]:
    messages = [request.messages[-1] for request in engine.requests]
    return [message.content[slice(*message.passages[0])] for message in messages]


def test_every_passage_is_read_for_every_language(place: Place) -> None:
    place.run(lambda: place.ahead.state == "ready")
    assert place.kept() == wanted()
    assert place.ahead == ReadingAhead("ready", 2 * len(PASSAGES), 2 * len(PASSAGES))
    systems = {request.messages[0].content for request in place.engine.requests}
    assert len(systems) == 2


def test_what_is_read_is_what_a_question_would_begin_with(place: Place) -> None:
    place.run(lambda: place.ahead.done == 2 * len(PASSAGES))
    service = next(service for service in manifest().services if service.search)
    source = source_of(1, Hit(PASSAGES[0], 1.0, 1.0))
    asked = compose(Inquiry(service, "en", "When does it open?", labels={}), [passage_text(source)]).messages
    (begin, end) = asked[-1].passages[0]
    same = [
        request
        for request in place.engine.requests
        if request.messages[0] == asked[0]
        and request.messages[-1].content[: asked[-1].passages[0][1]] == asked[-1].content[:end]
    ]
    assert len(same) == 1
    assert "When does it open?" not in same[0].messages[-1].content
    assert begin > 0


def test_the_order_is_the_same_whatever_the_documents_order_and_whatever_was_asked(place: Place) -> None:
    place.run(lambda: place.ahead.done == 2 * len(PASSAGES))
    first = texts(place.engine)
    place.engine.requests.clear()
    place.documents.passages = tuple(reversed(PASSAGES))
    place.engine.metrics = replace(place.engine.metrics, requests=7)
    place.desk.version += 1
    place.run(lambda: len(place.engine.requests) == 2 * len(PASSAGES))
    assert texts(place.engine) == first


def test_nothing_is_read_while_somebody_is_answered_or_waits(place: Place) -> None:
    for busy in ({"slots_busy": 1}, {"queued": 1}):
        place.engine.metrics = EngineMetrics(**busy)  # type: ignore[arg-type]
        _run_for(place, 0.1)
        assert not place.engine.requests


def _run_for(place: Place, seconds: float) -> None:
    async def main() -> None:
        task = asyncio.create_task(place.filler.run())
        await asyncio.sleep(seconds)
        task.cancel()

    asyncio.run(main())


@pytest.mark.parametrize(("battery", "celsius"), [(True, 50.0), (False, 95.0)])
def test_nothing_is_read_on_battery_or_when_it_is_hot(
    place: Place, monkeypatch: pytest.MonkeyPatch, battery: bool, celsius: float
) -> None:
    monkeypatch.setattr(host, "on_battery", lambda: battery)
    monkeypatch.setattr(host, "processor_celsius", lambda: celsius)
    _run_for(place, 0.1)
    assert not place.engine.requests


def test_an_engine_that_reads_passages_anew_is_left_alone(place: Place) -> None:
    place.engine.facts["passages"] = "exact: this model looks back over a window only"
    _run_for(place, 0.1)
    assert not place.engine.requests
    assert place.ahead.to_json() is None


def test_it_stops_when_there_is_no_room(place: Place) -> None:
    place.engine.how = ["kept", "kept", "full"]
    place.run(lambda: place.ahead.state == "full")
    assert len(place.engine.requests) == 3
    assert place.ahead == ReadingAhead("full", 2, 2 * len(PASSAGES))
    assert "used up: 2 of" in (place.ahead.note or "")


def test_a_failing_engine_is_not_asked_for_ever(place: Place) -> None:
    place.engine.how = ["failed"] * 100
    place.run(lambda: place.ahead.state == "failed")
    assert len(place.engine.requests) == filling._MOST_FAILURES
    assert place.ahead == ReadingAhead("failed", 0, 2 * len(PASSAGES))


def test_states_of_passages_that_are_gone_are_removed_at_the_start(place: Place) -> None:
    store = StateStore(place.folder, "b" * 64, 1 << 30)
    gone = digest.of_bytes(b"a document of last week")
    store.write(Key(BEGINNING, gone), range(10), state())
    store.write(Key(BEGINNING, BEGINNING), range(10), state())
    place.run(lambda: place.ahead.done > 0)
    assert gone not in place.kept()
    assert BEGINNING in place.kept(), "that of a service's prompt stays"


def test_a_document_removed_while_it_is_read_leaves_no_state(place: Place) -> None:
    """Staff remove it in the very moment in which the worker computes one of its passages."""
    rest = tuple(passage for passage in PASSAGES if passage.source != "rules.pdf")
    gone = wanted(passage for passage in PASSAGES if passage.source == "rules.pdf")
    reading = {text for passage in PASSAGES if passage.source == "rules.pdf" for text in [passage.text]}

    def remove() -> None:
        if any(text in place.engine.requests[-1].messages[-1].content for text in reading):
            place.documents.passages = rest
            passage_states.forget(place.folder.parent, sorted(gone))
            place.desk.version = 2

    place.engine.meanwhile = remove
    place.run(lambda: place.desk.version == 2 and place.kept() == wanted(rest))
    assert not gone & place.kept()


def test_removing_states_needs_no_folder(tmp_path: Path) -> None:
    passage_states.forget(tmp_path / "nowhere", ["a" * 64])
