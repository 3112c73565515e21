"""Does an installed version work: can the bundle be opened, the model be loaded, and one question be answered?

The model runs in the engine's own worker process, so that whatever is wrong with it stays there; and within a time, so
that a model that hangs is one that does not work.
"""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

from publicai_edge.bundle.open import Bundle, open_bundle
from publicai_edge.engine.client import WorkerEngine
from publicai_edge.engine.protocol import ChatMessage, ChatRequest, Finished, Sampling
from publicai_edge.errors import EngineError
from publicai_edge.progress import Progress

LIMIT_SECONDS = 300.0
_TOKENS = 4


def run(root: Path, progress: Progress, limit_seconds: float = LIMIT_SECONDS) -> None:
    """Open the bundle at ``root``, load its model and let it answer.

    Raises:
        BundleError: it cannot be opened.
        EngineError: the model does not load, does not answer, or takes too long.
        HostError: it does not fit this machine's memory.
    """
    bundle = open_bundle(root)
    progress.say("Testing: the model is loaded and asked a question.")
    try:
        asyncio.run(asyncio.wait_for(_answer(bundle), limit_seconds))
    except TimeoutError as error:
        raise EngineError(
            f"The model of {bundle.manifest.folder_name} had not answered after {limit_seconds:g} seconds.",
            hint="The machine may be too slow or too busy: close other programs and try again, or leave the test out "
            "with --no-self-test.",
        ) from error


async def _answer(bundle: Bundle) -> None:
    engine = WorkerEngine(replace(bundle.engine_config(), slots=1))
    prompt = next(iter(bundle.manifest.services[0].prompt.values()))
    turns = (ChatMessage("system", prompt), ChatMessage("user", "Hello?"))
    finished = None
    await engine.start()
    try:
        await engine.ready()
        async with aclosing(engine.chat(ChatRequest(turns, Sampling(max_tokens=_TOKENS)))) as events:
            async for event in events:
                finished = event if isinstance(event, Finished) else finished
    finally:
        await engine.close()
    if finished is None or not finished.completion_tokens:
        raise EngineError(
            f"The model of {bundle.manifest.folder_name} loaded and answered nothing.",
            hint="Ask the bundle's steward; `publicai-edge ask` shows what it answers.",
        )
