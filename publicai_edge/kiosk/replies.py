"""Errors as a client reads them: ``{"error": {"code", "message"}}`` one sentence that quotes nobody."""

from collections.abc import Mapping

from starlette.responses import JSONResponse

from publicai_edge.errors import BundleError, ContextOverflowError, OverloadedError, PublicAIError

RETRY_SECONDS = 5


def error_reply(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return an error response."""
    return JSONResponse({"error": {"code": code, "message": message}}, status, headers=headers)


def error_code(error: PublicAIError) -> str:
    """Return the short name under which the page has a sentence for an error."""
    if isinstance(error, OverloadedError):
        return "overloaded"
    if isinstance(error, ContextOverflowError):
        return "too_long"
    return "search_failed" if isinstance(error, BundleError) else "engine_failed"


def retry_after(error: PublicAIError) -> int:
    """Return in how many seconds to try again, at least 1."""
    wanted = error.facts.get("retry_after", RETRY_SECONDS)
    return max(1, round(wanted)) if isinstance(wanted, int | float) else RETRY_SECONDS


def unavailable(error: PublicAIError) -> JSONResponse:
    """Return 503 for an error of the engine or the documents, or 400 where the request does not fit."""
    code = error_code(error)
    if code == "too_long":
        return error_reply(400, code, "The question is too long for this model.")
    return error_reply(503, code, _SENTENCES[code], {"retry-after": str(retry_after(error))})


_SENTENCES = {
    "overloaded": "Too many people are asking at the moment. Please try again shortly.",
    "search_failed": "The documents cannot be searched at the moment.",
    "engine_failed": "The model cannot answer at the moment.",
}
