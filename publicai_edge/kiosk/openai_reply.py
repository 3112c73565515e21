"""A completion under way, in OpenAI's wire form: whole or streamed, of a conversation or of plain text.

Invariants: closing a reply ends its request in the engine; an error before the first word is raised, a later one is
an ``error`` event of the stream.
"""

import json
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, ClassVar

from publicai_edge.engine.protocol import ChatRequest, Delta, Finished, Started
from publicai_edge.errors import EngineError, PublicAIError
from publicai_edge.kiosk.openai_errors import failed
from publicai_edge.kiosk.state import Kiosk


@dataclass
class Reply(ABC):
    """One completion; a subclass knows how a choice of its kind is written."""

    prefix: ClassVar[str]
    whole_kind: ClassVar[str]
    chunk_kind: ClassVar[str]

    kiosk: Kiosk
    model: str
    request: ChatRequest
    wants_usage: bool
    name: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))

    @abstractmethod
    def choice(self, text: str, reason: str) -> dict[str, Any]:
        """Return the whole answer's choice."""

    @abstractmethod
    def begun(self) -> dict[str, Any] | None:
        """Return the first choice of a stream, before any text; None where there is none."""

    @abstractmethod
    def piece(self, text: str, reason: str | None) -> dict[str, Any]:
        """Return the choice of a stream that adds text, or, with a reason, ends it."""

    async def whole(self) -> AsyncGenerator[bytes, None]:
        """Yield the completion as one JSON object."""
        text: list[str] = []
        started = Started(0, 0)
        async with aclosing(self.kiosk.engine.chat(self.request)) as events:
            async for event in events:
                if isinstance(event, Started):
                    started = event
                elif isinstance(event, Delta):
                    text.append(event.text)
                elif isinstance(event, Finished):
                    choice = self.choice("".join(text), _reason(event))
                    body = {**self._head(self.whole_kind), "choices": [choice], "usage": _usage(started, event)}
                    yield json.dumps(body, ensure_ascii=False).encode()
                    return
        raise EngineError("The engine ended its answer without saying so.")

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the completion as server-sent events."""
        begun = False
        try:
            async with aclosing(self._chunks()) as chunks:
                async for chunk in chunks:
                    begun = True
                    yield b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"
        except PublicAIError as error:
            if not begun:
                raise
            yield error_event(error)
            return
        yield b"data: [DONE]\n\n"

    async def _chunks(self) -> AsyncGenerator[dict[str, Any], None]:
        started = Started(0, 0)
        async with aclosing(self.kiosk.engine.chat(self.request)) as events:
            async for event in events:
                if isinstance(event, Started):
                    started = event
                    if first := self.begun():
                        yield self._chunk(first)
                elif isinstance(event, Delta):
                    yield self._chunk(self.piece(event.text, None))
                elif isinstance(event, Finished):
                    yield self._chunk(self.piece("", _reason(event)))
                    if self.wants_usage:
                        yield {**self._head(self.chunk_kind), "choices": [], "usage": _usage(started, event)}

    def _chunk(self, choice: dict[str, Any]) -> dict[str, Any]:
        chunk = {**self._head(self.chunk_kind), "choices": [choice]}
        return {**chunk, "usage": None} if self.wants_usage else chunk

    def _head(self, kind: str) -> dict[str, Any]:
        fingerprint = self.kiosk.bundle.manifest.model.sha256.removeprefix("sha256:")[:16]
        return {
            "id": f"{self.prefix}-{self.name}",
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": fingerprint,
        }


class ChatReply(Reply):
    """The answer to a conversation."""

    prefix, whole_kind, chunk_kind = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def choice(self, text: str, reason: str) -> dict[str, Any]:
        """Return a choice with a message."""
        message = {"role": "assistant", "content": text, "refusal": None}
        return {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}

    def begun(self) -> dict[str, Any] | None:
        """Return the choice that names the role."""
        delta = {"role": "assistant", "content": "", "refusal": None}
        return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}

    def piece(self, text: str, reason: str | None) -> dict[str, Any]:
        """Return a choice with a delta."""
        return {"index": 0, "delta": {"content": text} if text else {}, "logprobs": None, "finish_reason": reason}


class TextReply(Reply):
    """What follows on plain text."""

    prefix, whole_kind, chunk_kind = "cmpl", "text_completion", "text_completion"

    def choice(self, text: str, reason: str) -> dict[str, Any]:
        """Return a choice with text."""
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}

    def begun(self) -> dict[str, Any] | None:
        """Return nothing: a stream of text begins with text."""
        return None

    def piece(self, text: str, reason: str | None) -> dict[str, Any]:
        """Return a choice with more text."""
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}


def error_event(error: PublicAIError) -> bytes:
    """Return the server-sent event that ends a stream which cannot go on."""
    return b"data: " + bytes(failed(error).body) + b"\n\n"


def _reason(event: Finished) -> str:
    return "length" if event.reason == "length" else "stop"


def _usage(started: Started, finished: Finished) -> dict[str, Any]:
    return {
        "prompt_tokens": started.prompt_tokens,
        "completion_tokens": finished.completion_tokens,
        "total_tokens": started.prompt_tokens + finished.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": started.reused_tokens},
    }
