"""Many patrons at once, with the real model: nobody gets another's text, memory stays, a death takes little along.

Each patron has a marker of his own. Half of the questions bind the answer to a JSON schema whose every item holds that
marker, so that each piece of the text tells whose it is. The other half tell the marker to the model and leave the
answer free; it must never hold the marker of somebody else, which would have come out of another's conversation.
"""

import json
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import openai
import pytest

from tests.service.conftest import PATIENCE, Kiosk, children, until

MODEL = "SmolLM2-135M-Instruct"
PATRONS = 8
MARKERS = [f"{bird}{17 * number + 100}" for number, bird in enumerate(("heron", "kestrel", "plover", "wren"), 1)]
MARKERS += [marker[::-1] for marker in MARKERS]
THINGS = ("lamp", "door", "river", "spoon", "cloud", "ladder", "bread", "window")
TOPICS = ("a lighthouse", "two sisters", "an old map", "the last train", "a fox", "the harbour in winter")
MOST_GROWTH = 1.05

pytestmark = pytest.mark.slow
Serve = Callable[..., Kiosk]


@dataclass(frozen=True)
class Turn:
    """One request of a patron: when, and what went wrong."""

    begun: float
    ended: float
    error: Exception | None


@dataclass
class Patron:
    """Asks one question after the other until he is told to stop."""

    kiosk: Kiosk
    number: int
    turns: list[Turn] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    named: int = 0

    def __post_init__(self) -> None:
        self.marker = MARKERS[self.number]
        self.random = random.Random(self.number)
        self.client = openai.OpenAI(base_url=f"{self.kiosk.url}v1", api_key="none", timeout=PATIENCE, max_retries=0)

    def visit(self, stop: threading.Event) -> None:
        """Ask until ``stop`` is set; what is found stands in ``turns`` and ``wrong``."""
        with self.client:
            while not stop.is_set():
                begun, error = time.monotonic(), None
                try:
                    self.bound() if self.random.random() < 0.5 else self.free()
                except openai.APIError as caught:
                    error = caught
                    stop.wait(0.2)
                self.turns.append(Turn(begun, time.monotonic(), error))

    def bound(self) -> None:
        """Ask for a list in which every word is this patron's."""
        allowed = [f"{self.marker} {thing}" for thing in THINGS]
        least = self.random.randint(2, 8)
        schema = {"type": "array", "items": {"enum": allowed}, "minItems": least, "maxItems": least + 4}
        question = f"List {least} things about {self.random.choice(TOPICS)}."
        text = self.ask(
            question, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        )
        try:
            fits = set(json.loads(text)) <= set(allowed) and least <= len(json.loads(text)) <= least + 4
        except ValueError:
            fits = False
        if not fits:
            self.wrong.append(f"{self.marker} was given {text!r}")

    def free(self) -> None:
        """Tell the marker to the model, and look for those of the others in the answer."""
        topic = self.random.choice(TOPICS)
        text = self.ask(f'Write: "{self.marker} saw {topic}." Then go on with the story of {self.marker}.', 48)
        self.named += self.marker in text
        if others := [marker for marker in MARKERS if marker != self.marker and marker in text]:
            self.wrong.append(f"{self.marker} was told of {others}")

    def ask(self, question: str, tokens: int = 400, **more: object) -> str:
        """Ask, streamed or not, greedily or not; return the answer."""
        streamed = self.random.random() < 0.5
        reply = self.client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": question}],
            max_tokens=tokens,
            temperature=self.random.choice((0, 0.8)),
            seed=self.random.randrange(1 << 30),
            stream=streamed,
            **more,
        )
        if not streamed:
            return reply.choices[0].message.content
        return "".join(chunk.choices[0].delta.content or "" for chunk in reply if chunk.choices)


class Crowd:
    """Eight patrons, each in a thread, while the ``with`` block lasts."""

    def __init__(self, kiosk: Kiosk) -> None:
        self.patrons = [Patron(kiosk, number) for number in range(PATRONS)]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=patron.visit, args=(self._stop,)) for patron in self.patrons]

    def __enter__(self) -> "Crowd":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def turns(self) -> list[Turn]:
        return [turn for patron in self.patrons for turn in patron.turns]

    @property
    def failed(self) -> list[Turn]:
        return [turn for turn in self.turns if turn.error]

    def check_texts(self) -> None:
        """Nobody was given another's text, and the check could have found it: markers do appear."""
        assert [wrong for patron in self.patrons for wrong in patron.wrong] == []
        named = [patron.named for patron in self.patrons]
        print(f"\n{len(self.turns)} answers, {len(self.failed)} failed; own marker in free answers: {named}")
        assert sum(named) > 0
        assert all(any(turn.error is None for turn in patron.turns) for patron in self.patrons)


def memory(kiosk: Kiosk) -> int:
    """Return the bytes of the kiosk and all its descendants: the sum of their PSS."""
    total, pids = 0, [kiosk.process.pid]
    while pids:
        pid = pids.pop()
        pids += children(pid)
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def metric(kiosk: Kiosk, name: str) -> float:
    lines = kiosk.client.get("/metrics").raise_for_status().text.splitlines()
    (value,) = [line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")]
    return float(value)


def idle(kiosk: Kiosk) -> bool:
    return metric(kiosk, "publicai_edge_slots_busy") == metric(kiosk, "publicai_edge_requests_queued") == 0


@pytest.mark.parametrize("seconds", [20, pytest.param(300, marks=pytest.mark.soak)])
def test_eight_patrons_get_their_own_text_and_memory_stays(serve: Serve, seconds: int) -> None:
    kiosk = serve().wait_ready()
    with Crowd(kiosk) as crowd:
        time.sleep(seconds / 5)
        early = memory(kiosk)
        time.sleep(seconds * 4 / 5)
        late = memory(kiosk)
    crowd.check_texts()
    assert crowd.failed == []
    print(f"memory {early / 1e6:.0f} MB, at the end {late / 1e6:.0f} MB")
    assert late < MOST_GROWTH * early
    until(lambda: idle(kiosk), "every slot is free again", 5)


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
            killed.append(time.monotonic())
            os.kill(worker, signal.SIGKILL)
            until(lambda old=worker: kiosk.state() == "ready" and kiosk.worker() != old, "there is another worker")
        recovered = time.monotonic()
        time.sleep(4)
    crowd.check_texts()
    for at, following in zip(killed, [*killed[1:], float("inf")], strict=True):
        # Who waited while one worker died may have been lost with the next.
        lost = [turn for turn in crowd.failed if turn.begun < at < turn.ended <= following]
        assert len(lost) <= slots, "those who waited were not answered by the next worker"
    outside = [turn for turn in crowd.failed if not any(turn.begun < at < turn.ended for at in killed)]
    assert outside == [], "somebody was refused who had not begun, or had been answered"
    assert metric(kiosk, "publicai_edge_worker_restarts_total") == deaths
    for patron in crowd.patrons:
        assert any(turn.error is None and turn.ended > recovered for turn in patron.turns), patron.marker
    until(lambda: idle(kiosk), "every slot is free again", 5)


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.soak)])
def test_patrons_who_leave_in_the_middle_free_their_slots(serve: Serve, count: int) -> None:
    kiosk = serve().wait_ready()
    for number in range(8):
        ask_and_leave(kiosk, number)
    until(lambda: idle(kiosk), "every slot is free", 5)
    early = memory(kiosk)
    for number in range(count):
        ask_and_leave(kiosk, number)
    seconds = until(lambda: idle(kiosk), "every slot is free again", 5)
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
