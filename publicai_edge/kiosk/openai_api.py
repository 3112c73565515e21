"""``/v1``: the models in the wire form of OpenAI's API, for programs on this machine.

Invariants: a client that leaves ends its request in the engine; no error quotes what was sent; what a caller says of
its user is kept for a request only, and only as a hash under a key that this process drew when it started.
"""

import base64
import hashlib
import json
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse

from publicai_edge.kiosk.embedding import Embeddings
from publicai_edge.kiosk.openai_errors import failed, invalid_parameter, unknown_model, unsupported
from publicai_edge.kiosk.openai_form import (
    ChatForm,
    CompletionForm,
    EmbeddingForm,
    Form,
    RefusedParameterError,
    refuse_unsupported,
)
from publicai_edge.kiosk.openai_reply import ChatReply, Reply, TextReply, error_event
from publicai_edge.kiosk.openai_schema import RefusedSchemaError
from publicai_edge.kiosk.state import Kiosk
from publicai_edge.kiosk.streaming import Stream, ended

if TYPE_CHECKING:
    from publicai_edge.kiosk.embedding import Embedded

_MOST_DEFAULT_TOKENS = 1024


def openai_routes(kiosk: Kiosk) -> APIRouter:
    """Return the routes below ``/v1``."""
    router = APIRouter(prefix="/v1")
    _add_models(router, kiosk)
    _add_completions(router, kiosk)
    _add_embeddings(router, kiosk)
    return router


def _add_models(router: APIRouter, kiosk: Kiosk) -> None:
    manifest = kiosk.bundle.manifest
    names = [part.name for part in (manifest.model, manifest.embedding) if part]
    cards = {name: {"id": name, "object": "model", "created": 0, "owned_by": manifest.steward.name} for name in names}

    @router.get("/models")
    async def models() -> dict[str, Any]:
        """List the language model and, where there is one, the embedding model."""
        return {"object": "list", "data": list(cards.values())}

    @router.get("/models/{name:path}")
    async def one_model(name: str) -> Response:
        """Describe a model."""
        return JSONResponse(cards[name]) if name in cards else unknown_model()


def _add_completions(router: APIRouter, kiosk: Kiosk) -> None:
    model = kiosk.bundle.manifest.model.name
    default_tokens = min(_MOST_DEFAULT_TOKENS, kiosk.bundle.manifest.engine.context // 2)

    @router.post("/chat/completions", response_class=Response)
    async def chat(form: ChatForm, request: Request) -> Response:
        """Complete a conversation, streamed or at once."""
        if refusal := _refusal(form, model):
            return refusal
        try:
            asked = form.to_request(default_tokens, _client(kiosk, request, form))
        except RefusedSchemaError as error:
            return invalid_parameter("response_format", str(error))
        return _stream(kiosk, ChatReply(kiosk, model, asked, form.wants_usage), form.stream, "messages")

    @router.post("/completions", response_class=Response)
    async def completions(form: CompletionForm, request: Request) -> Response:
        """Go on from plain text, streamed or at once; no chat template comes in between."""
        if refusal := _refusal(form, model):
            return refusal
        asked = form.to_request(_client(kiosk, request, form))
        if not asked.prompt:
            return invalid_parameter("prompt", "it is empty")
        return _stream(kiosk, TextReply(kiosk, model, asked, form.wants_usage), form.stream, "prompt")


def _stream(kiosk: Kiosk, reply: Reply, streamed: bool | None, asked: str) -> Stream:
    return Stream(
        reply.chunks() if streamed else reply.whole(),
        media_type="text/event-stream" if streamed else "application/json",
        stops=(kiosk.closing,),
        on_error=lambda error: failed(error, asked),
        last=error_event(ended()) if streamed else b"",
    )


def _add_embeddings(router: APIRouter, kiosk: Kiosk) -> None:
    embedding = kiosk.bundle.manifest.embedding
    model = embedding.name if embedding else None

    @router.post("/embeddings", response_class=Response)
    async def embeddings(form: EmbeddingForm) -> Response:
        """Return the vectors of texts, by the model that finds the page's passages."""
        if refusal := _refusal(form, model):
            return refusal
        if kiosk.embeddings is None or model is None:
            return unknown_model()
        return Stream(
            _vectors(kiosk.embeddings, form, model),
            media_type="application/json",
            stops=(kiosk.closing,),
            on_error=lambda error: failed(error, "input"),
        )


async def _vectors(embeddings: Embeddings, form: EmbeddingForm, model: str) -> AsyncGenerator[bytes, None]:
    found = await embeddings.embed(form.texts, form.input_type or "passage", form.dimensions)
    yield _embeddings_body(found, model, in_base64=form.encoding_format == "base64")


def _embeddings_body(found: "Embedded", model: str, *, in_base64: bool) -> bytes:
    data = []
    for index, row in enumerate(found.vectors):
        # OpenAI's clients read base64 as little-endian float32.
        vector = base64.b64encode(row.astype("<f4").tobytes()).decode() if in_base64 else row.tolist()
        data.append({"object": "embedding", "index": index, "embedding": vector})
    usage = {"prompt_tokens": found.tokens, "total_tokens": found.tokens}
    return json.dumps({"object": "list", "data": data, "model": model, "usage": usage}).encode()


def _refusal(form: Form, model: str | None) -> Response | None:
    if form.model != model:
        return unknown_model()
    try:
        refuse_unsupported(form)
    except RefusedParameterError as error:
        return unsupported(error.parameter)
    return None


def _client(kiosk: Kiosk, request: Request, form: Form) -> str:
    """Return a name for the caller's place in line: its user's where it tells one, else its connection's."""
    host, port = request.client or ("", 0)
    who = f"user {host} {form.caller}" if form.caller else f"connection {host} {port}"
    return hashlib.blake2b(who.encode("utf-8", "replace"), key=kiosk.key, digest_size=16).hexdigest()
