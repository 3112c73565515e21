"""Errors in the form that OpenAI's clients read; none quotes the conversation, or a value it was sent."""

from starlette.responses import JSONResponse

from publicai_edge.errors import ContextOverflowError, HostError, OverloadedError, PublicAIError
from publicai_edge.kiosk.replies import retry_after

_LONGEST_NAME = 40


def openai_error(
    status: int,
    message: str,
    *,
    kind: str = "invalid_request_error",
    code: str,
    param: str | None = None,
    retry: int | None = None,
) -> JSONResponse:
    """Return an error object."""
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return JSONResponse(body, status, headers={"retry-after": str(retry)} if retry else None)


def invalid_parameter(param: str | None, problem: str) -> JSONResponse:
    """Return 400 for a parameter of a wrong value; the value itself is not repeated."""
    where = f"Parameter {param!r}" if param else "The request"
    return openai_error(400, f"{where}: {problem}.", code="invalid_value", param=param)


def unsupported(param: str) -> JSONResponse:
    """Return 400 for a parameter this kiosk has no use for."""
    shown = param if len(param) <= _LONGEST_NAME and param.isidentifier() else "?"
    message = f"Parameter {shown!r} is not supported by this kiosk; leave it out."
    return openai_error(400, message, code="unsupported_parameter", param=shown)


def unknown_model() -> JSONResponse:
    """Return 404 for a model that is not here, or that does not do what was asked."""
    message = "There is no such model here for this; GET /v1/models lists what there is."
    return openai_error(404, message, code="model_not_found", param="model")


def failed(error: PublicAIError, asked: str = "messages") -> JSONResponse:
    """Return 400 or 503 for an error of an engine.

    Args:
        error: what it raised; a fact ``parameter`` names the parameter that it cannot use, ``problem`` says why.
        asked: the parameter that holds the text.
    """
    if isinstance(error, ContextOverflowError):
        had, most = error.facts.get("prompt_tokens"), error.facts.get("context")
        numbers = f" It has {had} tokens, and the model reads {most}." if had and most else ""
        message = f"Parameter {asked!r} is too long for the model.{numbers}"
        return openai_error(400, message, code="context_length_exceeded", param=asked)
    if isinstance(error, OverloadedError):
        message = "Too many requests are waiting; try again later."
        return openai_error(503, message, kind="server_error", code="overloaded", retry=retry_after(error))
    if parameter := error.facts.get("parameter"):
        return invalid_parameter(str(parameter), str(error.facts.get("problem", "the engine cannot use it")))
    needed, available = error.facts.get("needed"), error.facts.get("available")
    if isinstance(error, HostError) and needed and available:
        message = (
            f"The model does not fit this computer's memory: it takes {_mib(needed)}, and {_mib(available)} are free."
        )
        return openai_error(503, message, kind="server_error", code="model_does_not_fit")
    message = "The model cannot answer now."
    return openai_error(503, message, kind="server_error", code="engine_failed", retry=retry_after(error))


def _mib(size: int) -> str:
    return f"{-(-size // (1 << 20)):,} MiB"
