"""``/v1``: the model in the wire form of OpenAI's chat completions, for programs on this machine.

Invariants: a client that leaves ends its request in the engine; an error before the first word is an HTTP
status, a later one is an ``error`` event of the stream; no error quotes the conversation.
"""

import json
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Response
from starlette.responses import JSONResponse

from publicai_edge.engine.protocol import ChatRequest, Delta, Finished, Started
from publicai_edge.errors import ContextOverflowError, EngineError, OverloadedError, PublicAIError
from publicai_edge.kiosk.openai_form import CompletionForm, RefusedParameterError, refuse_unsupported
from publicai_edge.kiosk.replies import retry_after
from publicai_edge.kiosk.state import Kiosk
from publicai_edge.kiosk.streaming import Stream

_MOST_DEFAULT_TOKENS = 1024


def openai_routes(kiosk: Kiosk) -> APIRouter:
    """Return the routes below ``/v1``."""
    router = APIRouter(prefix="/v1")
    model = kiosk.bundle.manifest.model.name
    card = {"id": model, "object": "model", "created": 0, "owned_by": kiosk.bundle.manifest.steward.name}
    default_tokens = min(_MOST_DEFAULT_TOKENS, kiosk.bundle.manifest.engine.context // 2)

    @router.get("/models")
    async def models() -> dict[str, Any]:
        """List the one model there is."""
        return {"object": "list", "data": [card]}

    @router.get("/models/{name:path}")
    async def one_model(name: str) -> Response:
        """Describe the model."""
        return JSONResponse(card) if name == model else _unknown_model()

    @router.post("/chat/completions", response_class=Response)
    async def completions(form: CompletionForm) -> Response:
        """Complete a conversation, streamed or at once."""
        if form.model != model:
            return _unknown_model()
        try:
            refuse_unsupported(form)
        except RefusedParameterError as error:
            return unsupported(error.parameter)
        reply = _Reply(kiosk, model, form.to_request(default_tokens), form.wants_usage)
        return Stream(
            reply.chunks() if form.stream else reply.whole(),
            media_type="text/event-stream" if form.stream else "application/json",
            stops=(kiosk.closing,),
            on_error=_failed,
        )

    return router


def openai_error(
    status: int,
    message: str,
    *,
    kind: str = "invalid_request_error",
    code: str,
    param: str | None = None,
    retry: int | None = None,
) -> JSONResponse:
    """Return an error object as OpenAI's clients read it."""
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return JSONResponse(body, status, headers={"retry-after": str(retry)} if retry else None)


def invalid_parameter(param: str | None, problem: str) -> JSONResponse:
    """Return 400 for a parameter of a wrong value; the value itself is not repeated."""
    where = f"Parameter {param!r}" if param else "The request"
    return openai_error(400, f"{where}: {problem}.", code="invalid_value", param=param)


def unsupported(param: str) -> JSONResponse:
    """Return 400 for a parameter this kiosk has no use for."""
    shown = param if len(param) <= 40 and param.isidentifier() else "?"  # noqa: PLR2004 - a name, not a text
    message = f"Parameter {shown!r} is not supported by this kiosk; leave it out."
    return openai_error(400, message, code="unsupported_parameter", param=shown)


def _unknown_model() -> JSONResponse:
    message = "There is no such model here; GET /v1/models lists the one there is."
    return openai_error(404, message, code="model_not_found", param="model")


def _failed(error: PublicAIError) -> JSONResponse:
    if isinstance(error, ContextOverflowError):
        message = "The conversation and the answer do not fit the model's context."
        return openai_error(400, message, code="context_length_exceeded", param="messages")
    if isinstance(error, OverloadedError):
        message = "Too many requests are waiting; try again later."
        return openai_error(503, message, kind="server_error", code="overloaded", retry=retry_after(error))
    message = "The model cannot answer now."
    return openai_error(503, message, kind="server_error", code="engine_failed", retry=retry_after(error))


@dataclass
class _Reply:
    """One completion under way."""

    kiosk: Kiosk
    model: str
    request: ChatRequest
    wants_usage: bool
    name: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

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
                    message = {"role": "assistant", "content": "".join(text), "refusal": None}
                    choice = {"index": 0, "message": message, "logprobs": None}
                    choice["finish_reason"] = _reason(event)
                    body = {**self._head("chat.completion"), "choices": [choice]}
                    yield json.dumps({**body, "usage": _usage(started, event)}, ensure_ascii=False).encode()
                    return
        raise EngineError("The engine ended its answer without saying so.")

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the completion as server-sent events."""
        begun = False
        try:
            async with aclosing(self._chunks()) as chunks:
                async for chunk in chunks:
                    begun = True
                    yield _event(chunk)
        except PublicAIError as error:
            if not begun:
                raise
            yield b"data: " + bytes(_failed(error).body) + b"\n\n"
            return
        yield b"data: [DONE]\n\n"

    async def _chunks(self) -> AsyncGenerator[dict[str, Any], None]:
        started = Started(0, 0)
        async with aclosing(self.kiosk.engine.chat(self.request)) as events:
            async for event in events:
                if isinstance(event, Started):
                    started = event
                    yield self._chunk({"role": "assistant", "content": "", "refusal": None})
                elif isinstance(event, Delta):
                    yield self._chunk({"content": event.text})
                elif isinstance(event, Finished):
                    yield self._chunk({}, _reason(event))
                    if self.wants_usage:
                        head = self._head("chat.completion.chunk")
                        yield {**head, "choices": [], "usage": _usage(started, event)}

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        chunk = {**self._head("chat.completion.chunk"), "choices": [choice]}
        return {**chunk, "usage": None} if self.wants_usage else chunk

    def _head(self, kind: str) -> dict[str, Any]:
        fingerprint = self.kiosk.bundle.manifest.model.sha256.removeprefix("sha256:")[:16]
        return {
            "id": self.name,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": fingerprint,
        }


def _reason(event: Finished) -> str:
    return "length" if event.reason == "length" else "stop"


def _usage(started: Started, finished: Finished) -> dict[str, Any]:
    return {
        "prompt_tokens": started.prompt_tokens,
        "completion_tokens": finished.completion_tokens,
        "total_tokens": started.prompt_tokens + finished.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": started.reused_tokens},
    }


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"
