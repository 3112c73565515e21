"""Requests that nobody honest sends to a kiosk: made from its own OpenAPI schema, and by hand."""

import json
import random
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import httpx
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.kiosk.conftest import PATIENCE

# --- what no answer may be ---

_TRACES = re.compile(r'Traceback \(most recent|File \\?"|\.py\b\\?",? line \d|site-packages|object at 0x')


def wrong_with(answer: Any, places: Sequence[str] = ()) -> str:
    """Say what is wrong with an answer: a 5xx, a traceback, a path of this machine; "" where nothing is.

    Args:
        answer: has a ``status_code`` and a ``text``.
        places: folders of this machine that no answer may name.
    """
    if answer.status_code >= 500:
        return str(answer.status_code)
    if _TRACES.search(answer.text):
        return f"{answer.status_code}, and a trace of the program in it"
    named = [place for place in places if place in answer.text]
    return f"{answer.status_code}, and {named[0]} in it" if named else ""


@dataclass(frozen=True)
class Caller:
    """Who sends the requests.

    Attributes:
        cookies: of a browser that is signed in.
        headers: of the same.
    """

    cookies: Mapping[str, str]
    headers: Mapping[str, str]


NOBODY = Caller({}, {})


@dataclass
class Answers:
    """How many requests were sent, and which were not answered as they should be."""

    sent: int = 0
    wrong: list[str] = field(default_factory=list)


# --- from the schema ---


def server_errors(
    url: str,
    description: dict[str, Any],
    *,
    each: int,
    caller: Callable[[], Caller] = lambda: NOBODY,
    places: Sequence[str] = (),
) -> Answers:
    """Send ``each`` generated requests to every operation of an OpenAPI description, and judge the answers.

    Half of them are made to fit the description, half to break it.

    Args:
        url: the kiosk's.
        description: its OpenAPI description.
        each: requests to an operation.
        caller: asked before each request who sends it.
        places: as :func:`wrong_with`.
    """
    import schemathesis
    from schemathesis.generation import GenerationMode

    found = Answers()
    schema = schemathesis.openapi.from_dict(description)
    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @seed(9)
            @settings(max_examples=each // 2, deadline=None, database=None, phases=[Phase.generate],
                      suppress_health_check=list(HealthCheck))  # fmt: skip
            @given(case=operation.as_strategy(generation_mode=mode))
            def one(case: Any) -> None:
                who = caller()
                case.cookies = {**(case.cookies or {}), **who.cookies}
                answer = case.call(base_url=url, timeout=PATIENCE, headers=dict(who.headers))
                found.sent += 1
                if wrong := wrong_with(answer, places):
                    found.wrong.append(f"{case.method} {case.formatted_path}: {wrong}")

            try:
                one()
            except Exception as error:
                if type(error).__name__ not in {"Unsatisfiable", "SkipTest"}:  # nothing can break a GET without input
                    raise
    return found


# --- by hand ---

_ASK = {"service": "ask", "language": "en", "question": "When does the library open?"}
_CHAT = {"model": "SmolLM2-135M-Instruct", "messages": [{"role": "user", "content": "When does it open?"}]}
_TEXT = {"model": "SmolLM2-135M-Instruct", "prompt": "The library"}
_VECTOR = {"model": "all-MiniLM-L6-v2", "input": "opening hours"}
BODIES = {"/api/ask": _ASK, "/v1/chat/completions": _CHAT, "/v1/completions": _TEXT, "/v1/embeddings": _VECTOR}

# JSON texts in the place of a value.
_VALUES = [
    "null", "true", "-1", "0", "1e999", "-1e999", "NaN", "Infinity", "1" * 5000, "0.1e-400", '""', '"\\ud800"',
    '"\\udc00\\ud800"', '"\\u0000"', '"' + "a" * 40_000 + '"', '"\\u202e\\u0301\\u0301"', "[]", "[null]", "[[]]", "{}",
    '{"__proto__": 1}', "[" * 20_000 + "]" * 20_000, '{"a":' * 9_000 + "1" + "}" * 9_000, '[{"role": "user"}]',
    '[{"role": "system", "content": "\\ud800"}]', '[{"role": "user", "content": [{"type": "text"}]}]',
    '[{"role": "tool", "content": null}]', '{"type": "json_schema", "json_schema": {"schema": {"$ref": "#"}}}',
    '{"type": "json_schema", "json_schema": {"name": "x", "schema": {"pattern": "(a+)+$"}}}',
]  # fmt: skip
_WHOLE = [b"", b"null", b"[]", b"{", b"\xff\xfe", b"\x00" * 100, b'{"service": "ask", "service": 1}', b"[" * 60_000,
          "{\"service\": \"\ud83d\ude00\"}".encode("utf-16", "surrogatepass")]  # fmt: skip
