"""An engine that runs as long as one test uses it, what is asked of it, and what it answers."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from publicai_edge import digest
from publicai_edge.engine.client import WorkerEngine
from publicai_edge.engine.config import EngineConfig
from publicai_edge.engine.protocol import ChatMessage, ChatRequest, Delta, Event, Finished, Sampling, Started
from publicai_edge.engine.warm import SharedPrompt

Body = Callable[[WorkerEngine], Awaitable[None]]
Answer = tuple[str, Started, Finished]

SHA = "0" * 64
SENTENCE = "You answer questions about a town library from the passages you are given, in one short sentence. "


def use(engine: WorkerEngine, body: Body, seconds: float = 120.0) -> None:
    """Run a test's body with an engine that is started before and closed after it."""

    async def main() -> None:
        await engine.start()
        try:
            await asyncio.wait_for(body(engine), seconds)
        finally:
            await engine.close()

    asyncio.run(main())


def use_model(settings: EngineConfig, body: Body) -> None:
    """Run a test's body with the real worker, which may take its time to load a model."""
    use(WorkerEngine(settings), body, seconds=240)


def shared_prompt(system: str, file: Path | None = None) -> SharedPrompt:
    """The prompt of the one service, and the file of its stored state."""
    return SharedPrompt("ask", "en", system, str(file) if file else None, digest.of_file(file) if file else None)


def request_of(system: str, question: str, **sampling: object) -> ChatRequest:
    turns = (ChatMessage("system", system), ChatMessage("user", question))
    return ChatRequest(turns, Sampling(**{"max_tokens": 24, **sampling}))  # type: ignore[arg-type]


async def collect(engine: WorkerEngine, what: ChatRequest) -> list[Event]:
    return [event async for event in engine.chat(what)]


async def answer(engine: WorkerEngine, what: ChatRequest) -> Answer:
    events = await collect(engine, what)
    started = [event for event in events if isinstance(event, Started)]
    finished = [event for event in events if isinstance(event, Finished)]
    return text(events), started[-1], finished[-1]


def text(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))
