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
_IGNORED_IN_MESSAGES = frozenset({"annotations", "name", "refusal"})  # what an answer had comes back with it
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
    "tool_calls": ([],),
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

_Name = Annotated[str, Field(max_length=200, description="a name that GET /v1/models lists")]
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Text = Annotated[str, Field(min_length=1)]
_Stop = Annotated[str, Field(min_length=1, max_length=200)]
_TOKENS = Field(ge=1, le=1 << 20, description="a whole number from 1 to 1048576")
_PENALTY = Field(ge=-2, le=2, description="a number from -2 to 2")
_PERSON = Field(max_length=512, description="a text of at most 512 characters")


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

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")

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
    user: Annotated[str | None, _PERSON] = None
    safety_identifier: Annotated[str | None, _PERSON] = None

    @property
    def caller(self) -> str | None:
        """What the caller says of who asks."""
        return self.safety_identifier or self.user


class WritingForm(Form):
    """What every body has that asks the language model to write."""

    stream: Annotated[bool | None, Field(description="true or false")] = None
    stream_options: Annotated[StreamOptions | None, Field(description='{"include_usage": true or false}')] = None
    max_tokens: Annotated[int | None, _TOKENS] = None
    temperature: Annotated[_Number | None, Field(ge=0, le=2, description="a number from 0 to 2")] = None
    top_p: Annotated[_Number | None, Field(gt=0, le=1, description="a number above 0, at most 1")] = None
    min_p: Annotated[_Number | None, Field(ge=0, lt=1, description="a number from 0 to below 1")] = None
    presence_penalty: Annotated[_Number | None, _PENALTY] = None
    frequency_penalty: Annotated[_Number | None, _PENALTY] = None
    repeat_penalty: Annotated[_Number | None, Field(ge=0.5, le=2, description="a number from 0.5 to 2")] = None
    seed: Annotated[int | None, Field(ge=-(1 << 63), lt=1 << 63, description="a whole number of 64 bits")] = None
    stop: Annotated[
        _Stop | Annotated[list[_Stop], Field(max_length=4)] | None,
        Field(description="a text of 1 to 200 characters, or a list of at most 4 of them"),
    ] = None

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
            stop=tuple(stop),
            json_schema=json_schema,
        )


class ChatForm(WritingForm):
    """The body of ``POST /v1/chat/completions``."""

    messages: Annotated[
        list[FormMessage],
        Field(
            min_length=1,
            max_length=256,
            description="1 to 256 objects with a role (system, developer, user or assistant) and text as content",
        ),
    ]
    max_completion_tokens: Annotated[int | None, _TOKENS] = None
    response_format: Annotated[
        Annotated[AnyText | AnyObject | SchemaObject, Field(discriminator="type")] | None,
        Field(description='{"type": "text"}, {"type": "json_object"} or {"type": "json_schema", "json_schema": {…}}'),
    ] = None

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

    prompt: Annotated[
        _Text | Annotated[list[_Text], Field(min_length=1, max_length=1)],
        Field(description="a text that is not empty, or a list of one"),
    ]

    def to_request(self, client: str) -> ChatRequest:
        """Return the request as the engine takes it."""
        text = self.prompt if isinstance(self.prompt, str) else self.prompt[0]
        return ChatRequest(
            sampling=self.sampling(self.max_tokens or _COMPLETION_TOKENS), prompt=printable(text), client=client
        )


class EmbeddingForm(Form):
    """The body of ``POST /v1/embeddings``; ``input_type`` is for models that read questions another way than texts."""

    input: Annotated[
        _Text | Annotated[list[_Text], Field(min_length=1, max_length=128)],
        Field(description="a text that is not empty, or a list of 1 to 128 of them"),
    ]
    encoding_format: Annotated[Literal["float", "base64"] | None, Field(description='"float" or "base64"')] = None
    input_type: Annotated[Literal["query", "passage"] | None, Field(description='"query" or "passage"')] = None
    dimensions: Annotated[int | None, _TOKENS] = None

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
        if name not in _IGNORED and not _asks_nothing(name, value):
            raise RefusedParameterError(name)
    for message in form.messages if isinstance(form, ChatForm) else ():
        for name, value in (message.model_extra or {}).items():
            if name not in _IGNORED_IN_MESSAGES and not _asks_nothing(name, value):
                raise RefusedParameterError(name)


def _asks_nothing(name: str, value: Any) -> bool:
    def is_it(neutral: Any) -> bool:
        return bool(value == neutral) and isinstance(value, bool) == isinstance(neutral, bool)

    return value is None or any(map(is_it, _NEUTRAL.get(name, ())))


def expected(name: str) -> str | None:
    """Return what a parameter's value may be, to be read after "expected"."""
    forms: tuple[type[Form], ...] = (ChatForm, CompletionForm, EmbeddingForm)
    return next((form.model_fields[name].description for form in forms if name in form.model_fields), None)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
