"""The supervisor, with a worker that speaks the protocol and misbehaves on demand: several answers at once, cancels,
crashes, hangs, refusals, and counts that add up.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from publicai_edge.engine.client import WorkerEngine
from publicai_edge.engine.config import EngineConfig
from publicai_edge.engine.protocol import ChatMessage, ChatRequest, Delta, Event, Finished, Queued, Started
from publicai_edge.engine.warm import SharedPrompt
from publicai_edge.errors import ContextOverflowError, EngineError, ModelError, OverloadedError

FAKE = Path(__file__).with_name("fake_worker.py")


def ask(client: str = "", **plan: object) -> ChatRequest:
    return ChatRequest((ChatMessage("user", json.dumps(plan)),), client=client)


def engine(
    *, slots: int = 4, has: int | None = 8, queue: int = 16, hang_seconds: float = 60.0, **options: object
) -> WorkerEngine:
    prompts = (SharedPrompt("ask", "en", "system", "a.state", "0"),)
    config = EngineConfig(Path("model.gguf"), "0" * 64, 512, prompts=prompts, slots=slots, queue=queue)
    command = (sys.executable, "-I", "-S", str(FAKE), json.dumps({"slots": has, **options}))
    return WorkerEngine(config, command=command, hang_seconds=hang_seconds)


@asynccontextmanager
async def running(made: WorkerEngine) -> AsyncIterator[WorkerEngine]:
    await made.start()
    try:
        yield made
    finally:
        await made.close()


def use(made: WorkerEngine, body: Callable[[WorkerEngine], Awaitable[None]]) -> None:
    async def main() -> None:
        async with running(made) as started:
            await asyncio.wait_for(body(started), 30)

    asyncio.run(main())


async def collect(made: WorkerEngine, what: ChatRequest) -> list[Event]:
    return [event async for event in made.chat(what)]


def text(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


def places(events: list[Event]) -> list[int]:
    return [event.position for event in events if isinstance(event, Queued)]


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def adds_up(made: WorkerEngine, answered: int) -> bool:
    """Every request has exactly one end."""
    counts = made.metrics
    return counts.requests == answered + counts.failed + counts.cancelled + counts.refused


def test_several_answers_run_at_once_and_each_gets_its_own_text() -> None:
    async def body(made: WorkerEngine) -> None:
        await made.ready()
        before = time.monotonic()
        asked = [collect(made, ask(name=f"n{number}.", words=5, pause=0.05)) for number in range(4)]
        for number, events in enumerate(await asyncio.gather(*asked)):
            assert text(events) == "".join(f"n{number}.{word} " for word in range(1, 6))
            assert places(events) == []
            assert isinstance(events[0], Started)
            assert isinstance(events[-1], Finished)
        assert time.monotonic() - before < 4 * 5 * 0.05
        assert adds_up(made, 4)

    use(engine(), body)


@pytest.mark.parametrize(("configured", "has", "expected"), [(4, 2, 2), (2, 8, 2), (4, None, 1)])
def test_slots_are_the_fewer_of_those_configured_and_those_the_worker_has(
    configured: int, has: int | None, expected: int
) -> None:
    async def body(made: WorkerEngine) -> None:
        early = asyncio.gather(*[collect(made, ask(words=3, pause=0.02)) for _ in range(6)])
        await made.ready()
        assert made.metrics.slots == expected
        await asyncio.sleep(0.03)
        assert made.metrics.slots_busy == expected
        assert made.metrics.queued == 6 - expected
        assert all(text(events) for events in await early)  # the fake ends when it gets more than its slots
        assert made.metrics.restarts == 0

    use(engine(slots=configured, has=has), body)


def test_those_who_wait_are_told_each_place_they_reach() -> None:
    async def body(made: WorkerEngine) -> None:
        await made.ready()
        answers = await asyncio.gather(*[collect(made, ask(words=2, pause=0.01)) for _ in range(4)])
        assert [places(events) for events in answers] == [[], [1], [2, 1], [3, 2, 1]]

    use(engine(slots=1), body)


def test_one_clients_many_requests_do_not_delay_another() -> None:
    async def body(made: WorkerEngine) -> None:
        await made.ready()
        ended: list[str] = []

        async def one(client: str) -> None:
            await collect(made, ask(client, words=2, pause=0.01))
            ended.append(client)

        greedy = [asyncio.create_task(one("greedy")) for _ in range(8)]
        await asyncio.sleep(0)
        await asyncio.gather(one("patron"), *greedy)
        assert ended.index("patron") <= 1

    use(engine(slots=1), body)


def test_full_line_refuses_and_pushes_out_only_for_a_smaller_share() -> None:
    async def body(made: WorkerEngine) -> None:
        await made.ready()
        greedy = [asyncio.create_task(collect(made, ask("greedy", words=3, pause=0.02))) for _ in range(3)]
        await asyncio.sleep(0.01)
        with pytest.raises(OverloadedError):
            await collect(made, ask("greedy"))
        patron = await collect(made, ask("patron"))
        assert text(patron)
        results = await asyncio.gather(*greedy, return_exceptions=True)
        assert [isinstance(result, OverloadedError) for result in results] == [False, False, True]
        assert made.metrics.refused == 2
        assert adds_up(made, 3)

    use(engine(slots=1, queue=2), body)


def test_cancelled_answer_holds_its_slot_until_the_worker_lets_it_go() -> None:
    async def body(made: WorkerEngine) -> None:
        await made.ready()
        async with aclosing(made.chat(ask(words=1000, pause=0.01))) as events:
            async for event in events:
                if isinstance(event, Delta):
                    break
        assert made.metrics.slots_busy == 1
        assert made.metrics.cancelled == 1
        before = time.monotonic()
        events_after = await collect(made, ask())
        assert places(events_after) == [1]
        assert time.monotonic() - before > 0.15
        assert made.metrics.slots_busy == 0
        assert made.metrics.completion_tokens >= 2
        assert adds_up(made, 1)

    use(engine(slots=1, dawdle=0.2), body)


def test_request_given_up_in_line_is_never_sent(tmp_path: Path) -> None:
    log = tmp_path / "log"

    async def body(made: WorkerEngine) -> None:
        await made.ready()
        first = asyncio.create_task(collect(made, ask(words=3, pause=0.02)))
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(collect(made, ask(name=name))) for name in ("gone", "stays")]
        await asyncio.sleep(0.01)
        waiting[0].cancel()
        await first
        assert text(await waiting[1]) == "stays1 "
        assert "gone" not in log.read_text()
        assert made.metrics.cancelled == 1
        assert adds_up(made, 2)

    use(engine(slots=1, log=str(log)), body)


def test_two_hundred_clients_that_go_away_leave_no_busy_slot() -> None:
    async def body(made: WorkerEngine) -> None:
        await made.ready()

        async def one(number: int) -> None:
            async with aclosing(made.chat(ask(f"c{number}", words=1000, pause=0.001))) as events:
                async for event in events:
                    if isinstance(event, Delta) or (number % 2 and isinstance(event, Queued)):
                        return

        for start in range(0, 200, 20):
            await asyncio.gather(*[one(start + number) for number in range(20)])
        await until(lambda: made.metrics.slots_busy == 0)
        assert made.metrics.queued == 0
        assert made.metrics.cancelled == 200
        assert not made._requests
        assert not made._line._clients
        assert text(await collect(made, ask()))

    use(engine(slots=4, queue=32), body)


def test_crash_fails_the_answers_in_flight_and_those_who_wait_go_on(tmp_path: Path) -> None:
    async def body(made: WorkerEngine) -> None:
        await made.ready()
        running = [asyncio.create_task(collect(made, ask(words=1000, pause=0.01))) for _ in range(2)]
        await until(lambda: made.metrics.prompt_tokens == 20)
        waiting = [asyncio.create_task(collect(made, ask(name=f"n{number}."))) for number in range(3)]
        await asyncio.sleep(0.02)
        assert made.pid
        os.kill(made.pid, signal.SIGKILL)
        for task in running:
            with pytest.raises(EngineError, match="stopped while it was answering") as caught:
                await task
            assert caught.value.hint == "Ask again in a moment."
        assert [text(await task) for task in waiting] == ["n0.1 ", "n1.1 ", "n2.1 "]
        assert made.metrics.restarts == 1
        assert made.metrics.failed == 2
        assert adds_up(made, 3)

    use(engine(slots=2), body)


def test_request_to_a_worker_that_has_just_died_is_answered_by_its_successor() -> None:
    async def body(made: WorkerEngine) -> None:
        for _ in range(5):
            await made.ready()
            assert made.pid
            os.kill(made.pid, signal.SIGKILL)
            assert text(await collect(made, ask())) == "w1 "
        assert made.metrics.failed == 0

    use(engine(), body)


def test_request_that_two_workers_died_on_is_failed(tmp_path: Path) -> None:
    starts = tmp_path / "starts"

    async def body(made: WorkerEngine) -> None:
        with pytest.raises(EngineError, match="stopped while it was answering"):
            await collect(made, ask(before="die"))
        assert text(await collect(made, ask())) == "w1 "
        assert len(starts.read_text().split()) == 3

    use(engine(starts=str(starts)), body)


def test_cancelled_answer_of_a_dead_worker_is_not_asked_again(tmp_path: Path) -> None:
    log = tmp_path / "log"

    async def body(made: WorkerEngine) -> None:
        await made.ready()
        task = asyncio.create_task(collect(made, ask(name="gone", before="hang")))
        await until(lambda: made.metrics.slots_busy == 1)
        task.cancel()
        await until(lambda: made.metrics.cancelled == 1)
        assert made.pid
        os.kill(made.pid, signal.SIGKILL)
        assert text(await collect(made, ask())) == "w1 "
        assert log.read_text().count("gone") <= 1
        assert adds_up(made, 1)

    use(engine(log=str(log)), body)


def test_error_of_one_request_leaves_the_others_alone() -> None:
    async def body(made: WorkerEngine) -> None:
        await made.ready()
        other = asyncio.create_task(collect(made, ask(words=5, pause=0.01)))
        with pytest.raises(ContextOverflowError) as caught:
            await collect(made, ask(before="error"))
        assert caught.value.facts == {"prompt_tokens": 9999, "context": 512}
        assert len(text(await other).split()) == 5
        assert made.metrics.slots_busy == 0
        assert adds_up(made, 1)

    use(engine(), body)


@pytest.mark.parametrize("when", ["before", "after"])
def test_worker_that_hangs_is_ended_and_started_anew(when: str) -> None:
    async def body(made: WorkerEngine) -> None:
        await made.ready()
        first = made.pid
        with pytest.raises(EngineError, match="did not go on"):
            await collect(made, ask(**{when: "hang"}))
        assert text(await collect(made, ask())) == "w1 "
        assert made.pid != first
        assert made.metrics.restarts == 1

    use(engine(ping=True, hang_seconds=0.4), body)


def test_worker_that_reads_nothing_is_ended_and_nobody_waits_on_its_pipe() -> None:
    async def body(made: WorkerEngine) -> None:
        await made.ready()
        before = time.monotonic()
        large = asyncio.create_task(collect(made, ask(filler="x" * (4 << 20))))  # far more than a pipe holds
        await asyncio.sleep(0)
        assert time.monotonic() - before < 0.3
        with pytest.raises(EngineError, match="did not go on"):
            await large

    use(engine(ping=True, hang_seconds=0.4, deaf=True), body)


def test_long_step_and_long_silence_without_work_are_no_hang() -> None:
    async def body(made: WorkerEngine) -> None:
        await made.ready()
        first = made.pid
        await asyncio.sleep(0.7)  # idle: nothing is expected of it
        assert text(await collect(made, ask())) == "w1 "  # its step takes 0.3 of the 0.6 seconds
        slow = await collect(made, ask(words=2, pause=0.9))  # quiet for longer, but it answers pings
        assert len(text(slow).split()) == 2
        assert made.pid == first

    use(engine(ping=True, hang_seconds=0.6, busy_seconds=0.3), body)


def test_worker_that_does_not_know_ping_is_not_watched() -> None:
    async def body(made: WorkerEngine) -> None:
        first = (await made.ready()).facts["pid"]
        assert text(await collect(made, ask(pause=0.4))) == "w1 "
        assert made.pid == first

    use(engine(hang_seconds=0.1), body)


def test_worker_that_speaks_nonsense_is_replaced_and_its_words_go_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    async def body(made: WorkerEngine) -> None:
        with pytest.raises(EngineError) as caught:
            await collect(made, ask(after="nonsense", words=9))
        assert "typed" not in str(caught.value)
        assert text(await collect(made, ask())) == "w1 "

    use(engine(), body)
    assert "typed" not in caplog.text


def test_stored_states_are_left_out_when_a_worker_dies_before_it_is_ready(tmp_path: Path) -> None:
    async def body(made: WorkerEngine) -> None:
        assert (await made.ready()).facts["states"] == 0
        assert made.metrics.restarts == 1

    use(engine(starts=str(tmp_path / "starts"), die_at_start=1), body)


def test_those_who_wait_are_told_when_the_worker_will_not_start(tmp_path: Path) -> None:
    async def body(made: WorkerEngine) -> None:
        with pytest.raises(EngineError, match="started 3 times"):
            await collect(made, ask())
        with pytest.raises(EngineError, match="started 3 times"):
            await collect(made, ask())
        assert made.status.state == "restarting"
        assert (await made.ready()).state == "ready"  # the supervisor has gone on trying
        assert text(await collect(made, ask())) == "w1 "
        assert adds_up(made, 1)

    use(engine(starts=str(tmp_path / "starts"), die_at_start=3), body)


def test_worker_that_cannot_be_made_is_tried_again() -> None:
    async def body(made: WorkerEngine) -> None:
        with pytest.raises(EngineError, match="started 3 times"):
            await collect(made, ask())
        assert made.status.state == "restarting"

    config = EngineConfig(Path("model.gguf"), "0" * 64, 512)
    use(WorkerEngine(config, command=("/nowhere/at/all",)), body)


def test_model_that_cannot_be_loaded_fails_everybody_at_once() -> None:
    async def body(made: WorkerEngine) -> None:
        answers = await asyncio.gather(*[collect(made, ask()) for _ in range(6)], return_exceptions=True)
        assert all(isinstance(answer, ModelError) for answer in answers)
        assert made.status.state == "failed"
        with pytest.raises(ModelError):
            await collect(made, ask())
        with pytest.raises(ModelError):
            await made.ready()

    use(engine(slots=2, fail=True), body)


def test_requests_wait_while_the_model_loads() -> None:
    async def body(made: WorkerEngine) -> None:
        answers = await asyncio.gather(*[collect(made, ask(name=f"n{number}.")) for number in range(5)])
        assert [text(events) for events in answers] == [f"n{number}.1 " for number in range(5)]
        assert places(answers[4]) == [1]

    use(engine(load_seconds=0.2), body)


def test_close_fails_those_in_progress_and_those_who_wait_and_leaves_no_process() -> None:
    async def main() -> None:
        made = engine(slots=1)
        await made.start()
        await made.ready()
        pid = made.pid
        tasks = [asyncio.create_task(collect(made, ask(words=1000, pause=0.01))) for _ in range(3)]
        await until(lambda: made.metrics.prompt_tokens)
        await made.close()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, EngineError) for result in results)
        assert made.status.state == "closed"
        assert pid
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        with pytest.raises(EngineError, match="not running"):
            await collect(made, ask())
        await made.start()
        assert text(await collect(made, ask())) == "w1 "
        await made.close()

    asyncio.run(asyncio.wait_for(main(), 30))


def test_close_ends_a_worker_that_is_stopped_and_one_that_is_being_restarted() -> None:
    async def main() -> None:
        made = engine()
        await made.start()
        await made.ready()
        assert made.pid
        os.kill(made.pid, signal.SIGKILL)
        await asyncio.sleep(0.005)
        await made.close()
        assert made.pid is None
        await made.start()
        await made.ready()
        pid = made.pid
        assert pid
        os.kill(pid, signal.SIGSTOP)
        await made.close()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    asyncio.run(asyncio.wait_for(main(), 30))


def test_metrics_sum_up_what_answers_took() -> None:
    async def body(made: WorkerEngine) -> None:
        await asyncio.gather(*[collect(made, ask(words=3)) for _ in range(4)])
        counts = made.metrics
        assert (counts.requests, counts.prompt_tokens, counts.reused_tokens) == (4, 40, 16)
        assert counts.completion_tokens == 12
        assert (counts.prefill_seconds, counts.decode_seconds) == (1.0, 2.0)
        assert counts.queue_seconds > 0
        assert (counts.slots, counts.slots_busy, counts.queued) == (2, 0, 0)

    use(engine(slots=2), body)


def test_seconds_to_wait_come_from_the_answers_measured() -> None:
    async def body(made: WorkerEngine) -> None:
        await made.ready()

        async def refused() -> int:
            tasks = [asyncio.create_task(collect(made, ask(words=2, pause=0.01))) for _ in range(3)]
            await asyncio.sleep(0)
            with pytest.raises(OverloadedError) as caught:
                await collect(made, ask())
            await asyncio.gather(*tasks)
            return int(caught.value.facts["retry_after"])

        assert await refused() == 10  # nothing is known yet
        assert await refused() == 1

    use(engine(slots=1, queue=2), body)


def test_words_are_let_go_once_the_worker_has_them() -> None:
    async def body(made: WorkerEngine) -> None:
        await made.ready()
        stream: Any = made.chat(ask(words=1000, pause=0.01, name="secret"))
        async with aclosing(stream) as events:
            async for event in events:
                if isinstance(event, Delta):
                    break
            assert [request.words for request in made._requests.values()] == [None]

    use(engine(), body)
