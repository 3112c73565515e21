"""What stands before every route: whom the kiosk answers, how much it reads, what a browser may do with it.

Invariants: a request whose ``Host`` is not one of the kiosk's own names is refused (DNS rebinding), and so is
one that another site's page sends; no body over 64 KiB is read, but where an address is said to take more, and of
those only a few at a time; every answer carries the security headers and is never stored by a browser; an unexpected
failure is logged by its type and place, never by its message, which might quote a patron.

The one thing another site may do is link to the page: START-HERE.html, opened from the disk, does.
"""

import json
import logging
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 64 * 1024
MOST_LARGE = 8
"""Bodies over that size, where they are allowed, that are held at the same time."""

_LOG = logging.getLogger("publicai_edge.kiosk")

_CONTENT_POLICY = (
    "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)
_HEADERS = {
    "content-security-policy": _CONTENT_POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cache-control": "no-store",
}
_LISTENING = {"permissions-policy": _HEADERS["permissions-policy"].replace("microphone=()", "microphone=(self)")}
_NONE: Mapping[str, int] = MappingProxyType({})


def own_names(host: str, port: int, names: Iterable[str] = ()) -> frozenset[str]:
    """Return the ``Host`` values that mean this kiosk.

    Args:
        host: the address it listens on.
        port: its port; a browser leaves 80 out.
        names: further names an operator gives it.
    """
    own = {"127.0.0.1", "localhost", "[::1]", *(name.lower() for name in names)}
    if host not in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        own.add(f"[{host}]" if ":" in host else host.lower())
    return frozenset(f"{name}:{port}" for name in own) | (frozenset(own) if port == 80 else frozenset())  # noqa: PLR2004


class Guard:
    """ASGI middleware; it never buffers a response.

    Args:
        app: what is guarded.
        allowed_hosts: ``Host`` values, lower case, with the port where it is not 80.
        large: addresses that take larger bodies, and how many bytes.
        microphone: whether the page may ask for the microphone.
    """

    def __init__(
        self,
        app: ASGIApp,
        allowed_hosts: frozenset[str],
        large: Mapping[str, int] = _NONE,
        *,
        microphone: bool = False,
    ) -> None:
        self._app = app
        self._large = large
        self._held = 0
        headers = _HEADERS | (_LISTENING if microphone else {})
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]
        self._hosts = allowed_hosts
        self._origins = frozenset(f"http://{host}" for host in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        answer = _Answer(send, self._headers, openai=scope["path"].startswith("/v1/"))
        refusal = self._refusal(scope)
        if refusal:
            await answer.refuse(*refusal)
        elif scope["path"] not in self._large:
            await self._answer(scope, receive, answer, MAX_BODY)
        elif self._held >= MOST_LARGE:
            await answer.refuse(
                503, "overloaded", "Too many people are asking at the moment. Please try again shortly."
            )
        else:
            self._held += 1
            try:
                await self._answer(scope, receive, answer, self._large[scope["path"]])
            finally:
                self._held -= 1

    async def _answer(self, scope: Scope, receive: Receive, answer: "_Answer", most: int) -> None:
        body = await _read(scope, receive, most)
        if body is None:
            await answer.refuse(413, "too_large", f"The request is larger than {most // 1024} KiB.")
            return
        await self._pass_on(scope, _replay(body, receive), answer)

    async def _pass_on(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        try:
            await self._app(scope, receive, answer.send)
        except Exception as error:  # noqa: BLE001 - the outermost place; what it says may quote a patron
            _LOG.error("A request failed: %s", describe(error))
            if not answer.started:
                await answer.refuse(500, "failed", "The kiosk made a mistake. Please try again.")

    def _refusal(self, scope: Scope) -> tuple[int, str, str] | None:
        headers: dict[bytes, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value.decode("latin-1"))
        hosts = headers.get(b"host", [])
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return 421, "wrong_host", "This kiosk does not answer under that name."
        if any(origin.lower() not in self._origins for origin in headers.get(b"origin", [])):
            return 403, "foreign_origin", "Another site's page may not use this kiosk."
        fetched = headers.get(b"sec-fetch-site", [])
        if any(site not in {"same-origin", "none"} for site in fetched) and not _is_link(scope, headers):
            return 403, "foreign_origin", "Another site's page may not use this kiosk."
        return None


def describe(error: BaseException) -> str:
    """Return an error's type and where it was raised, without its message."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown place"
    return f"{type(error).__name__} at {place}"


def _is_link(scope: Scope, headers: dict[bytes, list[str]]) -> bool:
    """Say whether this is a person following a link to the page itself."""
    opened = headers.get(b"sec-fetch-mode") == ["navigate"] and headers.get(b"sec-fetch-dest") == ["document"]
    return opened and scope["method"] == "GET" and scope["path"] == "/"


async def _read(scope: Scope, receive: Receive, most: int) -> bytes | None:
    """Return the request's body, or None where it is too large; what is too large is not read to its end."""
    for name, value in scope["headers"]:
        if name.lower() == b"content-length" and (not value.isdigit() or int(value[:12]) > most):
            return None
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > most:
            return None
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


class _Answer:
    """The way back: adds the headers, and knows whether an answer has begun.

    Args:
        send: the server's.
        headers: that every answer carries.
        openai: whether errors have the form of OpenAI's.
    """

    def __init__(self, send: Send, headers: list[tuple[bytes, bytes]], *, openai: bool) -> None:
        self._send = send
        self._headers = headers
        self._openai = openai
        self.started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            kept = [pair for pair in message.get("headers", []) if pair[0].decode().lower() not in _HEADERS]
            message = {**message, "headers": [*kept, *self._headers]}
        await self._send(message)

    async def refuse(self, status: int, code: str, sentence: str) -> None:
        kind = "invalid_request_error" if status < 500 else "server_error"  # noqa: PLR2004 - HTTP's own line
        theirs = {"type": kind, "param": None} if self._openai else {}
        body = json.dumps({"error": {"code": code, "message": sentence, **theirs}}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if status in {413, 503}:  # the rest of the body is still under way
            headers.append((b"connection", b"close"))
        if status == 503:  # noqa: PLR2004
            headers.append((b"retry-after", b"5"))
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})
