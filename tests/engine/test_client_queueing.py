"""The supervisor with a fake worker: several answers at once, the line before them, and counts that add up."""

import asyncio
import math
from contextlib import aclosing
from typing import Any

import pytest

from publicai_edge.engine.client import WorkerEngine
from publicai_edge.engine.protocol import Delta, Finished, Started
from publicai_edge.errors import ContextOverflowError, OverloadedError
from tests.engine.engines import collect, text, use
from tests.engine.fake_engine import adds_up, ask, engine, places


def test_several_answers_run_at_once_and_each_gets_its_own_text() -> None:
    async def body(made: WorkerEngine) -> None:
        await made.ready()
        asked = asyncio.gather(*[collect(made, ask(name=f"n{number}.", words=5, pause=0.05)) for number in range(4)])
        await asyncio.sleep(0)
        assert made.metrics.slots_busy == 4, "the worker has all of them before one has ended"
        for number, events in enumerate(await asked):
            assert text(events) == "".join(f"n{number}.{word} " for word in range(1, 6))
            assert places(events) == []
            assert isinstance(events[0], Started)
            assert isinstance(events[-1], Finished)
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
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await collect(made, ask("greedy"))
        patron = await collect(made, ask("patron"))
        assert text(patron)
        results = await asyncio.gather(*greedy, return_exceptions=True)
        assert [isinstance(result, OverloadedError) for result in results] == [False, False, True]
        assert made.metrics.refused == 2
        assert adds_up(made, 3)

    use(engine(slots=1, queue=2), body)


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


def test_requests_wait_while_the_model_loads() -> None:
    async def body(made: WorkerEngine) -> None:
        answers = await asyncio.gather(*[collect(made, ask(name=f"n{number}.")) for number in range(5)])
        assert [text(events) for events in answers] == [f"n{number}.1 " for number in range(5)]
        assert places(answers[4]) == [1]

    use(engine(load_seconds=0.2), body)


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
        measured = made._line.answer_seconds
        assert 0 < measured < 60
        assert await refused() == math.ceil(measured)  # of two who wait, one is let in when one answer has ended

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
