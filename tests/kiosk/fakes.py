"""An engine and documents small enough to read, behind the same protocols as the real ones."""

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence

from publicai_edge.engine.protocol import (
    ChatRequest,
    Delta,
    EngineMetrics,
    EngineStatus,
    Event,
    Finished,
    Queued,
    Started,
    State,
)
from publicai_edge.errors import PublicAIError
from publicai_edge.search import Hit, Passage

ANSWER = (
    "The library opens at 9 a.m. from Monday to Friday [1]. Books may be kept for three weeks [2]. "
    "It is a lovely place."
)

PASSAGES = (
    Passage(
        1,
        "Opening hours",
        "hours.md",
        "Main library",
        None,
        "The library opens at 9 a.m. and closes at 6 p.m. from Monday to Friday. On Saturday the library is open "
        "from 10 a.m. to 2 p.m. It is closed on Sunday and on public holidays. The reading room on the first "
        "floor keeps the same hours, but the children's room closes half an hour earlier on every day of the "
        "week. During the summer months the library closes at 5 p.m.",
    ),
    Passage(
        2,
        "Borrowing rules",
        "rules.pdf",
        "Loan periods",
        3,
        "Books may be kept for three weeks and films for one week. A loan can be renewed twice at the desk, by "
        "telephone or from home, unless another reader has reserved the item.",
    ),
    Passage(
        3,
        "Opening hours",
        "hours.md",
        "Branch at the harbour",
        None,
        "The branch at the harbour opens on Tuesday and Thursday from 2 p.m. to 7 p.m.",
    ),
    Passage(
        4, "Borrowing rules", "rules.pdf", "Cards", 1, "A library card is free for everyone who lives in the town."
    ),
)


class FakeEngine:
    """Streams ``text`` word by word.

    ``pause`` seconds pass before every word; ``failure`` is raised before the first word, or after
    ``fail_after`` words; ``queue`` places in line come first; ``gate`` holds the answer until it is set.
    """

    def __init__(self, text: str = ANSWER) -> None:
        self.text = text
        self.pause = 0.0
        self.failure: PublicAIError | None = None
        self.fail_after = 0
        self.queue: tuple[int, ...] = ()
        self.gate: asyncio.Event | None = None
        self.state: State = "closed"
        self.requests: list[ChatRequest] = []
        self.closed_streams = 0
        self.finished_streams = 0
        self.facts: dict[str, object] = {}
        self.metrics = EngineMetrics()
        self.starts = 0
        self.closes = 0

    @property
    def status(self) -> EngineStatus:
        return EngineStatus(self.state, facts=self.facts)

    async def start(self) -> None:
        self.starts += 1
        self.state = "ready" if self.state == "closed" else self.state

    async def close(self) -> None:
        self.closes += 1
        self.state = "closed"

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        self.requests.append(request)
        try:
            for position in self.queue:
                yield Queued(position)
            if self.failure and not self.fail_after:
                raise self.failure
            if self.gate:
                await self.gate.wait()
            yield Started(prompt_tokens=40, reused_tokens=30)
            words = re.findall(r"\s*\S+", self.text)[: request.sampling.max_tokens]
            for count, word in enumerate(words, 1):
                await asyncio.sleep(self.pause)
                yield Delta(word)
                if self.failure and count == self.fail_after:
                    raise self.failure
            self.finished_streams += 1
            yield Finished("stop", len(words), 0.01, 0.02)
        finally:
            self.closed_streams += 1


class FakeDocuments:
    """Finds passages that share a word of four letters or more with the question."""

    def __init__(self, passages: Sequence[Passage] = PASSAGES) -> None:
        self.passages = passages
        self.questions = 0
        self.language = ""
        self.failure: Exception | None = None

    def search(self, question: str, *, top: int, min_relevance: float, language: str = "") -> list[Hit]:
        self.questions += 1
        self.language = language
        if self.failure:
            raise self.failure
        words = set(re.findall(r"\w{4,}", question.casefold()))
        hits = []
        for passage in self.passages:
            shared = words & set(re.findall(r"\w{4,}", f"{passage.heading} {passage.text}".casefold()))
            relevance = len(shared) / max(1, len(words))
            if shared and relevance >= min_relevance:
                hits.append(Hit(passage, relevance, relevance))
        return sorted(hits, key=lambda hit: -hit.score)[:top]

    def document(self, source: str) -> list[Passage]:
        return [passage for passage in self.passages if passage.source == source]

    def sources(self) -> list[str]:
        return sorted({passage.source for passage in self.passages})
