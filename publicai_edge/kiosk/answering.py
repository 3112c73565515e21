"""From a question to passages, a prompt, and a streamed answer with its sources: the one place that does it.

Invariants: passages are out before the engine is asked; where nothing relevant was found the engine is not
asked at all; the system message is the service's prompt in the patron's language and nothing else, the same
bytes for every request, so that the engine computes it once.

What is remembered: a service that searches answers each question by itself, from its own passages (small
models mix up an earlier question's passages with this one's). Any other service sees the last
:data:`MOST_TURNS` turns.
"""

import re
import unicodedata
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from publicai_edge.bundle.manifest import Manifest, ServiceInfo, word
from publicai_edge.engine.protocol import (
    ChatMessage,
    ChatRequest,
    Delta,
    Engine,
    Event,
    Finished,
    Queued,
    Sampling,
    Started,
)
from publicai_edge.errors import BundleError, ContextOverflowError
from publicai_edge.kiosk.attribution import Wording, attribute, wording
from publicai_edge.kiosk.events import (
    AnswerDone,
    AnswerEvent,
    AnswerStarted,
    AnswerText,
    Attributed,
    NothingFound,
    PassagesFound,
    Preparing,
    Source,
    Waiting,
)
from publicai_edge.kiosk.library import Library
from publicai_edge.kiosk.sentences import SentenceEnd, SentenceReader, Text

if TYPE_CHECKING:
    from publicai_edge.search import Hit, Passage

MOST_TURNS = 2
MOST_QUESTION_LETTERS = 2000

_NUMBER = re.compile(r"\[[0-9]{1,6}\]")
_BYTES_PER_TOKEN = 3  # below what tokenizers reach in English; in scripts of 3-byte letters, a token a letter
_TEMPLATE_TOKENS = 64  # what the chat template puts around four or five turns


@dataclass(frozen=True)
class Turn:
    """An earlier question of the same patron, and its answer."""

    question: str
    answer: str


@dataclass(frozen=True)
class Inquiry:
    """A question, put to a service in a language.

    ``labels`` are the kiosk's own words in that language; ``client`` is whose question it is, see
    :class:`publicai_edge.engine.protocol.ChatRequest`.
    """

    service: ServiceInfo
    language: str
    question: str
    turns: tuple[Turn, ...] = ()
    labels: Mapping[str, str] | None = None
    client: str = ""


def clean(text: str) -> str:
    """Return typed text without control characters, in composed form, trimmed."""
    return printable(unicodedata.normalize("NFC", text)).strip()


