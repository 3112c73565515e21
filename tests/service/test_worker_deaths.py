"""The model's process dies again and again: the next question is answered within seconds, and search goes on.

R11. The worker is killed while it is idle and while it answers, and an allocation fails in it. The short form has three
deaths, the long one fifty.
"""

import contextlib
import json
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.promises import Figure
from tests.service.conftest import PATIENCE, Kiosk, runs, until
from tests.service.crowd import MODEL, metric

MOST_SECONDS = 10.0
"""Until the question after a death is answered, from the death on."""
MOST_SEARCH_SECONDS = 3.0
"""Until the passages are there, at any time; a tenth of a second is promised, and held by a benchmark."""
BUSY = 6  # the short form runs beside other things, and then it all takes longer
STINGY = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "16384", "MALLOC_TRIM_THRESHOLD_": "0"}
LIFT = {"service": "ask", "language": "en", "question": "Is there a lift?"}
LETTER = {"service": "letter", "language": "en", "question": "A letter of thanks to the library, as long as you can."}

NEVER_AGAIN = """
import asyncio
from publicai_edge.engine.client import WorkerEngine

async def once(self):
    await self._run_once(self._config)

WorkerEngine._supervise = once
"""

pytestmark = pytest.mark.slow
Serve = Callable[..., Kiosk]


class Searching:
    """Somebody who searches all the time, and leaves before the answer; ``with`` gives the slowest in ``slowest``."""

    def __init__(self, kiosk: Kiosk) -> None:
        self._url = kiosk.url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._search)
        self.seconds: list[float] = []
        self.wrong: list[str] = []

    def __enter__(self) -> "Searching":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _search(self) -> None:
        with httpx.Client(base_url=self._url, timeout=PATIENCE) as client:  # one session, as a browser has
            while not self._stop.wait(0.2):
                begun = time.monotonic()
                try:
                    with client.stream("POST", "/api/ask", json=LIFT) as response:
                        first = json.loads(next(response.iter_lines()))
                    if first["type"] != "passages":
                        self.wrong.append(str(first))
                except (httpx.HTTPError, StopIteration, ValueError) as error:
                    self.wrong.append(repr(error))
                self.seconds.append(time.monotonic() - begun)


def events(kiosk: Kiosk, question: dict[str, str], patience: float) -> Iterator[dict[str, Any]]:
    with kiosk.client.stream("POST", "/api/ask", json=question, timeout=patience) as response:
        yield from map(json.loads, response.iter_lines())


def kill_idle(kiosk: Kiosk, worker: int) -> None:
    os.kill(worker, signal.SIGKILL)


def kill_answering(kiosk: Kiosk, worker: int) -> None:
    with contextlib.closing(events(kiosk, LETTER, PATIENCE)) as answer:
        assert any(event["type"] == "text" for event in answer)
        os.kill(worker, signal.SIGKILL)


def starve(kiosk: Kiosk, worker: int) -> None:
    """Let no allocation of the worker succeed that needs more address space, and send what needs one.

    With :data:`STINGY`, memory given back is not used again, so that every larger allocation needs some.
    """
    size = int(Path(f"/proc/{worker}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(worker, resource.RLIMIT_AS, (size, size))
    body = {"model": MODEL, "messages": [{"role": "user", "content": "more " * 11_000}], "max_tokens": 8}
    ends = time.monotonic() + PATIENCE
    while runs(worker):
        assert time.monotonic() < ends, "no allocation failed"
        with contextlib.suppress(httpx.HTTPError):
            kiosk.client.post("/v1/chat/completions", json=body, timeout=PATIENCE)


DEATHS = (kill_idle, kill_answering, starve)


def seconds_to_answer(kiosk: Kiosk, patience: float) -> float:
    """Ask, and return how long it takes until the answer is complete."""
    begun = time.monotonic()
    try:
        last = list(events(kiosk, LIFT, patience))[-1]
    except httpx.HTTPError as error:
        raise AssertionError(f"no answer within {patience:g} s: {error!r}") from None
    assert last["type"] == "done", last
    return time.monotonic() - begun


@pytest.mark.promise("R11")
@pytest.mark.parametrize(("deaths", "slack"), [(3, BUSY), pytest.param(50, 1, marks=pytest.mark.soak)])
def test_after_each_death_the_next_question_is_answered_soon_and_search_never_stops(
    serve: Serve, deaths: int, slack: int, figure: Figure
) -> None:
    kiosk = serve(**STINGY).wait_ready()
    seconds = []
    with Searching(kiosk) as search:
        for number in range(deaths):
            worker = kiosk.worker()
            DEATHS[number % len(DEATHS)](kiosk, worker)
            seconds.append(seconds_to_answer(kiosk, PATIENCE))
            until(lambda: kiosk.state() == "ready", "there is another worker")
            assert kiosk.worker() != worker
    assert search.wrong == []
    assert metric(kiosk, "publicai_edge_worker_restarts_total") == deaths
    figure("deaths of the worker", deaths, "")
    figure("longest until the next answer was complete", round(max(seconds), 2), "s", bound=MOST_SECONDS * slack)
    figure("searches meanwhile", len(search.seconds), "", bound="> 0")
    figure("slowest search", round(max(search.seconds), 2), "s", bound=MOST_SEARCH_SECONDS * slack)


@pytest.mark.promise("R11", broken=True)
def test_a_kiosk_that_does_not_replace_its_worker_is_found(serve: Serve) -> None:
    kiosk = serve(patch=NEVER_AGAIN).wait_ready()
    kill_idle(kiosk, kiosk.worker())
    with pytest.raises(AssertionError, match="no answer within 4 s"):
        seconds_to_answer(kiosk, 4)
