"""What happens while a question is answered: plain frozen values, in the order they are shown.

A stream is either ``NothingFound`` alone, or: ``PassagesFound`` (where the service searches), any number of
``Preparing`` and ``Waiting``, one ``AnswerStarted``, then ``AnswerText`` with an ``Attributed`` right after
the text that ends a sentence, and one ``AnswerDone``.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Source:
    """A passage that was found, with the number it is cited by (from 1); ``language`` is "" where it is not known."""

    number: int
    passage: int
    document: str
    source: str
    heading: str
    page: int | None
    text: str
    language: str
    relevance: float


@dataclass(frozen=True)
class PassagesFound:
    """The passages, before the model is asked anything."""

    sources: tuple[Source, ...]


@dataclass(frozen=True)
class NothingFound:
    """No document answers this question; the model is not asked."""


@dataclass(frozen=True)
class Preparing:
    """The model is not in memory yet; the answer follows when it is."""

    state: Literal["loading", "restarting"]


@dataclass(frozen=True)
class Waiting:
    """Others are served first; ``position`` 1 is next in line."""

    position: int


@dataclass(frozen=True)
class AnswerStarted:
    """The model has read the prompt: its length in tokens, and how many of them it already knew."""

    prompt_tokens: int
    reused_tokens: int


@dataclass(frozen=True)
class AnswerText:
    """Some more of the answer, plain text."""

    text: str


@dataclass(frozen=True)
class Attributed:
    """A sentence has ended: its index, its span in the answer, and the numbers of the passages behind it.

    ``start`` and ``end`` count Unicode code points of all ``AnswerText`` so far; ``sources`` is empty when no
    passage has this sentence's wording.
    """

    index: int
    start: int
    end: int
    sources: tuple[int, ...]


@dataclass(frozen=True)
class AnswerDone:
    """The answer is complete: why it ended, its length in tokens, the seconds from prompt to last word."""

    reason: Literal["stop", "length", "cancelled"]
    tokens: int
    seconds: float


AnswerEvent = PassagesFound | NothingFound | Preparing | Waiting | AnswerStarted | AnswerText | Attributed | AnswerDone

_NAMES: dict[type[Any], str] = {
    PassagesFound: "passages",
    NothingFound: "nothing_found",
    Preparing: "preparing",
    Waiting: "waiting",
    AnswerStarted: "started",
    AnswerText: "text",
    Attributed: "sentence",
    AnswerDone: "done",
}


def to_json(event: AnswerEvent) -> dict[str, Any]:
    """Return an event as plain data, with its name under ``type``."""
    return {"type": _NAMES[type(event)], **asdict(event)}
