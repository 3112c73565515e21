"""A request between its patron and the worker, and whose fault it is when it fails."""

import asyncio
import time
from dataclasses import dataclass, field

from publicai_edge.engine.line import Ticket
from publicai_edge.engine.protocol import ChatRequest, Event
from publicai_edge.errors import ContextOverflowError, PublicAIError


@dataclass(eq=False)
class Pending:
    """One request on its way.

    Attributes:
        ticket: its place in the line.
        words: what is sent to the worker; None once the worker has read it.
        mail: its events; a Queued tells that its place changed, not what it is by now.
        entered, sent_at: when it came and when it was sent, by the monotonic clock.
        told: the place that its reader knows of.
        tries: how many workers it was sent to.
        sent: whether the worker that runs now has it.
        begun: whether the worker has begun the answer.
        gone: whether nobody reads its events any more.
    """

    ticket: Ticket
    words: ChatRequest | None
    mail: asyncio.Queue[Event | PublicAIError] = field(default_factory=asyncio.Queue)
    entered: float = field(default_factory=time.monotonic)
    sent_at: float = 0.0
    told: int = 0
    tries: int = 0
    sent: bool = False
    begun: bool = False
    gone: bool = False


def is_the_askers(error: PublicAIError) -> bool:
    """Say whether a request failed by what it asked for: too long a text, or a parameter that cannot be kept to."""
    return isinstance(error, ContextOverflowError) or "parameter" in error.facts