def printable(text: str) -> str:
    """Return text without control characters, but for line ends and tabs."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc")


async def answer(
    manifest: Manifest, engine: Engine, library: Library | None, inquiry: Inquiry
) -> AsyncGenerator[AnswerEvent, None]:
    """Answer a question; close the generator early to cancel it.

    Raises:
        BundleError: the documents cannot be searched.
        OverloadedError, ContextOverflowError, EngineError: as :meth:`Engine.chat`.
    """
    sources: tuple[Source, ...] = ()
    if inquiry.service.search:
        sources = await _search(manifest, library, inquiry)
        if not sources:
            yield NothingFound()
            return
        yield PassagesFound(sources)
    state = engine.status.state
    if state in {"loading", "restarting"}:
        yield Preparing("loading" if state == "loading" else "restarting")
    reader = _Reader(sources)
    async with aclosing(_ask_fitting(manifest, engine, inquiry, sources)) as events:
        async for event in events:
            for shown in reader.read(event):
                yield shown


async def _search(manifest: Manifest, library: Library | None, inquiry: Inquiry) -> tuple[Source, ...]:
    knowledge = manifest.knowledge
    if library is None or knowledge is None:
        raise BundleError(
            "This service searches documents, and the bundle has none.",
            hint="Build the bundle again from a recipe with [knowledge].",
        )
    hits = await library.search(
        inquiry.question, top=knowledge.top, min_relevance=knowledge.min_relevance, language=inquiry.language
    )
    return tuple(source_of(number, hit) for number, hit in enumerate(hits, 1))


def source_of(number: int, hit: "Hit") -> Source:
    """Return a passage that was found, under its number."""
    found = hit.passage
    return Source(
        number=number,
        passage=found.id,
        document=found.document,
        source=found.source,
        heading=found.heading,
        page=found.page,
        text=found.text,
        language=found.language,
        relevance=round(float(hit.relevance), 3),
    )


async def _ask_fitting(
    manifest: Manifest, engine: Engine, inquiry: Inquiry, sources: Sequence[Source]
) -> AsyncGenerator[Event, None]:
    """Ask with as many passages as the context holds.

    The count of tokens is an estimate. Where the engine finds it too low, one passage less is tried.
    """
    given = _fitting(manifest, inquiry, sources)
    while True:
        started = False
        try:
            async with aclosing(engine.chat(compose(inquiry, given))) as events:
                async for event in events:
                    started = True
                    yield event
        except ContextOverflowError:
            if started or len(given) <= 1:
                raise
            given = given[:-1]
        else:
            return


def compose(inquiry: Inquiry, passages: Sequence[str]) -> ChatRequest:
    """Return what the engine is asked: the prompt, earlier turns, and the passages with the question.

    Args:
        inquiry: the question.
        passages: numbered passages as :func:`passage_text` writes them; empty where the service has none.
    """
    messages = [ChatMessage("system", word(inquiry.service.prompt, inquiry.language))]
    for turn in _remembered(inquiry):
        messages += [ChatMessage("user", turn.question), ChatMessage("assistant", turn.answer)]
    labels = inquiry.labels or {}
    stop: tuple[str, ...] = ()
    if passages:
        above, before = labels.get("prompt.passages", "Passages"), labels.get("prompt.question", "Question")
        messages.append(_with_passages(f"{above}:\n", passages, f"\n\n{before}: {inquiry.question}"))
        stop = (f"\n{before}:",)  # small models go on with a question of their own
    else:
        messages.append(ChatMessage("user", inquiry.question))
    service = inquiry.service
    sampling = Sampling(service.max_tokens, service.temperature, repeat_penalty=service.repeat_penalty, stop=stop)
    return ChatRequest(tuple(messages), sampling, client=inquiry.client)


def _with_passages(above: str, passages: Sequence[str], below: str) -> ChatMessage:
    """Return a turn with its passages marked, each from behind its number on: that depends on its neighbours."""
    text, places = above, []
    for index, passage in enumerate(passages):
        text += "\n\n" if index else ""
        number = _NUMBER.match(passage)
        places.append((len(text) + (number.end() if number else 0), len(text) + len(passage)))
        text += passage
    return ChatMessage("user", text + below, tuple(places))


def passage_text(source: Source) -> str:
    """Return a passage as the model reads it: number, title and section, then the text."""
    return f"[{source.number}]{passage_run(source)}"


def passage_run(source: "Source | Passage") -> str:
    """Return what of a passage's text depends on itself alone: all but its number."""
    place = f"{source.document}, {source.heading}" if source.heading else source.document
    return f" {place}\n{source.text}"


def _remembered(inquiry: Inquiry) -> tuple[Turn, ...]:
    return () if inquiry.service.search else inquiry.turns[-MOST_TURNS:]


def _tokens(text: str) -> int:
    return len(text.encode()) // _BYTES_PER_TOKEN + 1


def _fitting(manifest: Manifest, inquiry: Inquiry, sources: Sequence[Source]) -> list[str]:
    fixed = [message.content for message in compose(inquiry, ()).messages]
    left = manifest.engine.context - inquiry.service.max_tokens - _TEMPLATE_TOKENS
    left -= sum(_tokens(text) for text in fixed)
    given: list[str] = []
    for text in map(passage_text, sources):
        cost = _tokens(text) + 1
        if cost > left:
            if not given and left > 0:  # better the beginning of the best passage than none
                given.append(text.encode()[: left * _BYTES_PER_TOKEN].decode(errors="ignore"))
            break
        given.append(text)
        left -= cost
    return given


class _Reader:
    """Turns the engine's events into the answer's, sentence by sentence."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._passages: list[Wording] = [
            wording(f"{source.document}. {source.heading}. {source.text}") for source in sources
        ]
        self._sentences = SentenceReader()
        self._count = 0

    def read(self, event: Event) -> list[AnswerEvent]:
        match event:
            case Queued(position):
                return [Waiting(position)]
            case Started(prompt_tokens, reused_tokens):
                return [AnswerStarted(prompt_tokens, reused_tokens)]
            case Delta(text):
                return self._shown(self._sentences.feed(text))
            case Finished():
                seconds = round(event.prefill_seconds + event.decode_seconds, 3)
                done = AnswerDone(event.reason, event.completion_tokens, seconds)
                return [*self._shown(self._sentences.finish()), done]

    def _shown(self, pieces: Sequence[Text | SentenceEnd]) -> list[AnswerEvent]:
        out: list[AnswerEvent] = []
        for piece in pieces:
            if isinstance(piece, Text):
                out.append(AnswerText(piece.text))
            else:
                out.append(self._attributed(piece))
        return out

    def _attributed(self, sentence: SentenceEnd) -> Attributed:
        found = attribute(sentence.text, self._passages, sentence.marks)
        event = Attributed(self._count, sentence.start, sentence.end, found)
        self._count += 1
        return event
