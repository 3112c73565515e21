"""The real worker with the real small model: passages kept while nobody asks, and answers that begin with them."""

import asyncio
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from publicai_edge.engine.client import WorkerEngine
from publicai_edge.engine.config import EngineConfig
from publicai_edge.engine.passages.settings import PassageSettings
from publicai_edge.engine.passages.store import files
from publicai_edge.engine.protocol import ChatMessage, ChatRequest, Sampling
from tests.engine.engines import SHA, answer, shared_prompt, use_model
from tests.engine.passages.test_composer import PASSAGES, SYSTEM, message

LONG = tuple(text * 3 for text in PASSAGES)


def config(model: Path, folder: Path | None, composition: str = "shifted", **more: object) -> EngineConfig:
    passages = PassageSettings(composition, folder=str(folder) if folder else None)  # type: ignore[arg-type]
    values = {"context": 1024, "prompts": (shared_prompt(SYSTEM),), "passages": passages, "threads": 2, **more}
    return EngineConfig(model, SHA, **values)  # type: ignore[arg-type]


def request(*texts: str, question: str = "\n\nQuestion: Where is it booked?") -> ChatRequest:
    return ChatRequest((ChatMessage("system", SYSTEM), message(texts, question)), Sampling(max_tokens=16))


def test_kept_passages_are_not_read_again(model: Path, tmp_path: Path) -> None:
    async def body(engine: WorkerEngine) -> None:
        status = await engine.ready()
        assert status.facts["passages"] == "shifted"
        _, before, _ = await answer(engine, request(*LONG))
        assert before.prompt_tokens - before.reused_tokens > 150
        for text in LONG:
            assert await engine.keep(request(text, question=" ")) == "kept"
        said, after, _ = await answer(engine, request(LONG[2], LONG[0]))
        assert said
        assert after.prompt_tokens - after.reused_tokens < 40
        assert await engine.keep(request(LONG[0], question=" ")) == "kept"  # it is there; nothing is read

    use_model(config(model, tmp_path), body)
    assert len(list(files(tmp_path))) == len(LONG) + 1


def test_one_kept_passage_gives_the_answer_of_one_that_is_read(model: Path, tmp_path: Path) -> None:
    answers = []

    async def body(engine: WorkerEngine) -> None:
        await engine.ready()
        await engine.keep(request(LONG[2], question=" "))
        answers.append(await answer(engine, request(LONG[2])))

    use_model(config(model, tmp_path), body)
    use_model(config(model, None), body)
    assert answers[0][0] == answers[1][0] != ""
    assert answers[0][1].reused_tokens > answers[1][1].reused_tokens + 60


def test_patrons_who_come_at_once_each_get_their_own(model: Path, tmp_path: Path) -> None:
    async def body(engine: WorkerEngine) -> None:
        await engine.ready()
        for text in LONG:
            await engine.keep(request(text, question=" "))
        asked = [request(LONG[index], question=f"\n\nQuestion: What is number {index}?") for index in (0, 1, 2, 0)]
        alone = [(await answer(engine, each))[0] for each in asked]
        together = await asyncio.gather(*(answer(engine, each) for each in asked))
        assert [text for text, _, _ in together] == alone
        assert all(started.prompt_tokens - started.reused_tokens < 40 for _, started, _ in together)

    use_model(config(model, tmp_path), body)


def test_a_patron_does_not_wait_for_a_passage_that_is_read(model: Path, tmp_path: Path) -> None:
    async def body(engine: WorkerEngine) -> None:
        await engine.ready()
        await answer(engine, request(LONG[0]))
        keeping = asyncio.create_task(engine.keep(request(PASSAGES[1] * 20, question=" ")))
        await asyncio.sleep(0.2)
        started = time.perf_counter()
        await answer(engine, replace(request(PASSAGES[0]), sampling=Sampling(max_tokens=1)))
        waited = time.perf_counter() - started
        assert not keeping.done(), "it was read before the patron came"
        assert await keeping == "kept"
        whole = time.perf_counter() - started
        assert waited < whole / 2

    use_model(config(model, tmp_path), body)


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_state_costs_time_and_nothing_else(model: Path, tmp_path: Path, damage: str) -> None:
    async def fill(engine: WorkerEngine) -> None:
        await engine.ready()
        for text in LONG[:2]:
            await engine.keep(request(text, question=" "))

    async def ask(engine: WorkerEngine) -> None:
        await engine.ready()
        said, started, _ = await answer(engine, request(*LONG[:2]))
        assert said
        assert started.prompt_tokens - started.reused_tokens > 100
        assert engine.metrics.restarts == 0
        await fill(engine)
        _, started, _ = await answer(engine, request(*LONG[:2]))
        assert started.prompt_tokens - started.reused_tokens < 40

    use_model(config(model, tmp_path), fill)
    for file in files(tmp_path):
        data = bytearray(file.read_bytes())
        data[-40] ^= 1
        file.write_bytes(data[: len(data) // 2] if damage == "cut" else data)
    use_model(config(model, tmp_path), ask)


def test_without_a_folder_or_by_default_passages_are_read_and_nothing_is_written(model: Path, tmp_path: Path) -> None:
    async def body(engine: WorkerEngine) -> None:
        status = await engine.ready()
        assert status.facts["passages"] == "exact"
        assert await engine.keep(request(LONG[0], question=" ")) == "refused"
        assert (await answer(engine, request(LONG[0])))[0]

    use_model(config(model, None), body)
    use_model(config(model, tmp_path, "exact"), body)
    assert not list(tmp_path.iterdir())


def test_a_worker_that_dies_while_it_reads_lets_the_kiosk_know(model: Path, tmp_path: Path) -> None:
    async def body(engine: WorkerEngine) -> None:
        await engine.ready()
        keeping = asyncio.create_task(engine.keep(request(PASSAGES[1] * 20, question=" ")))
        await asyncio.sleep(0.1)
        assert engine.pid
        os.kill(engine.pid, signal.SIGKILL)
        assert await keeping == "lost"
        while (how := await engine.keep(request(PASSAGES[1], question=" "))) == "refused":
            await asyncio.sleep(0.05)
        assert how == "kept"

    use_model(config(model, tmp_path), body)
