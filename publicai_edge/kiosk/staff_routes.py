"""The routes of the staff page: signing in with the code, documents in pieces, changes, and how they go.

Invariants: every route answers only to a browser on this very machine: the peer's address is a loopback one, and
nothing says that somebody else's request was passed on. A change needs the session's cookie, which no other site's page
is sent with (SameSite=Strict), and the token that only the staff page knows; the guard has refused foreign origins
before. No answer holds anything that a patron typed.
"""

import asyncio
import ipaddress
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Cookie, Depends, Header, HTTPException, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.responses import JSONResponse

from publicai_edge.errors import HostError
from publicai_edge.kiosk import page_files, staff_code
from publicai_edge.kiosk.replies import error_reply
from publicai_edge.kiosk.staff_desk import Desk
from publicai_edge.kiosk.staff_folder import RefusedError
from publicai_edge.kiosk.staff_sessions import COOKIE, HEADER, IDLE_SECONDS, StaffSession
from publicai_edge.kiosk.staff_uploads import PIECE_BYTES, Upload, plain_name
from publicai_edge.kiosk.state import Kiosk
from publicai_edge.knowledge.extract import SUFFIXES

_PASSED_ON = ("forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip")
_COOKIE_TAIL = "Path=/api/staff; HttpOnly; SameSite=Strict"
_LARGEST = 1 << 40
_OTHER_NAMES = {".htm", ".markdown", ".text", ".xhtml"}  # of formats that staff are told by their usual one


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Code(_Body):
    """The body of ``POST /api/staff/session``."""

    code: Annotated[str, StringConstraints(max_length=staff_code.LONGEST)]


class NewUpload(_Body):
    """The body of ``POST /api/staff/uploads``."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    size: Annotated[int, Field(ge=1, le=_LARGEST)]


class NewChange(_Body):
    """The body of ``POST /api/staff/changes``; ``subject`` is a document's, as the list has it."""

    kind: Literal["remove", "delete", "hide", "show", "undo"]
    subject: Annotated[str, StringConstraints(max_length=4096)] = ""


def is_here(request: Request) -> bool:
    """Say whether a request comes from a program on this very machine, and from nobody further away."""
    passed_on = any(name in _PASSED_ON or name.startswith("x-forwarded") for name in request.headers)
    try:
        address = ipaddress.ip_address(request.client.host if request.client else "")
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback and not passed_on


def offers(kiosk: Kiosk, request: Request) -> bool:
    """Say whether the page shows the way to the staff page."""
    return kiosk.staff is not None and is_here(request) and kiosk.staff.code() is not None


def staff_routes(kiosk: Kiosk) -> APIRouter:
    """Return the staff page's routes for a kiosk."""
    router = APIRouter(dependencies=[Depends(_only_here)])
    _add_page(router)
    _add_session(router, kiosk)
    _add_documents(router, kiosk)
    return router


def _only_here(request: Request) -> None:
    if not is_here(request):
        raise HTTPException(403, "The staff page opens on the kiosk itself only.")


def _add_page(router: APIRouter) -> None:
    @router.get("/staff", include_in_schema=False)
    async def page() -> Response:
        return Response(page_files.page("staff.html"), media_type=page_files.MEDIA_TYPES[".html"])


def _add_session(router: APIRouter, kiosk: Kiosk) -> None:
    one_try = asyncio.Lock()

    @router.get("/api/staff")
    async def state(staff_session: Annotated[str | None, Cookie()] = None) -> dict[str, Any]:
        """Return whether there is a staff page, and for who is signed in everything it shows."""
        desk = kiosk.staff
        session = desk.sessions.find(staff_session) if desk else None
        if desk is None or session is None:
            on = desk is not None and await asyncio.to_thread(desk.code) is not None
            return {"on": on, "signed_in": False, "wait": round(desk.gate.wait) if desk else 0}
        shown = await asyncio.to_thread(desk.describe)
        left = round(desk.sessions.left(session))
        return {"on": True, "signed_in": True, "token": session.token, "idle_left": left, **_facts(), **shown}

    @router.post("/api/staff/session")
    async def sign_in(body: Code) -> Response:
        """Sign in with the code; after a few wrong ones, 429 says how long to wait."""
        desk = _desk(kiosk)
        async with one_try:
            stored = await asyncio.to_thread(desk.code)
            if stored is None:
                return error_reply(404, "off", "There is no code, so there is no staff page.")
            if desk.gate.wait:
                return _wait(desk)
            right = await asyncio.to_thread(stored.fits, body.code)
            desk.gate.took(right)
        if not right:
            return _wait(desk) if desk.gate.wait else error_reply(403, "wrong_code", "That is not the code.")
        session = desk.sessions.open()
        return JSONResponse(
            {"token": session.token}, headers={"set-cookie": f"{COOKIE}={session.cookie}; {_COOKIE_TAIL}"}
        )

    @router.post("/api/staff/session/end")
    async def sign_out(response: Response, staff_session: Annotated[str | None, Cookie()] = None) -> dict[str, bool]:
        """Sign out; documents that have arrived are still taken in."""
        desk = _desk(kiosk)
        if desk.sessions.find(staff_session):
            desk.sessions.end(staff_session)
            await asyncio.to_thread(desk.uploads.end_all)
        response.headers["set-cookie"] = f"{COOKIE}=; {_COOKIE_TAIL}; Max-Age=0"
        return {"ended": True}