_FIELDS = ["temperature", "max_tokens", "stop", "seed", "top_p", "stream", "stream_options", "n", "user", "tools",
           "response_format", "logit_bias", "suffix", "encoding_format", "dimensions", "input_type",
           "repeat_penalty"]  # fmt: skip


STAFF_BODIES: dict[str, dict[str, Any]] = {
    "/api/staff/session": {"code": "1234-5678-9012"},
    "/api/staff/session/end": {},
    "/api/staff/session/stay": {},
    "/api/staff/uploads": {"name": "permits.md", "size": 100},
    "/api/staff/uploads/x/end": {},
    "/api/staff/changes": {"kind": "hide", "subject": "rules.md"},
}


def odd_bodies(path: str) -> Iterator[bytes]:
    """Yield bodies for a route, each odd in one place."""
    good = (BODIES | STAFF_BODIES)[path]
    yield from _WHOLE
    for name in (*good, *(_FIELDS if path.startswith("/v1") else ["extra"])):
        for value in _VALUES:
            yield json.dumps(good | {name: "@"}).replace('"@"', value).encode()


def odd_answers(
    url: str,
    *,
    every: int = 1,
    paths: Sequence[str] = tuple(BODIES),
    caller: Callable[[], Caller] = lambda: NOBODY,
    places: Sequence[str] = (),
) -> Answers:
    """Send one in ``every`` odd bodies to its route; wrong are those answered wrongly, or not at all.

    The arguments are as for :func:`server_errors`; ``paths``: the routes.
    """
    found = Answers()
    for path in paths:
        for body in islice(odd_bodies(path), 0, None, every):
            who = caller()
            headers = {"content-type": "application/json", **who.headers}
            with httpx.Client(base_url=url, timeout=PATIENCE, cookies=dict(who.cookies)) as client:
                found.sent += 1
                try:
                    if wrong := wrong_with(client.post(path, content=body, headers=headers), places):
                        found.wrong.append(f"{path} {body[:80]!r}: {wrong}")
                except httpx.HTTPError as error:
                    found.wrong.append(f"{path} {body[:80]!r}: {type(error).__name__}")
    return found


# --- as staff, in an odd order ---

_NAMES = ["a.md", "b.txt", "c.pdf", "d.docx", "e.epub", "f.html", "../../etc/passwd.txt", "\u202egpj.txt", "CON.txt",
          "a" * 900 + ".md", ".md", "..txt", "a\x00b.md", "\ud83d\ude00.md", "x.exe", "/", "C:\\x.md"]  # fmt: skip
_CONTENTS = [b"# Fees\n\nA card costs five euros.", b"", b"\x00" * 300, b"%PDF-1.7 broken", b"PK\x03\x04 broken",
             b"\xff\xfe", b"<html><p>" * 500, b"{\\rtf1", b"\xef\xbb\xbf# T\n\ntext", b"word " * 2000]  # fmt: skip
_SUBJECTS = ["rules.md", "hours.md", "../rules.md", "", "0" * 16, "added/x", "\u0000", "rules.md/", "a" * 4096]


def staff_walk(url: str, caller: Callable[[], Caller], *, steps: int, places: Sequence[str] = ()) -> Answers:
    """Do what staff can do, in an order that no page would, and see what is wrong with answers.

    The arguments are as for :func:`server_errors`; ``steps``: requests.
    """
    draw, found = random.Random(9), Answers()
    uploads, subjects = [("x", b"")], list(_SUBJECTS)
    for _ in range(steps):
        method, path, options, content = _step(draw, uploads, subjects)
        who = caller()
        found.sent += 1
        with httpx.Client(
            base_url=url, timeout=PATIENCE, cookies=dict(who.cookies), headers=dict(who.headers)
        ) as client:
            try:
                answer = client.request(method, path, **options)
            except httpx.HTTPError as error:
                found.wrong.append(f"{method} {path}: {type(error).__name__}")
                continue
        if wrong := wrong_with(answer, places):
            found.wrong.append(f"{method} {path} {str(options)[:80]}: {wrong}")
        elif path.endswith("/uploads") and answer.status_code == 200:
            uploads.append((answer.json()["upload"], content))
        elif path.endswith("/documents") and answer.status_code == 200:
            subjects = [*_SUBJECTS, *(item["subject"] for item in answer.json())]
    return found


