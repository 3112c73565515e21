"""The supervisor with a fake worker: requests given up, and an engine that is closed while it answers."""

import asyncio
import os
import signal
import time
from contextlib import aclosing
from pathlib import Path

import pytest

from publicai_edge.engine.client import WorkerEngine
from publicai_edge.engine.protocol import Delta, Queued
from publicai_edge.errors import EngineError
from tests.engine.engines import collect, text, use
from tests.engine.fake_engine import adds_up, ask, engine, places, until


def test_cancelled_answer_holds_its_slot_until_the_worker_lets_it_go() -> None:
    async def body(made: WorkerEngine) -> None:
        await made.ready()
        async with aclosing(made.chat(ask(words=1000, pause=0.01))) as events:
            async for event in events:
                if isinstance(event, Delta):
                    before = time.monotonic()
                    break
        assert made.metrics.slots_busy == 1
        assert made.metrics.cancelled == 1
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
        await asyncio.sleep(0)
        assert made.metrics.queued == 2
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
            async with aclosing(made.chat(ask(f"c{number}", words=100_000, pause=0.001))) as events:
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

    asyncio.run(asyncio.wait_for(main(), 120))


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

    asyncio.run(asyncio.wait_for(main(), 120))
