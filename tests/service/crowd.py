"""Eight patrons who ask one question after the other, each in a thread, with OpenAI's own client.

Each patron has a marker of his own. Half of the questions bind the answer to a JSON schema whose every item holds that
marker, so that each piece of the text tells whose it is. The other half tell the marker to the model and leave the
answer free; it must never hold the marker of somebody else, which would have come out of another's conversation.
"""

import json
import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import openai

from tests.service.conftest import PATIENCE, Kiosk, children, until

MODEL = "SmolLM2-135M-Instruct"
PATRONS = 8
MARKERS = [f"{bird}{17 * number + 100}" for number, bird in enumerate(("heron", "kestrel", "plover", "wren"), 1)]
MARKERS += [marker[::-1] for marker in MARKERS]
THINGS = ("lamp", "door", "river", "spoon", "cloud", "ladder", "bread", "window")
TOPICS = ("a lighthouse", "two sisters", "an old map", "the last train", "a fox", "the harbour in winter")


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
    """Eight patrons, each in a thread, while the ``with`` block lasts, and until :meth:`check_texts` can tell."""

    def __init__(self, kiosk: Kiosk) -> None:
        self.patrons = [Patron(kiosk, number) for number in range(PATRONS)]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=patron.visit, args=(self._stop,)) for patron in self.patrons]

    def __enter__(self) -> "Crowd":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                until(self._tells, "everybody has had an answer, and somebody one with his marker")
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()

    def _tells(self) -> bool:
        served = all(any(turn.error is None for turn in patron.turns) for patron in self.patrons)
        return served and any(patron.named for patron in self.patrons)

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
