"""What the engine is asked and what it answers: plain frozen values, the same in every process.

A request's answer is a stream of events: any number of :class:`Queued`, one :class:`Started`, any number of
:class:`Delta`, one :class:`Finished`. Closing the stream early cancels the request.
"""

from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

Role = Literal["system", "user", "assistant"]
State = Literal["loading", "ready", "restarting", "failed", "closed"]


@dataclass(frozen=True)
class ChatMessage:
    """One turn of a conversation; ``content`` is text only and never carries control tokens.

    ``passages`` are the places in ``content``, begin and end in characters, of texts that are made into tokens each by
    itself: their tokens are then the same beside any others, and what was computed of them can be used again.

    Raises:
        ValueError: the places overlap, or are not in the text.
    """

    role: Role
    content: str
    passages: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        """See that the places are in the text, one after the other."""
        edges = [0, *(edge for place in self.passages for edge in place), len(self.content)]
        if edges != sorted(edges):
            raise ValueError("the passages of a turn are not places in its text, one after the other")


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. ``temperature`` 0 is greedy; ``seed`` None draws one.

    ``json_schema`` (JSON text) or ``grammar`` (GBNF, llama.cpp's form) bound what the answer may be; never both.
    ``presence_penalty`` and ``frequency_penalty`` are OpenAI's, added to the logits of tokens that were there before;
    ``repeat_penalty`` divides them.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    json_schema: str | None = None
    grammar: str | None = None


@dataclass(frozen=True)
class ChatRequest:
    """One request: the whole conversation, oldest turn first; or, with ``prompt``, plain text to go on from.

    ``client`` tells whose it is, so that nobody's requests crowd out the others'; it is a random name that is never
    written anywhere.
    """

    messages: tuple[ChatMessage, ...] = ()
    sampling: Sampling = Sampling()
    prompt: str | None = None
    client: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> "ChatRequest":
        """Read what :meth:`to_json` wrote."""
        sampling = dict(data["sampling"])
        sampling["stop"] = tuple(sampling["stop"])
        turns = tuple(
            ChatMessage(turn["role"], turn["content"], tuple(map(tuple, turn.get("passages", ()))))
            for turn in data["messages"]
        )
        return ChatRequest(turns, Sampling(**sampling), data["prompt"], data["client"])


@dataclass(frozen=True)
class Queued:
    """The request waits; ``position`` 1 is next in line."""

    position: int


@dataclass(frozen=True)
class Started:
    """The prompt is read: its length in tokens, and how many of them were already computed."""

    prompt_tokens: int
    reused_tokens: int


@dataclass(frozen=True)
class Delta:
    """Some more text of the answer, whole Unicode characters only."""

    text: str


@dataclass(frozen=True)
class Finished:
    """The answer is complete: why, how many tokens, and the seconds spent reading and writing."""

    reason: Literal["stop", "length", "cancelled"]
    completion_tokens: int
    prefill_seconds: float
    decode_seconds: float


Event = Queued | Started | Delta | Finished


@dataclass(frozen=True)
class EngineStatus:
    """How the engine is: its state, one sentence when something is wrong, and what it has loaded."""

    state: State
    detail: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EngineMetrics:
    """Counts since the engine was started, and how busy it is now; never a word of anybody's.

    Tokens of prompts are those that requests had; ``reused_tokens`` of them needed no computing. Seconds are those of
    requests, summed up: of several at once, each counts its own.
    """

    slots: int = 0
    slots_busy: int = 0
    queued: int = 0
    requests: int = 0
    answered: int = 0
    failed: int = 0
    cancelled: int = 0
    refused: int = 0
    restarts: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    completion_tokens: int = 0
    queue_seconds: float = 0.0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0


class Engine(Protocol):
    """What the kiosk needs of an engine; :class:`publicai_edge.engine.client.WorkerEngine` is the real one."""

    async def start(self) -> None:
        """Begin to load the model; returns at once, ``status`` tells when it is ready."""
        ...

    async def close(self) -> None:
        """End every request and give the memory back."""
        ...

    @property
    def status(self) -> EngineStatus:
        """How the engine is now."""
        ...

    @property
    def metrics(self) -> EngineMetrics:
        """What the engine has done, and how busy it is."""
        ...

    def chat(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """Answer a request; waits for the model to load where it still does.

        Raises:
            OverloadedError: the queue is full.
            ContextOverflowError: the request does not fit the context.
            EngineError: the worker failed while it answered.
        """
        ...