def _facts() -> dict[str, Any]:
    formats = sorted({suffix.lstrip(".").upper() for suffix in SUFFIXES if suffix not in _OTHER_NAMES})
    return {"idle_seconds": IDLE_SECONDS, "piece_bytes": PIECE_BYTES, "formats": formats, "suffixes": SUFFIXES}


def _wait(desk: Desk) -> Response:
    seconds = max(1, round(desk.gate.wait))
    return error_reply(429, "wait", f"Wait {seconds} seconds before the next try.", {"retry-after": str(seconds)})


def _desk(kiosk: Kiosk) -> Desk:
    if kiosk.staff is None:
        raise HTTPException(404, "There is no staff page: this bundle has no documents.")
    return kiosk.staff


def _add_documents(router: APIRouter, kiosk: Kiosk) -> None:
    def signed_in(
        staff_session: Annotated[str | None, Cookie()] = None,
        token: Annotated[str | None, Header(alias=HEADER)] = None,
    ) -> StaffSession:
        session = _desk(kiosk).sessions.use(staff_session, token)
        if session is None:
            raise HTTPException(401, "Sign in with the staff code first.")
        return session

    @router.get("/api/staff/documents")
    async def documents(staff_session: Annotated[str | None, Cookie()] = None) -> list[dict[str, Any]]:
        """Return every document: its title, where it is from, whether it is hidden."""
        if _desk(kiosk).sessions.find(staff_session) is None:
            raise HTTPException(401, "Sign in with the staff code first.")
        return await asyncio.to_thread(_desk(kiosk).documents)

    changes = APIRouter(dependencies=[Depends(signed_in)])

    @changes.post("/api/staff/session/stay")
    async def stay() -> dict[str, bool]:
        """Begin the idle time anew."""
        return {"stays": True}

    @changes.post("/api/staff/uploads")
    async def begin(body: NewUpload) -> Response:
        """Begin to add a document: its name and its size in bytes."""
        name = plain_name(body.name)
        if name is None:
            return error_reply(409, "wrong_kind", "No reader knows that kind of document.")
        try:
            upload = await asyncio.to_thread(_desk(kiosk).begin_upload, name, body.size)
        except RefusedError as error:
            return _refusal(error)
        return JSONResponse({"upload": upload.token, "name": name})

    @changes.put("/api/staff/uploads/{number}")
    async def piece(number: str, request: Request, at: Annotated[int, Query(ge=0, le=_LARGEST)]) -> Response:
        """Take the next piece of a document, as it is, from the byte ``at``."""
        upload, data = _upload(kiosk, number), await request.body()
        try:
            taken = await asyncio.to_thread(_desk(kiosk).uploads.write, upload, at, data)
        except HostError:
            _desk(kiosk).uploads.end(upload)
            return error_reply(409, "no_space", "The document cannot be written here.")
        if not taken:
            return error_reply(409, "wrong_piece", f"Expected the piece at byte {upload.received}.")
        return JSONResponse({"received": upload.received})

    @changes.post("/api/staff/uploads/{number}/end")
    async def end(number: str) -> Response:
        """Take the document in, in the background."""
        _upload(kiosk, number)
        arrived = _desk(kiosk).uploads.release(number)
        if arrived is None:
            return error_reply(409, "wrong_piece", "The document has not arrived as a whole.")
        return JSONResponse({"job": _desk(kiosk).add(arrived).number})

    @changes.post("/api/staff/changes")
    async def change(body: NewChange) -> Response:
        """Remove or delete an added document, hide or show one of the bundle, or take the last change back."""
        desk = _desk(kiosk)
        try:
            if body.kind == "delete":
                await asyncio.to_thread(desk.delete, body.subject)
            else:
                await asyncio.to_thread(desk.change, body.kind, body.subject)
        except RefusedError as error:
            return _refusal(error)
        return JSONResponse({"changed": True})

    router.include_router(changes)


def _upload(kiosk: Kiosk, token: str) -> Upload:
    upload = _desk(kiosk).uploads.find(token)
    if upload is None:
        raise HTTPException(404)
    return upload


_SENTENCES = {
    "cannot": "Nothing can be changed here.",
    "gone": "There is no such document, or no such change, any more.",
    "no_space": "The disk is too full for it.",
    "not_ready": "The documents are still being opened.",
    "too_large": "The document is too large.",
    "too_many": "There are as many added documents as there may be.",
}


def _refusal(error: RefusedError) -> Response:
    return error_reply(409, error.code, _SENTENCES[error.code])