def _json(value: dict[str, Any]) -> dict[str, Any]:
    # httpx's own way has no words for half a surrogate pair.
    return {"content": json.dumps(value).encode(), "headers": {"content-type": "application/json"}}


def _step(
    draw: random.Random, uploads: list[tuple[str, bytes]], subjects: list[str]
) -> tuple[str, str, dict[str, Any], bytes]:
    """Return a request's method, path and options, and the content of the document that it is about."""
    upload, content = draw.choice(uploads[-3:])
    match draw.randrange(10):
        case 0 | 1:
            content = draw.choice(_CONTENTS)
            size = draw.choice([len(content), len(content), len(content) + 1, 1 << 40])
            body = _json({"name": draw.choice(_NAMES), "size": max(1, size)})
            return "POST", "/api/staff/uploads", body, content
        case 2 | 3 | 4:
            at = draw.choice([0, 0, 0, 1, len(content), 1 << 40])
            sent = draw.choice([content, content, b"other"])
            return "PUT", f"/api/staff/uploads/{upload}", {"params": {"at": at}, "content": sent}, content
        case 5 | 6:
            return "POST", f"/api/staff/uploads/{upload}/end", {}, content
        case 7:
            return "GET", draw.choice(["/api/staff", "/api/staff/documents", "/staff"]), {}, content
        case 8:
            ways = ["/api/staff/session/stay"] * 4 + ["/api/staff/session/end"]
            return "POST", draw.choice(ways), {}, content
        case _:
            kind = draw.choice(["remove", "delete", "hide", "show", "undo"])
            return "POST", "/api/staff/changes", _json({"kind": kind, "subject": draw.choice(subjects)}), content


# --- Host and Origin ---


def routes(app: FastAPI) -> list[tuple[str, str]]:
    """Return every route of an application as method and a path that leads there."""
    found = {(method, path) for route in _routes(app) for method in sorted(route.methods or {"GET"})
             for path in [route.path.partition("{")[0] + ("x" if "{" in route.path else "")]}  # fmt: skip
    return sorted(found | {("OPTIONS", path) for _, path in found} | {("GET", "/nowhere")})


def _routes(holder: Any) -> Iterator[Any]:
    for route in holder.routes:
        if hasattr(route, "methods"):
            yield route
        elif inner := getattr(route, "original_router", None) or (route if hasattr(route, "routes") else None):
            yield from _routes(inner)


def admitted(port: int, known: list[tuple[str, str]]) -> Answers:
    """Ask for every route under foreign names and from foreign origins; wrong is what was not refused."""
    own, found = f"Host: 127.0.0.1:{port}", Answers()
    foreign = [
        *((421, [host]) for host in ("Host: evil.example", f"Host: evil.example:{port}", "Host: 127.0.0.1:1",
                                     f"Host: 127.0.0.1.evil.example:{port}", f"Host: user@127.0.0.1:{port}")),
        *((403, [own, line]) for line in ("Origin: http://evil.example", "Origin: null", "Origin: file://",
                                          f"Origin: http://127.0.0.1:{port}.evil.example",
                                          f"Origin: https://127.0.0.1:{port}", "Sec-Fetch-Site: cross-site",
                                          "Sec-Fetch-Site: same-site")),
    ]  # fmt: skip
    for method, path in known:
        for expected, lines in foreign:
            status = _status(port, method, path, lines)
            found.sent += 1
            if status != expected:
                found.wrong.append(f"{method} {path} with {lines[-1]}: {status}, expected {expected}")
    return found


def _status(port: int, method: str, path: str, lines: list[str]) -> int:
    head = [f"{method} {path} HTTP/1.1", *lines, "Content-Type: application/json", "Content-Length: 2", "", "{}"]
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall("\r\n".join(head).encode())
        answer = b""
        while b"\r\n" not in answer and (piece := connection.recv(4096)):
            answer += piece
    return int(answer.split()[1])
