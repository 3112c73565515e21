"""Many patrons at once, with the real model: a death takes little along, and who leaves frees the place."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable

import pytest

from tests.service.conftest import PATIENCE, Kiosk, until
from tests.service.crowd import MODEL, PATRONS, TOPICS, Crowd, Patron, idle, memory, metric

MOST_GROWTH = 1.05
AT_ONCE = 30.0
"""Seconds until a slot is free that somebody left: far less than the long answers would take, on a busy machine too."""

pytestmark = pytest.mark.slow
Serve = Callable[..., Kiosk]


@pytest.mark.parametrize("deaths", [1, pytest.param(10, marks=pytest.mark.soak)])
def test_a_killed_worker_loses_only_the_answers_in_flight(serve: Serve, deaths: int) -> None:
    kiosk = serve().wait_ready()
    slots = metric(kiosk, "publicai_edge_slots")
    assert slots < PATRONS, "some must wait, or nothing is shown"
    killed = []
    with Crowd(kiosk) as crowd:
        for _ in range(deaths):
            time.sleep(4)
            worker = kiosk.worker()
            before = time.monotonic()
            os.kill(worker, signal.SIGKILL)
            killed.append((before, time.monotonic()))
            until(lambda old=worker: kiosk.state() == "ready" and kiosk.worker() != old, "there is another worker")
        recovered = time.monotonic()
        for patron in crowd.patrons:
            until(lambda he=patron: any(turn.ended > recovered and not turn.error for turn in he.turns), patron.marker)
    crowd.check_texts()
    nexts = [before for before, _ in killed[1:]]
    for (before, after), following in zip(killed, [*nexts, float("inf")], strict=True):
        # Who waited while one worker died may have been lost with the next.
        lost = [turn for turn in crowd.failed if turn.begun < after and before < turn.ended <= following]
        assert len(lost) <= slots, "those who waited were not answered by the next worker"
    outside = [
        turn for turn in crowd.failed if not any(turn.begun < after and before < turn.ended for before, after in killed)
    ]
    assert outside == [], "somebody was refused who had not begun, or had been answered"
    assert metric(kiosk, "publicai_edge_worker_restarts_total") == deaths
    until(lambda: idle(kiosk), "every slot is free again")


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.soak)])
def test_patrons_who_leave_in_the_middle_free_their_slots(serve: Serve, count: int) -> None:
    kiosk = serve().wait_ready()
    for number in range(8):
        ask_and_leave(kiosk, number)
    until(lambda: idle(kiosk), "every slot is free", AT_ONCE)
    early = memory(kiosk)
    for number in range(count):
        ask_and_leave(kiosk, number)
    seconds = until(lambda: idle(kiosk), "every slot is free again", AT_ONCE)
    late = memory(kiosk)
    cancelled = [
        float(line.rpartition(" ")[2])
        for line in kiosk.client.get("/metrics").text.splitlines()
        if line.startswith('publicai_edge_requests_total{outcome="cancelled"}')
    ]
    print(f"\nidle after {seconds:.2f} s; cancelled {cancelled}; memory {early / 1e6:.0f} to {late / 1e6:.0f} MB")
    assert cancelled[0] >= count / 2, "they did not leave in the middle"
    assert late < MOST_GROWTH * early
    assert Patron(kiosk, 0).ask("Is there a lift?", 5)


def ask_and_leave(kiosk: Kiosk, number: int) -> None:
    """Ask for a long answer, and hang up: at once, at the answer's first sign, or some way into it."""
    pieces = (0, 1, 5, 10)[number % 4]
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": f"Write a long story about {number} {TOPICS[number % 6]}s."}],
        "max_tokens": 1000,
        "seed": number,
        "stream": True,
    }
    content = json.dumps(body).encode()
    address = kiosk.client.base_url
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {address.host}:{address.port}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    with socket.create_connection((address.host, address.port), timeout=PATIENCE) as line:
        line.sendall(head.encode() + content)
        said = b""
        for _ in range(pieces):
            piece = line.recv(1 << 16)
            said += piece
            if not piece:  # a small model's long story may have one sentence
                assert b"[DONE]" in said
                break
