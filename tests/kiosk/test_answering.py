"""Passages first, then the model; nothing found, then no model."""

import asyncio
from pathlib import Path

import pytest

from publicai_edge.bundle.manifest import Manifest
from publicai_edge.errors import BundleError, ContextOverflowError, EngineError
from publicai_edge.kiosk.answering import Inquiry, Turn, answer, clean, compose
from publicai_edge.kiosk.events import (
    AnswerDone,
    AnswerEvent,
    AnswerStarted,
    AnswerText,
    Attributed,
    NothingFound,
    PassagesFound,
    Preparing,
    Waiting,
)
from publicai_edge.kiosk.library import Library
from publicai_edge.search import Passage
from tests.kiosk.conftest import manifest
from tests.kiosk.fakes import FakeDocuments, FakeEngine

QUESTION = "When does the library open, and how long may books be kept?"


def inquiry(content: Manifest, service: str = "ask", question: str = QUESTION, language: str = "en") -> Inquiry:
    found = content.service(service)
    assert found
    return Inquiry(found, language, question)


async def collect(
    content: Manifest, engine: FakeEngine, documents: FakeDocuments | None, asked: Inquiry
) -> list[AnswerEvent]:
    library = Library(lambda: documents) if documents else None
    try:
        return [event async for event in answer(content, engine, library, asked)]
    finally:
        if library:
            library.close()


def test_passages_are_there_before_the_engine_is_asked(engine: FakeEngine, documents: FakeDocuments) -> None:
    content = manifest()

    async def first() -> AnswerEvent:
        events = answer(content, engine, Library(lambda: documents), inquiry(content))
        event = await anext(events)
        assert engine.requests == []
        await anext(events)
        assert len(engine.requests) == 1
        await events.aclose()
        return event

    event = asyncio.run(first())
    assert isinstance(event, PassagesFound)
    assert [source.number for source in event.sources] == [1, 2, 3]
    assert engine.closed_streams == 1, "leaving early cancels the engine's work"


def test_the_model_is_not_asked_when_nothing_was_found(engine: FakeEngine, documents: FakeDocuments) -> None:
    content = manifest()
    events = asyncio.run(collect(content, engine, documents, inquiry(content, question="zzzz xxxx?")))
    assert events == [NothingFound()]
    assert engine.requests == []


def test_the_answer_comes_with_its_sources(engine: FakeEngine, documents: FakeDocuments) -> None:
    content = manifest()
    engine.queue = (2, 1)
    events = asyncio.run(collect(content, engine, documents, inquiry(content)))
    kinds = [type(event) for event in events if not isinstance(event, AnswerText | Attributed)]
    assert kinds == [PassagesFound, Waiting, Waiting, AnswerStarted, AnswerDone]
    text = "".join(event.text for event in events if isinstance(event, AnswerText))
    assert text == (
        "The library opens at 9 a.m. from Monday to Friday. Books may be kept for three weeks. It is a lovely place."
    )
    spans = [event for event in events if isinstance(event, Attributed)]
    assert [text[span.start : span.end] for span in spans] == [
        "The library opens at 9 a.m. from Monday to Friday.",
        "Books may be kept for three weeks.",
        "It is a lovely place.",
    ]
    assert [span.sources for span in spans] == [(1,), (2,), ()]


def test_the_page_is_told_when_the_model_is_not_ready(engine: FakeEngine, documents: FakeDocuments) -> None:
    content = manifest()
    engine.state = "restarting"
    events = asyncio.run(collect(content, engine, documents, inquiry(content)))
    assert events[1] == Preparing("restarting")


def test_the_system_message_is_the_prompt_and_nothing_else(engine: FakeEngine, documents: FakeDocuments) -> None:
    content = manifest()
    for question in (QUESTION, "Is a library card free?"):
        asyncio.run(collect(content, engine, documents, inquiry(content, question=question, language="es")))
    first, second = engine.requests
    assert first.messages[0] == second.messages[0]
    assert first.messages[0].content == content.services[0].prompt["es"]
    assert first.messages[-1].content.endswith(f"Question: {QUESTION}")
    assert first.messages[-1].content.startswith("Passages:\n[1] Opening hours, Main library\nThe library opens")


def test_only_a_service_without_search_remembers_and_only_two_turns() -> None:
    content = manifest()
    turns = tuple(Turn(f"question {n}", f"answer {n}") for n in range(5))
    plain, ask = content.services[1], content.services[0]
    remembered = compose(Inquiry(plain, "en", "now", turns), ())
    assert [message.content for message in remembered.messages[1:]] == [
        "question 3",
        "answer 3",
        "question 4",
        "answer 4",
        "now",
    ]
    alone = compose(Inquiry(ask, "en", "now", turns), ("[1] A\nb",))
    assert len(alone.messages) == 2


def test_passages_that_do_not_fit_the_context_are_left_out(engine: FakeEngine) -> None:
    long = [Passage(n, "Rules", "r.md", "", None, "library " * 100) for n in range(1, 9)]
    content = manifest(
        engine={"context": 1024},
        knowledge=manifest().knowledge.model_copy(update={"top": 8}).model_dump(),  # type: ignore[union-attr]
    )
    events = asyncio.run(collect(content, engine, FakeDocuments(long), inquiry(content, question="library")))
    assert isinstance(events[0], PassagesFound)
    assert len(events[0].sources) == 8
    given = engine.requests[0].messages[-1].content
    assert 1 <= given.count("Rules\n") < 8
    assert len(given) / 3 + 200 < 1024


def test_an_estimate_that_was_too_low_is_mended_by_asking_with_less(documents: FakeDocuments) -> None:
    class Tight(FakeEngine):
        async def chat(self, request):  # type: ignore[no-untyped-def]
            self.failure = ContextOverflowError("too long") if "[2]" in request.messages[-1].content else None
            async for event in super().chat(request):
                yield event

    content, engine = manifest(), Tight()
    events = asyncio.run(collect(content, engine, documents, inquiry(content)))
    assert isinstance(events[-1], AnswerDone)
    assert len(engine.requests) == 3


def test_a_question_too_long_by_itself_is_refused(engine: FakeEngine, documents: FakeDocuments) -> None:
    content = manifest()
    engine.failure = ContextOverflowError("too long")
    with pytest.raises(ContextOverflowError):
        asyncio.run(collect(content, engine, documents, inquiry(content)))


def test_an_engine_that_fails_midway_ends_the_answer_with_its_error(
    engine: FakeEngine, documents: FakeDocuments
) -> None:
    content = manifest()
    engine.failure, engine.fail_after = EngineError("the worker died"), 3
    with pytest.raises(EngineError):
        asyncio.run(collect(content, engine, documents, inquiry(content)))


def test_an_error_of_the_search_does_not_quote_the_question(engine: FakeEngine, documents: FakeDocuments) -> None:
    content = manifest()
    documents.failure = ValueError(f"near {QUESTION!r}: syntax error")
    with pytest.raises(BundleError) as caught:
        asyncio.run(collect(content, engine, documents, inquiry(content)))
    assert QUESTION not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_library_that_cannot_be_opened_says_so(engine: FakeEngine, tmp_path: Path) -> None:
    def opener() -> FakeDocuments:
        raise BundleError("The index is damaged.")

    async def ask() -> None:
        library = Library(opener)
        with pytest.raises(BundleError, match="damaged"):
            await library.search("a", top=1, min_relevance=0)
        assert library.state == "failed"
        library.close()

    asyncio.run(ask())


def test_typed_text_loses_control_characters_only() -> None:
    assert clean("  a\x00b\x1b[0m\n\tc\u0301 ") == "ab[0m\n\tć"
