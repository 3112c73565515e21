"""The body of ``POST /v1/chat/completions`` as this kiosk accepts it, and what is refused by name.

A parameter that asks for something the engine does not do is refused unless its value asks for nothing
(``n: 1``, ``tools: []``); a parameter that only describes the caller (``user``, ``metadata``) is not read.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from publicai_edge.engine.protocol import ChatMessage, ChatRequest, Role, Sampling
from publicai_edge.kiosk.answering import clean

_IGNORED = frozenset(
    {
        "metadata",
        "parallel_tool_calls",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "user",
    }
)
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
}
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
_MOST_SEEDS = 2**32 - 1  # llama.cpp keeps the highest one for "draw one"


class RefusedParameterError(Exception):
    """A parameter asks for something this kiosk does not do; ``parameter`` is its name."""

    def __init__(self, parameter: str) -> None:
        super().__init__(parameter)
        self.parameter = parameter


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class TextPart(_Form):
    """A part of a message; only text is understood."""

    type: Literal["text"]
    text: str


class FormMessage(_Form):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]

    def to_turn(self) -> ChatMessage:
        """Return the turn as the engine takes it."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return ChatMessage(_ROLES[self.role], clean(text))


class StreamOptions(_Form):
    """Whether a last chunk tells the usage."""

    include_usage: bool | None = None


class CompletionForm(_Form):
    """The body; parameters not named here are looked at by :func:`refuse_unsupported`."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")

    model: Annotated[str, Field(max_length=200)]
    messages: Annotated[list[FormMessage], Field(min_length=1, max_length=256)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1, le=1 << 20)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=1 << 20)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    seed: Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)] | None = None
    stop: (
        Annotated[str, Field(max_length=200)]
        | Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=4)]
        | None
    ) = None

    @property
    def wants_usage(self) -> bool:
        """Whether the stream ends with a chunk that tells the usage."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def to_request(self, default_tokens: int) -> ChatRequest:
        """Return the request as the engine takes it."""
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        sampling = Sampling(
            max_tokens=self.max_completion_tokens or self.max_tokens or default_tokens,
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            seed=None if self.seed is None else self.seed % _MOST_SEEDS,
            stop=tuple(text for text in stop if text),
        )
        return ChatRequest(tuple(message.to_turn() for message in self.messages), sampling)


def refuse_unsupported(form: CompletionForm) -> None:
    """Refuse parameters that ask for what the kiosk does not do.

    Raises:
        RefusedParameterError: the first such parameter.
    """
    for name, value in (form.model_extra or {}).items():
        if value is None or name in _IGNORED:
            continue
        if not any(_asks_nothing(value, neutral) for neutral in _NEUTRAL.get(name, ())):
            raise RefusedParameterError(name)


def _asks_nothing(value: Any, neutral: Any) -> bool:
    return bool(value == neutral) and isinstance(value, bool) == isinstance(neutral, bool)
