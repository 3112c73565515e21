"""How a model serves: the real worker process, asked as the kiosk asks it. One round of measurements.

``start`` is from nothing until the model answers. ``first_token_cold`` is the first question after that: a bundle's
service prompt lies there as a stored state, a bare model must read it. ``first_token_warm`` is the next patron's
question to the same service. ``patrons@4`` is how many tokens a second four patrons get together, who ask at the same
moment, their prompts included. ``memory`` is the most that the worker ever held, its share of the mapped file included.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

from publicai_edge.bench.machine import watched
from publicai_edge.bench.settings import Settings
from publicai_edge.bench.speed import Samples
from publicai_edge.engine.client import WorkerEngine
from publicai_edge.engine.config import EngineConfig
from publicai_edge.engine.protocol import ChatMessage, ChatRequest, Delta, Finished, Sampling

QUESTIONS = (
    "Write a long story about a lighthouse keeper who collects clocks.",
    "Explain in many words how a river finds its way to the sea.",
    "Describe a market in the morning, stall by stall.",
    "Tell me all you know about bread, and how it is made.",
    "Write a letter to a friend who has moved far away.",
    "Describe the rooms of an old house, one after the other.",
    "Tell the story of a train that is late on the first day of winter.",
    "Explain to a child, step by step, how a letter travels.",
)
# For a model without a bundle: as long a prompt as a service's commonly is.
SYSTEM = (
    "You are the help desk of a public library. Answer in plain words and short sentences, in the language of the "
    "question. Be kind. Say only what you know, and send people to the front desk for what you do not know. "
) * 4


def measure(config: EngineConfig, system: str, settings: Settings) -> Samples:
    """Measure one round; see the module.

    Args:
        config: the model, with the stored states of a bundle's prompts.
        system: the prompt of the service that is asked.
        settings: how many patrons, and how long their answers.

    Raises:
        PublicAIError: the model cannot be loaded, or does not answer.
    """
    slots = max(settings.patrons, default=1)
    return asyncio.run(_measure(replace(config, slots=slots, queue=slots), system, settings))


async def _measure(config: EngineConfig, system: str, settings: Settings) -> Samples:
    found = Samples()
    engine = WorkerEngine(config)
    started = time.perf_counter()
    await engine.start()
    try:
        status = await engine.ready()
        found.values["start"] = time.perf_counter() - started
        found.facts["slots"] = status.facts["slots"]
        found.facts["states_reused"] = status.facts["states_reused"]
        for name, question in (("first_token_cold", QUESTIONS[0]), ("first_token_warm", QUESTIONS[1])):
            found.values[name] = await _first_token(engine, _request(system, question, settings))
        for count in settings.patrons:
            if count <= status.facts["slots"]:
                await crowd(engine, count, system, settings, found)
        if engine.pid and (peak := peak_memory(engine.pid)):
            found.values["memory"] = float(peak)
    finally:
        await engine.close()
    return found


def _request(system: str, question: str, settings: Settings) -> ChatRequest:
    turns = (ChatMessage("system", system), ChatMessage("user", question))
    return ChatRequest(turns, Sampling(max_tokens=settings.answer_tokens), client=question)


async def _first_token(engine: WorkerEngine, request: ChatRequest) -> float:
    started = time.perf_counter()
    async with aclosing(engine.chat(request)) as events:
        async for event in events:
            if isinstance(event, Delta | Finished):
                return time.perf_counter() - started
    raise RuntimeError("an answer has no end")


async def crowd(engine: WorkerEngine, count: int, system: str, settings: Settings, found: Samples) -> None:
    requests = [_request(system, question, settings) for question in QUESTIONS[:count]]
    with watched(*([engine.pid] if engine.pid else [])) as others:
        started = time.perf_counter()
        written = await asyncio.gather(*(_answer(engine, request) for request in requests))
        seconds = time.perf_counter() - started
    found.values[f"patrons@{count}"] = sum(written) / seconds
    if others.disturbed:
        found.disturbed.append(f"patrons@{count}")


async def _answer(engine: WorkerEngine, request: ChatRequest) -> int:
    tokens = 0
    async for event in engine.chat(request):
        if isinstance(event, Finished):
            tokens = event.completion_tokens
    return max(1, tokens)


def peak_memory(pid: int) -> int | None:
    """Return the most memory that a process ever held, in bytes; None where the system does not tell.

    Source: ``VmHWM`` in Linux's ``/proc/PID/status``.
    """
    try:
        lines: Sequence[str] = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:")), None)
