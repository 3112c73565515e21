"""The routes of the page: what it shows, a question and its streamed answer, the end of a session.

Invariants: what a patron typed comes in a request's body, never in an address, and leaves only in that
patron's own answer; the page's files are read once, at start, so no path from a request reaches the disk.
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Cookie, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, StringConstraints

from publicai_edge.bundle.manifest import Manifest
from publicai_edge.errors import PublicAIError
from publicai_edge.kiosk import page_files
from publicai_edge.kiosk.answering import MOST_QUESTION_LETTERS, Inquiry, Turn, answer, clean
from publicai_edge.kiosk.events import AnswerDone, AnswerText, to_json
from publicai_edge.kiosk.replies import error_code, retry_after, unavailable
from publicai_edge.kiosk.sessions import COOKIE, Session
from publicai_edge.kiosk.slip_routes import level
from publicai_edge.kiosk.staff_routes import offers
from publicai_edge.kiosk.state import Kiosk
from publicai_edge.kiosk.streaming import Stream
from publicai_edge.kiosk.words import OPERATOR_WORDS, direction, spoken


class Question(BaseModel):
    """The body of ``POST /api/ask``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    service: Annotated[str, StringConstraints(max_length=100)]
    language: Annotated[str, StringConstraints(max_length=35)]
    question: Annotated[str, StringConstraints(min_length=1, max_length=MOST_QUESTION_LETTERS)]


def page_routes(kiosk: Kiosk) -> APIRouter:
    """Return the page's routes for a kiosk."""
    router = APIRouter()
    _add_files(router)
    _add_facts(router, kiosk)
    _add_answers(router, kiosk)
    return router


def _add_files(router: APIRouter) -> None:
    files = page_files.static()

    @router.get("/", include_in_schema=False)
    async def page() -> Response:
        return Response(page_files.page("index.html"), media_type=page_files.MEDIA_TYPES[".html"])

    @router.get("/static/{name}", include_in_schema=False)
    async def static(name: str) -> Response:
        if name not in files:
            raise HTTPException(404)
        return Response(files[name][0], media_type=files[name][1])


def _add_facts(router: APIRouter, kiosk: Kiosk) -> None:
    facts = describe(kiosk)

    @router.get("/api/kiosk")
    async def about(request: Request) -> dict[str, Any]:
        """Return everything the page shows before a question is asked."""
        return facts | {"staff": offers(kiosk, request)}

    @router.get("/api/status")
    async def status() -> dict[str, Any]:
        """Return how the model and the documents are."""
        return {
            "engine": kiosk.engine.status.state,
            "documents": kiosk.library.state if kiosk.library else "none",
        }

    @router.get("/api/documents/{source:path}")
    async def document(source: str) -> dict[str, Any]:
        """Return a document's passages in reading order."""
        passages = await kiosk.library.document(source) if kiosk.library else ()
        if not passages:
            raise HTTPException(404)
        return {
            "title": passages[0].document,
            "source": passages[0].source,
            "passages": [
                {
                    "passage": item.id,
                    "heading": item.heading,
                    "page": item.page,
                    "language": item.language,
                    "text": item.text,
                }
                for item in passages
            ],
        }


def describe(kiosk: Kiosk) -> dict[str, Any]:
    """Return what ``GET /api/kiosk`` answers."""
    manifest = kiosk.bundle.manifest
    fields = {"id", "title", "description", "prompt", "search"}
    return {
        "name": manifest.name,
        "version": manifest.version,
        "title": manifest.title,
        "languages": [
            {"code": code, "direction": direction(code), "words": spoken(code)} for code in manifest.languages
        ],
        "words": {
            language: {key: text for key, text in known.items() if not key.startswith(OPERATOR_WORDS)}
            for language, known in kiosk.words.items()
        },
        "services": [service.model_dump(include=fields) for service in manifest.services],
        "steward": manifest.steward.model_dump(),
        "model": manifest.model.model_dump(include={"name", "license", "license_url", "quantization"}),
        "embedding": _optional(manifest.embedding, {"name", "license", "quantization"}),
        "documents": _optional(manifest.knowledge, {"license", "documents", "passages"}),
        "zim": [
            item.model_dump(include={"name", "title", "date", "license", "license_url", "articles"})
            for item in (manifest.knowledge.zim if manifest.knowledge else ())
        ],
        "session_minutes": manifest.session_minutes,
        "longest_question": MOST_QUESTION_LETTERS,
        "slips": level(kiosk),
        "printing": kiosk.printing,
        "dictation": _optional(manifest.dictation, {"name", "license", "languages", "max_seconds"}),
        "voices": [voice.model_dump(include={"language", "name", "license"}) for voice in manifest.voices],
    }


def _optional(part: BaseModel | None, fields: set[str]) -> dict[str, Any] | None:
    return part.model_dump(include=fields) if part else None


def _add_answers(router: APIRouter, kiosk: Kiosk) -> None:
    @router.post("/api/ask", response_class=Response)
    async def ask(question: Question, kiosk_session: Annotated[str | None, Cookie()] = None) -> Response:
        """Stream passages and an answer: one JSON event a line."""
        inquiry = _inquiry(kiosk, question)
        session = kiosk.sessions.find_or_open(kiosk_session)
        stop = session.begin_stream()
        return Stream(
            _lines(kiosk, session, stop, inquiry),
            media_type="application/x-ndjson",
            stops=(stop, kiosk.closing),
            on_error=unavailable,
            headers=session.cookie,
        )

    @router.post("/api/session/end")
    async def end(response: Response, kiosk_session: Annotated[str | None, Cookie()] = None) -> dict[str, bool]:
        """Wipe the session; its answer under way ends too."""
        response.headers["set-cookie"] = f"{COOKIE}=; Path=/api; HttpOnly; SameSite=Strict; Max-Age=0"
        kiosk.sessions.end(kiosk_session)
        return {"ended": True}


def _inquiry(kiosk: Kiosk, question: Question) -> Inquiry:
    manifest: Manifest = kiosk.bundle.manifest
    service = manifest.service(question.service)
    if service is None:
        raise HTTPException(404, "There is no such service at this kiosk.")
    if question.language not in manifest.languages:
        raise HTTPException(400, "This kiosk does not speak that language.")
    text = clean(question.question)
    if not text:
        raise HTTPException(400, "The question is empty.")
    return Inquiry(service, question.language, text, labels=kiosk.words[question.language])


async def _lines(kiosk: Kiosk, session: Session, stop: asyncio.Event, inquiry: Inquiry) -> AsyncGenerator[bytes, None]:
    service = inquiry.service
    asked = replace(inquiry, turns=session.turns(service.id), client=session.client)
    answered: list[str] = []
    try:
        events = answer(kiosk.bundle.manifest, kiosk.engine, kiosk.library, asked)
        async with aclosing(events):
            async for event in events:
                if isinstance(event, AnswerText):
                    answered.append(event.text)
                elif isinstance(event, AnswerDone) and not service.search:
                    session.remember(service.id, Turn(inquiry.question, "".join(answered)))
                yield _line(to_json(event))
    except PublicAIError as error:
        # As a line even when it is the first: the page reads one kind of answer.
        yield _line({"type": "error", "code": error_code(error), "retry_after": retry_after(error)})
    finally:
        session.end_stream(stop)


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"
