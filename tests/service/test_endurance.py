"""Eight patrons for long, and then too many: nobody fails, memory stays, and who cannot be served is told when to come.

R10. The short form takes seconds, the long one half an hour.
"""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx
import pytest

from publicai_edge.engine.config import EngineConfig
from tests.promises import Figure
from tests.service.conftest import PATIENCE, Kiosk, until
from tests.service.crowd import MODEL, Crowd, idle, memory, metric

MOST_GROWTH = 0.05
LONGEST_WARM_UP = 60.0
QUEUE = EngineConfig.__dataclass_fields__["queue"].default
CROWD = 40
LONGEST_RETRY = 60

# Builds that break the promise. The engine of the first says a word at once, so that what grows is soon seen.
LEAKY = """
import publicai_edge.engine.client
from publicai_edge.kiosk.guard import Guard
from tests.kiosk.fakes import FakeEngine

publicai_edge.engine.client.WorkerEngine = lambda *_, **__: FakeEngine("A word.")
kept, serve = [], Guard.__call__

async def leak(self, scope, receive, send):
    kept.append(b"x" * (1 << 20))
    await serve(self, scope, receive, send)

Guard.__call__ = leak
"""
ENDLESS_LINE = """
from publicai_edge.engine.line import Line

make = Line.__init__
Line.__init__ = lambda self, slots, queue: make(self, slots=slots, queue=10_000)
"""

pytestmark = pytest.mark.slow
Serve = Callable[..., Kiosk]


def growth(kiosk: Kiosk, seconds: float, warm: Callable[[], bool] = lambda: True) -> float:
    """Return by what part the memory of all processes has grown at most since the warm-up.

    That is the first fifth, and longer until ``warm`` says so.
    """
    warm_up = min(seconds / 5, LONGEST_WARM_UP)
    time.sleep(warm_up)
    warm_up += until(warm, "everybody has had an answer")
    ends = time.monotonic() + seconds - min(seconds / 5, LONGEST_WARM_UP)
    early, most = memory(kiosk), 0
    while time.monotonic() < ends:
        time.sleep(min(10.0, seconds / 5))
        most = max(most, memory(kiosk))
    print(f"\nmemory {early / 1e6:.0f} MB after {warm_up:.0f} s, {most / 1e6:.0f} MB at most later")
    return most / early - 1


@pytest.mark.promise("R10")
@pytest.mark.parametrize("seconds", [20, pytest.param(1800, marks=pytest.mark.soak)])
def test_eight_patrons_get_their_own_text_and_memory_stays(serve: Serve, seconds: int, figure: Figure) -> None:
    kiosk = serve().wait_ready()
    with Crowd(kiosk) as crowd:
        grown = growth(kiosk, seconds, lambda: all(patron.turns for patron in crowd.patrons))
    crowd.check_texts()
    figure("eight patrons served for", seconds, "s")
    figure("answers", len(crowd.turns), "")
    figure("failed answers", len(crowd.failed), "", bound="== 0")
    figure("growth of memory after warm-up", round(100 * grown, 2), "%", bound=f"< {100 * MOST_GROWTH:g}")
    until(lambda: idle(kiosk), "every slot is free again")


@pytest.mark.promise("R10", broken=True)
def test_a_kiosk_that_keeps_something_of_each_request_is_found(serve: Serve) -> None:
    kiosk = serve(patch=LEAKY).wait_ready()
    stop = threading.Event()
    asking = threading.Thread(target=lambda: [kiosk.client.get("/api/status") for _ in iter(stop.is_set, True)])
    asking.start()
    try:
        until(lambda: growth(kiosk, 2) > MOST_GROWTH, "the growth is found")
    finally:
        stop.set()
        asking.join()


@dataclass
class Rush:
    """What became of a crowd that came at once: status codes, the seconds the refused were told, the longest line."""

    codes: list[int] = field(default_factory=list)
    retries: list[str | None] = field(default_factory=list)
    longest_line: float = 0.0
    places: list[int] = field(default_factory=list)

    def check(self, slots: int) -> None:
        """Nobody is left without an answer or a refusal, and no more wait than may."""
        assert len(self.codes) == CROWD
        assert set(self.codes) == {200, 503}, "each is answered, or told to come back"
        assert self.codes.count(200) >= slots + QUEUE, "nobody is refused while there is room in the line"
        assert all(retry and 1 <= int(retry) <= LONGEST_RETRY for retry in self.retries), self.retries
        assert self.longest_line <= QUEUE
        assert all(1 <= place <= QUEUE for place in self.places)
        assert self.places == sorted(set(self.places), reverse=True), "a place in line only gets better"


def rush(kiosk: Kiosk) -> Rush:
    """Let a crowd ask at once, and beside it a patron at the page who is told the place in line."""
    found, everybody = Rush(), threading.Barrier(CROWD)
    words = [{"role": "user", "content": "Tell a story."}]
    body = {"model": MODEL, "messages": words, "max_tokens": 24}

    def ask(_: int) -> httpx.Response:
        with httpx.Client(timeout=PATIENCE) as client:  # made before, as that takes longer than to ask
            everybody.wait(PATIENCE)
            return client.post(f"{kiosk.url}v1/chat/completions", json=body)

    with ThreadPoolExecutor(CROWD) as pool:
        answers = [pool.submit(ask, number) for number in range(CROWD)]
        until(lambda: metric(kiosk, "publicai_edge_requests_queued") > 4, "there is a line")
        found.places = places(kiosk)
        while not all(answer.done() for answer in answers):
            found.longest_line = max(found.longest_line, metric(kiosk, "publicai_edge_requests_queued"))
            time.sleep(0.1)  # looked at without a pause, the line takes the processor from who is to be answered
        replies = [answer.result() for answer in answers]
    found.codes = [reply.status_code for reply in replies]
    found.retries = [reply.headers.get("retry-after") for reply in replies if reply.status_code == 503]
    return found


def places(kiosk: Kiosk) -> list[int]:
    """Ask at the page; return the places in line that it was told, in order."""
    asked = {"service": "letter", "language": "en", "question": "Thanks."}
    with httpx.stream("POST", f"{kiosk.url}api/ask", json=asked, timeout=PATIENCE) as response:
        events = [json.loads(line) for line in response.iter_lines()]
    return [event["position"] for event in events if event["type"] == "waiting"]


@pytest.mark.promise("R10")
def test_of_too_many_each_waits_in_a_bounded_line_or_is_told_when_to_come_back(serve: Serve, figure: Figure) -> None:
    kiosk = serve().wait_ready()
    found = rush(kiosk)
    print(f"\n{found}")
    found.check(int(metric(kiosk, "publicai_edge_slots")))
    figure("patrons at once in the rush", CROWD, "")
    figure("longest line", int(found.longest_line), "patrons", bound=QUEUE)
    figure("told to come back (503)", found.codes.count(503), "patrons", bound="> 0")
    until(lambda: idle(kiosk), "every slot is free again")


@pytest.mark.promise("R10", broken=True)
def test_a_line_without_an_end_is_found(serve: Serve) -> None:
    kiosk = serve(patch=ENDLESS_LINE).wait_ready()
    with pytest.raises(AssertionError):
        rush(kiosk).check(int(metric(kiosk, "publicai_edge_slots")))
