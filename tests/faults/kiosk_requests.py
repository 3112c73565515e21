"""Requests that nobody honest sends to a kiosk: made from its own OpenAPI schema, and by hand."""

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import httpx
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.kiosk.conftest import PATIENCE


@dataclass
class Answers:
    """How many requests were sent, and which were not answered as they should be."""

    sent: int = 0
    wrong: list[str] = field(default_factory=list)


# --- from the schema ---


def server_errors(url: str, description: dict[str, Any], *, each: int) -> Answers:
    """Send ``each`` generated requests to every operation of an OpenAPI description; wrong are the 5xx answers.

    Half of them are made to fit the description, half to break it.
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
                answer = case.call(base_url=url, timeout=PATIENCE)
                found.sent += 1
                if answer.status_code >= 500:
                    found.wrong.append(f"{case.method} {case.formatted_path}: {answer.status_code}")

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


def odd_bodies(path: str) -> Iterator[bytes]:
    """Yield bodies for a route, each odd in one place."""
    good = BODIES[path]
    yield from _WHOLE
    for name in (*good, *(_FIELDS if path.startswith("/v1") else ["extra"])):
        for value in _VALUES:
            yield json.dumps(good | {name: "@"}).replace('"@"', value).encode()


def odd_answers(url: str, *, every: int = 1) -> Answers:
    """Send one in ``every`` odd bodies to its route; wrong are the 5xx answers and what was not answered at all."""
    found = Answers()
    with httpx.Client(base_url=url, timeout=PATIENCE) as client:
        for path in BODIES:
            for body in islice(odd_bodies(path), 0, None, every):
                found.sent += 1
                try:
                    answer = client.post(path, content=body, headers={"content-type": "application/json"})
                    if answer.status_code >= 500:
                        found.wrong.append(f"{path} {body[:80]!r}: {answer.status_code}")
                except httpx.HTTPError as error:
                    found.wrong.append(f"{path} {body[:80]!r}: {type(error).__name__}")
    return found


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
