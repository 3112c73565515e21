"""``POST /api/speech``: a sentence of the page, read aloud by a voice of the bundle.

Invariants: the text comes in a request's body and is written nowhere; its sound leaves only in the answer to it; when
the patron leaves, ends the session, or has something else read, the work ends. An answer that is being written goes on.
"""

from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Cookie, HTTPException
from pydantic import BaseModel, ConfigDict, StringConstraints
from starlette.responses import JSONResponse, Response

from publicai_edge.engine.voice import MOST_LETTERS
from publicai_edge.errors import OverloadedError, PublicAIError
from publicai_edge.kiosk.answering import clean
from publicai_edge.kiosk.replies import error_reply, retry_after
from publicai_edge.kiosk.sessions import SPEECH
from publicai_edge.kiosk.state import Kiosk
from publicai_edge.kiosk.streaming import Stream

MEDIA_TYPE = "audio/wav"


class Sentence(BaseModel):
    """The body of ``POST /api/speech``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    language: Annotated[str, StringConstraints(max_length=35)]
    text: Annotated[str, StringConstraints(min_length=1, max_length=MOST_LETTERS)]


def speech_routes(kiosk: Kiosk) -> APIRouter:
    """Return the route; where the bundle has no voice, it answers 404."""
    router = APIRouter()

    @router.post("/api/speech", response_class=Response)
    async def speak(sentence: Sentence, kiosk_session: Annotated[str | None, Cookie()] = None) -> Response:
        """Return a sentence as a WAV file: 16-bit samples, one channel."""
        voices = kiosk.voices
        if voices is None:
            raise HTTPException(404, "This kiosk has no voice.")
        if sentence.language not in voices.languages:
            raise HTTPException(400, "This kiosk does not read that language aloud.")
        text = clean(sentence.text)
        if not text:
            raise HTTPException(400, "There is nothing to read.")
        session = kiosk.sessions.find_or_open(kiosk_session)
        stop = session.begin_stream(SPEECH)

        async def sound() -> AsyncGenerator[bytes, None]:
            try:
                yield await voices.speak(text, sentence.language)
            finally:
                session.end_stream(stop)

        return Stream(
            sound(),
            media_type=MEDIA_TYPE,
            stops=(stop, kiosk.closing),
            on_error=_failed,
            headers=session.cookie,
        )

    return router


def _failed(error: PublicAIError) -> JSONResponse:
    seconds = {"retry-after": str(retry_after(error))}
    if isinstance(error, OverloadedError):
        sentence = "Others are being read to at the moment. Please try again shortly."
        return error_reply(503, "overloaded", sentence, seconds)
    return error_reply(503, "speech_failed", "The text could not be read aloud.", seconds)
