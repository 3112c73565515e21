"""The supervisor with a fake worker that crashes, hangs, talks nonsense or will not start."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from publicai_edge.engine.client import WorkerEngine
from publicai_edge.engine.config import EngineConfig
from publicai_edge.errors import EngineError, ModelError
from tests.engine.engines import SHA, collect, text, use
from tests.engine.fake_engine import adds_up, ask, engine, until


def test_crash_fails_the_answers_in_flight_and_those_who_wait_go_on(tmp_path: Path) -> None:
    async def body(made: WorkerEngine) -> None:
        await made.ready()
        running = [asyncio.create_task(collect(made, ask(words=1000, pause=0.01))) for _ in range(2)]
        await until(lambda: made.metrics.prompt_tokens == 20)
        waiting = [asyncio.create_task(collect(made, ask(name=f"n{number}."))) for number in range(3)]
        await asyncio.sleep(0)
        assert made.pid
        os.kill(made.pid, signal.SIGKILL)
        for task in running:
            with pytest.raises(EngineError, match="stopped while it was answering") as caught:
                await task
            assert caught.value.hint == "Ask again in a moment."
        assert made.status.state == "restarting"
        assert made.status.detail
        assert "signal 9" in made.status.detail
        assert made.status.detail.endswith("started again in 0.1 s.")
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

    use(engine(ping=True, hang_seconds=2.0), body)


def test_worker_that_reads_nothing_is_ended_and_nobody_waits_on_its_pipe() -> None:
    async def body(made: WorkerEngine) -> None:
        await made.ready()
        before = time.monotonic()
        large = asyncio.create_task(collect(made, ask(filler="x" * (4 << 20))))  # far more than a pipe holds
        await asyncio.sleep(0)
        assert time.monotonic() - before < 20, "the worker would have let it wait for a quarter of an hour"
        with pytest.raises(EngineError, match="did not go on"):
            await large

    use(engine(ping=True, hang_seconds=0.4, deaf=True), body)


def test_long_step_and_long_silence_without_work_are_no_hang() -> None:
    async def body(made: WorkerEngine) -> None:
        await made.ready()
        first = made.pid
        await asyncio.sleep(2.3)  # idle: nothing is expected of it
        assert text(await collect(made, ask())) == "w1 "  # its step takes 0.4 of the 2 seconds
        slow = await collect(made, ask(pause=2.5))  # quiet for longer, but it answers pings
        assert text(slow) == "w1 "
        assert made.pid == first

    use(engine(ping=True, hang_seconds=2.0, busy_seconds=0.4), body)


def test_worker_that_computes_may_be_silent_for_longer() -> None:
    async def body(made: WorkerEngine) -> None:
        first = (await made.ready()).facts["pid"]
        assert text(await collect(made, ask(before="compute"))) == "w1 "  # three seconds, of which it may have eight
        assert made.pid == first
        assert made.metrics.restarts == 0

    use(engine(ping=True, hang_seconds=0.8), body)


def test_worker_that_computes_for_ever_is_ended() -> None:
    async def body(made: WorkerEngine) -> None:
        await made.ready()
        with pytest.raises(EngineError, match="did not go on"):
            await collect(made, ask(before="spin"))
        assert text(await collect(made, ask())) == "w1 "
        assert made.metrics.restarts == 1

    use(engine(ping=True, hang_seconds=0.4), body)


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

    config = EngineConfig(Path("model.gguf"), SHA, 512)
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
