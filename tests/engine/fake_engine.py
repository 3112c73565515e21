"""An engine with a worker that has no model and misbehaves on demand: :mod:`tests.engine.fake_worker`."""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path

from publicai_edge.engine.client import WorkerEngine
from publicai_edge.engine.config import EngineConfig
from publicai_edge.engine.protocol import ChatMessage, ChatRequest, Event, Queued
from publicai_edge.engine.warm import SharedPrompt
from tests.engine.engines import SHA

FAKE = Path(__file__).with_name("fake_worker.py")


def engine(
    *, slots: int = 4, has: int | None = 8, queue: int = 16, hang_seconds: float = 60.0, **options: object
) -> WorkerEngine:
    """An engine of so many slots, whose worker ``has`` its own number and gets the other options."""
    prompts = (SharedPrompt("ask", "en", "system", "a.state", "0"),)
    config = EngineConfig(Path("model.gguf"), SHA, 512, prompts=prompts, slots=slots, queue=queue)
    command = (sys.executable, "-I", "-S", str(FAKE), json.dumps({"slots": has, **options}))
    return WorkerEngine(config, command=command, hang_seconds=hang_seconds)


def ask(client: str = "", **plan: object) -> ChatRequest:
    """A request that tells the worker what to do."""
    return ChatRequest((ChatMessage("user", json.dumps(plan)),), client=client)


def places(events: list[Event]) -> list[int]:
    """The places in line that a request was told."""
    return [event.position for event in events if isinstance(event, Queued)]


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def adds_up(made: WorkerEngine, answered: int) -> bool:
    """Every request has exactly one end."""
    counts = made.metrics
    ends = counts.answered + counts.failed + counts.cancelled + counts.refused
    return counts.answered == answered and counts.requests == ends
