"""The real worker process over onnxruntime: the protocol that the kiosk knows from llama.cpp's."""

import asyncio
import os
from collections.abc import Awaitable
from contextlib import aclosing
from functools import partial
from pathlib import Path

import pytest

from publicai_edge import digest
from publicai_edge.engine import warm
from publicai_edge.engine.client import WorkerEngine
from publicai_edge.engine.config import EngineConfig
from publicai_edge.engine.onnx import warm as onnx_warm
from publicai_edge.engine.protocol import ChatRequest, Delta, Finished, Started
from publicai_edge.errors import ContextOverflowError, EngineError, ModelError
from publicai_edge.progress import Silent
from tests.engine.engines import SENTENCE, SHA, Answer, answer, request_of, shared_prompt, use_model

SYSTEM = SENTENCE * 3
request = partial(request_of, SYSTEM)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="looks into /proc")


@pytest.fixture(scope="module")
def state(minimind: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stored state of one service's prompt."""
    out = tmp_path_factory.mktemp("warm")
    prompt = shared_prompt(SYSTEM)
    made = onnx_warm.build(minimind, [prompt], out, context=1024, progress=Silent())
    assert made["tokens"][prompt.file_name] > 64
    return out / prompt.file_name


def config(model: Path, file: Path | None = None, **more: object) -> EngineConfig:
    made_by = warm.fingerprint(SHA, "f16", onnx_warm.build_id())
    prompts = (shared_prompt(SYSTEM, file),)
    values = {"context": 1024, "kind": "onnx", "prompts": prompts, "fingerprint": made_by, "slots": 3, **more}
    return EngineConfig(model, SHA, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("damage", [None, "other bytes", "other engine"])
def test_answer_is_the_same_warm_and_cold(minimind: Path, state: Path, tmp_path: Path, damage: str | None) -> None:
    settings = config(minimind, state)
    if damage == "other bytes":
        place = tmp_path / "state"
        place.write_bytes(state.read_bytes()[:-1] + b"x")
        prompt = warm.SharedPrompt("ask", "en", SYSTEM, str(place), digest.of_file(state))
        settings = config(minimind, prompts=(prompt,))
    elif damage == "other engine":
        settings = config(minimind, state, fingerprint=warm.fingerprint(SHA, "f16"))
    found = []

    async def ask(engine: WorkerEngine) -> None:
        status = await engine.ready()
        text, started, _ = await answer(engine, request("When is the library open?"))
        found.append((status.facts["states_reused"], text, started.reused_tokens > 64))

    use_model(settings, ask)
    use_model(config(minimind), ask)
    assert [item[0] for item in found] == [0 if damage else 1, 0]
    assert found[0][1:] == found[1][1:]
    assert found[0][1]
    assert found[0][2]


def test_several_are_answered_at_once_and_each_as_if_it_were_alone(tiny: Path) -> None:
    questions = ["right to education", "a", "everyone has the right to rest", "12345"]
    alone: list[str] = []
    together: list[Answer] = []

    async def body(engine: WorkerEngine) -> None:
        alone.extend([(await answer(engine, request(question)))[0] for question in questions])
        together.extend(await asyncio.gather(*(answer(engine, request(question)) for question in questions)))

    use_model(config(tiny, slots=4), body)
    assert [text for text, _, _ in together] == alone
    assert len(set(alone)) > 1


def test_a_request_comes_in_while_another_is_being_answered(minimind: Path) -> None:
    order: list[str] = []

    async def body(engine: WorkerEngine) -> None:
        await engine.ready()

        async def one(name: str, what: ChatRequest) -> None:
            nonlocal order
            async for event in engine.chat(what):
                order += [f"{name} {type(event).__name__}"] if isinstance(event, Started | Finished) else []

        # Nothing ends the long one before its last token but the model itself, and a penalty keeps it talking.
        long = asyncio.create_task(one("long", request("Write.", max_tokens=800, presence_penalty=2.0, seed=1)))
        while "long Started" not in order:
            await asyncio.sleep(0.005)
        await one("short", request("Hello?", max_tokens=2))
        long.cancel()

    use_model(config(minimind), body)
    assert order[:3] == ["long Started", "short Started", "short Finished"]


def test_answers_end_where_they_should(minimind: Path) -> None:
    async def body(engine: WorkerEngine) -> None:
        whole, _, finished = await answer(engine, request("Tell me more.", max_tokens=12))
        assert finished.completion_tokens <= 12
        assert len(whole) > 8
        cut, _, stopped = await answer(engine, request("Tell me more.", max_tokens=12, stop=(whole[4:7],)))
        assert cut == whole[: whole.index(whole[4:7])]
        assert stopped.reason == "stop"
        one, _, length = await answer(engine, request("Tell me more.", max_tokens=1))
        assert whole.startswith(one)
        assert (length.reason, length.completion_tokens) == ("length", 1)

    use_model(config(minimind), body)


def test_seeds_repeat_and_several_draws_differ(minimind: Path) -> None:
    async def body(engine: WorkerEngine) -> None:
        def ask(seed: int) -> Awaitable[Answer]:
            return answer(engine, request("Tell me more.", temperature=1.2, top_p=0.95, min_p=0.02, seed=seed))

        first, second, third = [(await ask(seed))[0] for seed in (1, 1, 2)]
        assert first == second != third

    use_model(config(minimind), body)


def test_a_closed_stream_frees_its_place_within_a_step(minimind: Path) -> None:
    async def body(engine: WorkerEngine) -> None:
        await engine.ready()
        async with aclosing(engine.chat(request("Write a long letter.", max_tokens=700, temperature=1.0))) as events:
            async for event in events:
                if isinstance(event, Delta):
                    break
        await answer(engine, request("Hello?", max_tokens=1))
        assert engine.metrics.completion_tokens < 200, "the letter was written on"

    use_model(config(minimind, slots=1), body)


def test_what_cannot_be_answered_is_told_and_the_worker_goes_on(minimind: Path) -> None:
    async def body(engine: WorkerEngine) -> None:
        with pytest.raises(ContextOverflowError) as caught:
            await answer(engine, request("word " * 2000))
        assert caught.value.facts["context"] == 1024
        with pytest.raises(EngineError, match="JSON schema"):
            await answer(engine, request("x", json_schema='{"type": "object"}'))
        text, _, _ = await answer(engine, request("Hello?"))
        assert text

    use_model(config(minimind), body)


def test_a_folder_that_holds_no_model_fails_in_words(minimind: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(minimind, folder)
    (folder / "model.onnx").write_bytes(b"not a model")

    async def body(engine: WorkerEngine) -> None:
        with pytest.raises(ModelError, match="onnxruntime cannot load"):
            await engine.ready()

    use_model(config(folder), body)


def test_the_worker_loads_neither_torch_nor_llama_cpp_and_leaves_no_file(
    minimind: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    async def body(engine: WorkerEngine) -> None:
        await answer(engine, request("Hello?"))
        maps = Path(f"/proc/{engine.pid}/maps").read_text()
        assert "onnxruntime" in maps
        assert not [name for name in ("libtorch", "libllama", "libggml") if name in maps]

    use_model(config(minimind), body)
    assert not list(tmp_path.iterdir())
