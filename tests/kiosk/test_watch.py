"""What the operator's log says of the engine."""

import asyncio
import logging
from types import SimpleNamespace
from typing import cast

import pytest

from publicai_edge.kiosk import watch
from publicai_edge.kiosk.reading_ahead import ReadingAhead
from publicai_edge.kiosk.state import Kiosk
from publicai_edge.kiosk.watch import readiness
from tests.kiosk.fakes import FakeEngine

FACTS = {"load_seconds": 0.612, "slots": 4, "threads": 2, "states_reused": 3, "states_rebuilt": {}}


def test_a_start_is_told_with_what_it_brought() -> None:
    assert readiness(FACTS, again=False) == [
        "The model is ready after 0.6 s: 4 patrons at a time, 2 threads at most.",
        "Service prompts: 3 stored states reused, 0 rebuilt.",
    ]


def test_a_second_start_and_what_was_missing_are_told() -> None:
    rebuilt = {"ask.en.state": "is of another prompt"}
    facts = FACTS | {"slots": 1, "threads": 1, "slots_note": "1 of 4 slots: …", "states_rebuilt": rebuilt}
    assert readiness(facts, again=True) == [
        "The model is ready again after 0.6 s: one patron at a time, one thread at most.",
        "Memory allows 1 of 4 slots: …",
        "Service prompts: 3 stored states reused, 1 rebuilt.",
        "  ask.en.state is of another prompt, so the prompt is read again; the first answers wait for it.",
    ]


def test_a_bundle_without_prompts_has_no_line_about_them() -> None:
    assert len(readiness({"slots": 4, "threads": 2}, again=False)) == 1


def test_how_passages_are_read_is_told_where_the_recipe_asks_for_more_than_reading_them() -> None:
    told = readiness({"passages": "shifted"}, again=False)
    assert told[1] == "Passages are read once, while nobody asks, and put together for a question (shifted)."
    told = readiness({"passages": "exact: this model looks back over a window only"}, again=False)
    assert told[1] == "Every passage is read for every question: this model looks back over a window only."
    assert len(readiness({"passages": "exact"}, again=False)) == 1


def test_the_end_of_reading_ahead_is_told_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_LOOK_SECONDS", 0.001)
    caplog.set_level(logging.INFO, "publicai_edge.kiosk")
    ahead = ReadingAhead("reading", 3, 8)

    async def main() -> None:
        kiosk = cast("Kiosk", SimpleNamespace(engine=FakeEngine(), library=None, ahead=ahead))
        task = asyncio.create_task(watch.watch(kiosk))
        await asyncio.sleep(0.05)
        assert "ahead" not in caplog.text
        ahead.state = "full"
        await asyncio.sleep(0.05)
        task.cancel()

    asyncio.run(main())
    told = [record.getMessage() for record in caplog.records if "ahead" in record.getMessage()]
    assert len(told) == 1
    assert "used up: 3 of 8 are read" in told[0]
    assert "knowledge.reading.disk_mb" in told[0]
