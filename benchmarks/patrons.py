"""Patrons of a server with OpenAI's API: one thread each, which only notes what arrives and when.

What is measured runs on the same cores, so nothing is parsed before every answer is complete: a thread sends its
request through a socket of its own and keeps each piece that it receives with the time it came.
"""

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PATIENCE = 300.0
"""Seconds without a word after which a patron gives up."""


@dataclass(frozen=True)
class Answer:
    """One answer, with times of :func:`time.perf_counter`.

    Attributes:
        asked: just before the request was sent.
        first: when the first text came.
        last: when the last text came.
        tokens: tokens of the answer, as the server counts them.
        prompt_tokens: tokens of the prompt, as the server counts them.
        reused_tokens: how many of those it had computed before, where it says so.
        text: the answer.
    """

    asked: float
    first: float
    last: float
    tokens: int
    prompt_tokens: int
    reused_tokens: int
    text: str

    @property
    def wait(self) -> float:
        """Seconds until the first text."""
        return self.first - self.asked

    @property
    def pace(self) -> float:
        """Tokens a second from the first text to the last."""
        return (self.tokens - 1) / (self.last - self.first)


def request(
    model: str, prompt: str, *, service: str | None = None, tokens: int, temperature: float = 0.0
) -> dict[str, Any]:
    """Return the body of a streamed chat completion; ``service`` is the system prompt."""
    turns = [{"role": "system", "content": service}] if service else []
    return {
        "model": model,
        "messages": [*turns, {"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "temperature": temperature,
        "seed": 1,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def ask(port: int, *bodies: dict[str, Any]) -> list[Answer]:
    """Let one patron a body ask, all at the same moment; return their answers in the same order.

    A server that counts no tokens in a stream is asked the same once more afterwards, as a whole.

    Raises:
        RuntimeError: a request was refused, or ended without an answer.
    """
    found: list[tuple[float, list[tuple[float, bytes]]] | Exception | None] = [None] * len(bodies)
    together = threading.Barrier(len(bodies))

    def patron(index: int, message: bytes) -> None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as line:
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                together.wait()
                asked = time.perf_counter()
                line.sendall(message)
                pieces = []
                while piece := line.recv(1 << 16):
                    pieces.append((time.perf_counter(), piece))
                found[index] = asked, pieces
        except (OSError, threading.BrokenBarrierError) as error:
            together.abort()
            found[index] = error

    messages = [_message(port, body) for body in bodies]
    threads = [
        threading.Thread(target=patron, args=(index, message), daemon=True) for index, message in enumerate(messages)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [_read(item, port, body) for item, body in zip(found, bodies, strict=True)]


def _message(port: int, body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        "Connection: close",
    )
    return "\r\n".join((*head, "", "")).encode() + content


def _usage(port: int, body: dict[str, Any]) -> dict[str, Any]:
    """Return the counts of tokens of an answer that comes as a whole."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with contextlib.closing(line):
        whole = {name: value for name, value in body.items() if name != "stream_options"} | {"stream": False}
        line.request("POST", "/v1/chat/completions", json.dumps(whole), {"Content-Type": "application/json"})
        return dict(json.loads(line.getresponse().read())["usage"])


def _read(
    found: tuple[float, Sequence[tuple[float, bytes]]] | Exception | None, port: int, body: dict[str, Any]
) -> Answer:
    if found is None or isinstance(found, Exception):
        raise RuntimeError(f"no answer: {found!r}")
    asked, pieces = found
    usage: dict[str, Any] | None = None
    texts: list[tuple[float, str]] = []
    for at, event in _events(pieces):
        if event == b"[DONE]":
            continue
        value = json.loads(event)
        if "error" in value:
            raise RuntimeError(f"the server answered {value['error']}")
        usage = value.get("usage") or usage
        texts += [(at, text) for choice in value["choices"] if (text := choice["delta"].get("content"))]
    if not texts:
        raise RuntimeError("an answer without text")
    if usage is None:
        usage = _usage(port, body)
    return Answer(
        asked,
        texts[0][0],
        texts[-1][0],
        usage["completion_tokens"],
        usage["prompt_tokens"],
        (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0),
        "".join(text for _, text in texts),
    )


def _events(pieces: Sequence[tuple[float, bytes]]) -> list[tuple[float, bytes]]:
    """Return the server-sent events' data, each with the time at which its last byte came."""
    found, held, head, chunked = [], b"", True, False
    body = b""
    for at, piece in pieces:
        held += piece
        if head:
            top, end, rest = held.partition(b"\r\n\r\n")
            if not end:
                continue
            status = top.split(b"\r\n", 1)[0]
            if b" 200 " not in status + b" ":
                raise RuntimeError(f"the server answered {status.decode()}: {rest[:500].decode(errors='replace')}")
            head, chunked, held = False, b"transfer-encoding: chunked" in top.lower(), rest
        if chunked:
            more, held = _unchunk(held)
        else:
            more, held = held, b""
        *whole, body = (body + more).replace(b"\r\n", b"\n").split(b"\n\n")
        found += [(at, event.removeprefix(b"data: ").strip()) for event in whole if event.startswith(b"data: ")]
    return found


def _unchunk(held: bytes) -> tuple[bytes, bytes]:
    """Return the content of all whole chunks, and what is left (RFC 9112, 7.1)."""
    content = b""
    while True:
        size, end, rest = held.partition(b"\r\n")
        if not end:
            return content, held
        length = int(size.split(b";")[0], 16)
        if len(rest) < length + 2:
            return content, held
        content += rest[:length]
        held = rest[length + 2 :]
