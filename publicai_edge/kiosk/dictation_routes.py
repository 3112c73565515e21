"""``POST /api/dictation``: a patron speaks, and gets the words back; nothing is asked with them yet.

Invariants: a recording comes in a request's body and is written nowhere; its words leave only in the answer to it; when
the patron leaves, ends the session, or begins something else, the work ends.
"""

import json
from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Cookie, HTTPException, Request
from starlette.responses import JSONResponse, Response

from publicai_edge.engine.speech import SAMPLE_BYTES
from publicai_edge.errors import OverloadedError, PublicAIError
from publicai_edge.kiosk.answering import MOST_QUESTION_LETTERS, clean
from publicai_edge.kiosk.dictation import Dictation
from publicai_edge.kiosk.replies import error_reply, retry_after
from publicai_edge.kiosk.state import Kiosk
from publicai_edge.kiosk.streaming import Stream

PATH = "/api/dictation"
MEDIA_TYPE = "application/octet-stream"


def dictation_routes(kiosk: Kiosk) -> APIRouter:
    """Return the route; where the bundle has no speech model, it answers 404."""
    router = APIRouter()

    @router.post(PATH, response_class=Response)
    async def dictate(
        request: Request, language: str = "", kiosk_session: Annotated[str | None, Cookie()] = None
    ) -> Response:
        """Write down a recording: 16-bit samples, little-endian, one channel, 16,000 a second."""
        dictation = kiosk.dictation
        if dictation is None:
            raise HTTPException(404, "This kiosk takes no dictation.")
        if language not in dictation.languages:
            raise HTTPException(400, "This kiosk does not write down that language.")
        if request.headers.get("content-type") != MEDIA_TYPE:
            raise HTTPException(400, f"Expected a recording with Content-Type {MEDIA_TYPE}.")
        recording = await request.body()
        if not recording or len(recording) % SAMPLE_BYTES:
            raise HTTPException(400, "Expected samples of 16 bits, and at least one.")
        session = kiosk.sessions.find_or_open(kiosk_session)
        stop = session.begin_stream()

        async def words() -> AsyncGenerator[bytes, None]:
            try:
                yield await _written(dictation, recording, language)
            finally:
                session.end_stream(stop)

        return Stream(
            words(),
            media_type="application/json",
            stops=(stop, kiosk.closing),
            on_error=_failed,
            headers=session.cookie,
        )

    return router


async def _written(dictation: Dictation, recording: bytes, language: str) -> bytes:
    text = clean(await dictation.write_down(recording, language))
    return json.dumps({"text": text[:MOST_QUESTION_LETTERS]}, ensure_ascii=False).encode()


def _failed(error: PublicAIError) -> JSONResponse:
    seconds = {"retry-after": str(retry_after(error))}
    if isinstance(error, OverloadedError):
        sentence = "Others are speaking at the moment. Please try again shortly."
        return error_reply(503, "overloaded", sentence, seconds)
    return error_reply(503, "dictation_failed", "What was said could not be written down.", seconds)
