"""``POST /api/slip``: a patron tells the staff that an answer is wrong.

Invariants: no cookie is read or set; a slip names only what there is: a service, a language, a reason, and passages of
this kiosk's documents; a field that the recipe does not allow is refused, and not dropped quietly.
"""

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.responses import JSONResponse, Response

from publicai_edge.errors import HostError
from publicai_edge.kiosk.answering import MOST_QUESTION_LETTERS, clean
from publicai_edge.kiosk.replies import error_reply
from publicai_edge.kiosk.slips import (
    MOST_PASSAGES,
    MOST_WORDS_LETTERS,
    REASONS,
    Cited,
    Slip,
    SlipsFullError,
    TooManySlipsError,
)
from publicai_edge.kiosk.state import Kiosk

Level = Literal["off", "reasons", "question", "words"]


class CitedPassage(BaseModel):
    """A passage, as ``POST /api/ask`` named it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    passage: Annotated[int, Field(ge=0, lt=1 << 53)]


class SlipForm(BaseModel):
    """The body of ``POST /api/slip``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    service: Annotated[str, StringConstraints(max_length=100)]
    language: Annotated[str, StringConstraints(max_length=35)]
    reason: Annotated[str, StringConstraints(max_length=20)]
    passages: Annotated[list[CitedPassage], Field(max_length=MOST_PASSAGES)] = []
    question: Annotated[str, StringConstraints(max_length=MOST_QUESTION_LETTERS)] | None = None
    words: Annotated[str, StringConstraints(max_length=MOST_WORDS_LETTERS)] | None = None


def level(kiosk: Kiosk) -> Level:
    """Return what a slip may hold here; "off" also where there is no folder to keep it in."""
    return kiosk.bundle.manifest.slips if kiosk.slips else "off"


def slip_routes(kiosk: Kiosk) -> APIRouter:
    """Return the route."""
    router = APIRouter()

    @router.post("/api/slip", response_class=Response)
    async def slip(form: SlipForm) -> Response:
        """Keep a slip for the staff: no name, no session, the day and no time."""
        slips = kiosk.slips
        if slips is None or level(kiosk) == "off":
            raise HTTPException(404, "This kiosk takes no slips.")
        _check(kiosk, form)
        try:
            slips.may_come()
            await asyncio.to_thread(slips.add, await _slip(kiosk, form))
        except TooManySlipsError as error:
            return error_reply(
                429, "too_many", "Too many slips at the moment. Please try again.", {"retry-after": str(error.seconds)}
            )
        except SlipsFullError:
            return error_reply(409, "full", "There is no room for another slip. Please tell a member of staff.")
        except HostError:
            return error_reply(
                503, "not_kept", "The slip could not be kept. Please tell a member of staff.", {"retry-after": "60"}
            )
        return JSONResponse({"kept": True})

    return router


def _check(kiosk: Kiosk, form: SlipForm) -> None:
    manifest, allowed = kiosk.bundle.manifest, level(kiosk)
    if manifest.service(form.service) is None:
        raise HTTPException(400, "There is no such service at this kiosk.")
    if form.language not in manifest.languages:
        raise HTTPException(400, "This kiosk does not speak that language.")
    if form.reason not in REASONS:
        raise HTTPException(400, "That is none of the reasons.")
    if form.question is not None and allowed == "reasons":
        raise HTTPException(400, "Slips hold no questions at this kiosk.")
    if form.words is not None and allowed != "words":
        raise HTTPException(400, "Slips hold no words of one's own at this kiosk.")


async def _slip(kiosk: Kiosk, form: SlipForm) -> Slip:
    cited = []
    for given in form.passages:
        known = await kiosk.library.document(given.source) if kiosk.library else ()
        if not known:
            raise HTTPException(400, "A passage is not in the documents of this kiosk.")
        passage = next((passage for passage in known if passage.id == given.passage), None)
        # Staff may have changed the documents since: then the document is known, and not the place in it.
        cited.append(Cited(passage.source, passage.page, passage.heading) if passage else Cited(known[0].source))
    return Slip(
        service=form.service,
        language=form.language,
        reason=form.reason,
        passages=tuple(cited),
        question=clean(form.question or "") or None,
        words=clean(form.words or "") or None,
    )
