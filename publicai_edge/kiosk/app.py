"""The web application: the routes, what stands before them, and what lives as long as they do."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from publicai_edge.bundle.open import Bundle
from publicai_edge.engine.protocol import Engine
from publicai_edge.errors import PublicAIError
from publicai_edge.kiosk import dictation_routes as dictating
from publicai_edge.kiosk import words
from publicai_edge.kiosk.dictation import Dictation
from publicai_edge.kiosk.embedding import Embeddings
from publicai_edge.kiosk.filling import fill
from publicai_edge.kiosk.guard import Guard, describe
from publicai_edge.kiosk.library import Documents, Library
from publicai_edge.kiosk.monitoring import monitoring_routes
from publicai_edge.kiosk.openai_api import openai_routes
from publicai_edge.kiosk.openai_errors import invalid_parameter, openai_error
from publicai_edge.kiosk.openai_form import expected
from publicai_edge.kiosk.operator_routes import operator_routes
from publicai_edge.kiosk.page_routes import page_routes
from publicai_edge.kiosk.replies import error_reply, unavailable
from publicai_edge.kiosk.scrubbing import Scrubber, Scrubbing
from publicai_edge.kiosk.sessions import Sessions
from publicai_edge.kiosk.slip_routes import slip_routes
from publicai_edge.kiosk.slips import Slips
from publicai_edge.kiosk.speech_routes import speech_routes
from publicai_edge.kiosk.staff_desk import Desk
from publicai_edge.kiosk.staff_routes import staff_routes
from publicai_edge.kiosk.state import Kiosk
from publicai_edge.kiosk.voices import Voices
from publicai_edge.kiosk.watch import watch

_LOG = logging.getLogger("publicai_edge.kiosk")
_SWEEP_SECONDS = 10.0
_CLOSE_SECONDS = 1.5

_NOT_THERE = 404
_HTTP_SENTENCES = {
    _NOT_THERE: ("not_found", "There is nothing here."),
    405: ("wrong_method", "This address does not take that kind of request."),
}


def create_app(
    bundle: Bundle,
    engine: Engine,
    open_documents: Callable[[], Documents] | None,
    *,
    allowed_hosts: frozenset[str],
    sessions: Sessions | None = None,
    slips: Slips | None = None,
    share_status: bool = False,
    printing: bool = True,
    staff: Desk | None = None,
) -> FastAPI:
    """Return the kiosk's application; ``app.state.kiosk`` is its :class:`Kiosk`.

    Args:
        bundle: what is served.
        engine: started and closed with the application.
        open_documents: opens the knowledge base, in a thread of its own; None where the bundle has none.
        allowed_hosts: ``Host`` values that mean this kiosk, see :func:`publicai_edge.kiosk.guard.own_names`.
        sessions: the patrons' sessions; made from the manifest unless given.
        slips: keeps what patrons tell of wrong answers; None where there is no place for them.
        share_status: let other machines read ``/status``, too.
        printing: whether the page offers to print an answer.
        staff: what staff change the documents with; None where the bundle has none.
    """
    manifest = bundle.manifest
    kiosk = Kiosk(
        bundle=bundle,
        engine=engine,
        library=Library(open_documents) if open_documents else None,
        sessions=Sessions(idle_seconds=60.0 * manifest.session_minutes) if sessions is None else sessions,
        words={language: words.load(language) for language in manifest.languages},
        embeddings=Embeddings(bundle.embedding_path) if bundle.embedding_path else None,
        slips=slips,
        staff=staff,
        printing=printing,
        dictation=Dictation.of(bundle),
        voices=Voices.of(bundle),
    )
    # The interactive documentation pages load scripts from elsewhere, so there are none.
    parts = (kiosk.library, kiosk.embeddings, kiosk.dictation, kiosk.voices)
    scrubber = Scrubber([part.scrub for part in parts if part])
    app = FastAPI(
        title="publicai-edge kiosk", docs_url=None, redoc_url=None, lifespan=lambda _: _lifespan(kiosk, scrubber)
    )
    app.state.kiosk = kiosk
    app.include_router(page_routes(kiosk))
    app.include_router(slip_routes(kiosk))
    app.include_router(dictating.dictation_routes(kiosk))
    app.include_router(speech_routes(kiosk))
    app.include_router(monitoring_routes(kiosk))
    app.include_router(operator_routes(kiosk, shared=share_status))
    app.include_router(openai_routes(kiosk))
    app.include_router(staff_routes(kiosk))
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(PublicAIError, _unavailable)
    large = {dictating.PATH: kiosk.dictation.most_bytes} if kiosk.dictation else {}
    app.add_middleware(Guard, allowed_hosts=allowed_hosts, large=large, microphone=bool(large))
    app.add_middleware(Scrubbing, scrubber=scrubber)
    return app


@contextlib.asynccontextmanager
async def _lifespan(kiosk: Kiosk, scrubber: Scrubber) -> AsyncGenerator[None, None]:
    asyncio.get_running_loop().set_exception_handler(_log_quietly)
    if kiosk.library:
        kiosk.library.start()
    work = (_sweep(kiosk.sessions, scrubber), watch(kiosk), fill(kiosk), scrubber.run())
    chores = [asyncio.create_task(chore) for chore in work]
    try:
        await kiosk.engine.start()
        yield
    finally:
        kiosk.end_streams()
        for chore in chores:
            chore.cancel()
        if kiosk.staff:
            kiosk.staff.close()
        if kiosk.library:
            kiosk.library.close()
        if kiosk.embeddings:
            kiosk.embeddings.close()
        if kiosk.dictation:
            kiosk.dictation.close()
        if kiosk.voices:
            kiosk.voices.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(kiosk.engine.close(), _CLOSE_SECONDS)


async def _sweep(sessions: Sessions, scrubber: Scrubber) -> None:
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        if sessions.sweep():
            scrubber.want()


def _log_quietly(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what a background task died of, without the message: it may quote a patron."""
    error = context.get("exception")
    _LOG.error("Background work failed: %s", describe(error) if error else "no exception given")


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class only
    first = error.errors()[0]
    names = [part for part in first["loc"] if part != "body"]
    # A name is said only when it is one of ours: an unknown one was typed by the client.
    known = names[0] if names and isinstance(names[0], str) and first["type"] != "extra_forbidden" else None
    problem = _problem(str(first["type"]))
    if request.url.path.startswith("/v1/"):
        wanted = expected(known) if known else None
        return invalid_parameter(known, f"expected {wanted}" if wanted else problem)
    where = f"Field {known!r}" if known else "The request"
    return error_reply(400, "invalid", f"{where}: {problem}.")


def _problem(kind: str) -> str:
    if kind in {"json_invalid", "model_attributes_type"}:
        return "expected a JSON object with Content-Type application/json"
    return {
        "missing": "it is missing",
        "extra_forbidden": "it has a field that is not known here",
        "string_too_long": "it is too long",
        "string_too_short": "it is empty",
    }.get(kind, "it has a wrong type or value")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    code, sentence = _HTTP_SENTENCES.get(error.status_code, ("invalid", "The request cannot be understood."))
    if error.status_code == _NOT_THERE and _is_visit(request):
        return RedirectResponse("/", 303)
    own = error.detail if error.detail.endswith(".") else sentence  # Starlette's own details are bare phrases
    if request.url.path.startswith("/v1/"):
        return openai_error(error.status_code, own, code=code)
    return error_reply(error.status_code, code, own, error.headers)


def _is_visit(request: Request) -> bool:
    """Say whether somebody typed an address, or followed a link: what a program asks for is answered in JSON."""
    return request.method == "GET" and "text/html" in request.headers.get("accept", "")


async def _unavailable(_request: Request, error: Exception) -> Response:
    assert isinstance(error, PublicAIError)  # noqa: S101 - registered for this class only
    return unavailable(error)
