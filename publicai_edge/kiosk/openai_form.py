"""The bodies of ``POST /v1/…`` as this kiosk accepts them, and what is refused by name.

A parameter that asks for something the engine does not do is refused unless its value asks for nothing
(``n: 1``, ``tools: []``); a parameter that only describes the caller (``metadata``) is not read. Of ``user`` and
``safety_identifier`` a keyed hash tells whose turn it is in the line; see :func:`publicai_edge.kiosk.openai_api`.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from publicai_edge.engine.protocol import ChatMessage, ChatRequest, Role, Sampling
from publicai_edge.kiosk.answering import clean, printable
from publicai_edge.kiosk.openai_schema import check_schema

_IGNORED = frozenset(
    {
        "metadata",
        "parallel_tool_calls",
        "prompt_cache_key",
        "prompt_cache_retention",
        "service_tier",
        "store",
    }
)
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "logprobs": (False, 0),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
}
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
_MOST_SEEDS = 2**32 - 1  # llama.cpp keeps the highest one for "draw one"
_ANY_OBJECT = '{"type": "object"}'
_COMPLETION_TOKENS = 16  # OpenAI's own default where the prompt is plain text

_Name = Annotated[str, Field(max_length=200)]
_Tokens = Annotated[int, Field(ge=1, le=1 << 20)]
_Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]


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


class NamedSchema(_Form):
    """A JSON schema, with a name that is not read."""

    schema_: Annotated[dict[str, Any], Field(alias="schema")]


class AnyText(_Form):
    """The answer may be any text."""

    type: Literal["text"]


class AnyObject(_Form):
    """The answer is a JSON object."""

    type: Literal["json_object"]


class SchemaObject(_Form):
    """The answer is JSON that fits a schema."""

    type: Literal["json_schema"]
    json_schema: NamedSchema


class Form(_Form):
    """What every body may have; parameters not named in a form are looked at by :func:`refuse_unsupported`."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")

    model: _Name
    user: Annotated[str, Field(max_length=512)] | None = None
    safety_identifier: Annotated[str, Field(max_length=512)] | None = None

    @property
    def caller(self) -> str | None:
        """What the caller says of who asks."""
        return self.safety_identifier or self.user


class WritingForm(Form):
    """What every body has that asks the language model to write."""

    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: _Tokens | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    min_p: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] | None = None
    presence_penalty: _Penalty | None = None
    frequency_penalty: _Penalty | None = None
    repeat_penalty: Annotated[float, Field(ge=0.5, le=2, allow_inf_nan=False)] | None = None
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

    def sampling(self, max_tokens: int, json_schema: str | None = None) -> Sampling:
        """Return how tokens are chosen."""
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return Sampling(
            max_tokens=max_tokens,
            temperature=_or(self.temperature, 1.0),
            top_p=_or(self.top_p, 1.0),
            min_p=_or(self.min_p, 0.0),
            repeat_penalty=_or(self.repeat_penalty, 1.0),
            presence_penalty=_or(self.presence_penalty, 0.0),
            frequency_penalty=_or(self.frequency_penalty, 0.0),
            seed=None if self.seed is None else self.seed % _MOST_SEEDS,
            stop=tuple(text for text in stop if text),
            json_schema=json_schema,
        )


class ChatForm(WritingForm):
    """The body of ``POST /v1/chat/completions``."""

    messages: Annotated[list[FormMessage], Field(min_length=1, max_length=256)]
    max_completion_tokens: _Tokens | None = None
    response_format: Annotated[AnyText | AnyObject | SchemaObject, Field(discriminator="type")] | None = None

    def to_request(self, default_tokens: int, client: str) -> ChatRequest:
        """Return the request as the engine takes it.

        Raises:
            RefusedSchemaError: the answer's JSON schema is not taken.
        """
        tokens = self.max_completion_tokens or self.max_tokens or default_tokens
        turns = tuple(message.to_turn() for message in self.messages)
        return ChatRequest(turns, self.sampling(tokens, self._schema()), client=client)

    def _schema(self) -> str | None:
        match self.response_format:
            case AnyObject():
                return _ANY_OBJECT
            case SchemaObject(json_schema=named):
                return check_schema(named.schema_)
        return None


class CompletionForm(WritingForm):
    """The body of ``POST /v1/completions``: text to go on from, alone or in a list of one."""

    prompt: (
        Annotated[str, Field(min_length=1)]
        | Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=1)]
    )

    def to_request(self, client: str) -> ChatRequest:
        """Return the request as the engine takes it."""
        text = self.prompt if isinstance(self.prompt, str) else self.prompt[0]
        return ChatRequest(
            sampling=self.sampling(self.max_tokens or _COMPLETION_TOKENS), prompt=printable(text), client=client
        )


class EmbeddingForm(Form):
    """The body of ``POST /v1/embeddings``; ``input_type`` is for models that read questions another way than texts."""

    input: (
        Annotated[str, Field(min_length=1)]
        | Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=128)]
    )
    encoding_format: Literal["float", "base64"] | None = None
    input_type: Literal["query", "passage"] | None = None

    @property
    def texts(self) -> list[str]:
        """The texts."""
        return [self.input] if isinstance(self.input, str) else list(self.input)


def refuse_unsupported(form: Form) -> None:
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


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
