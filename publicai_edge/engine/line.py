"""The line before the worker: who is answered now, who waits, and who comes next.

A pure structure of the process that serves: no I/O, no tasks, no clock. A request is a ticket; it is let in to one of
``slots`` or waits, and everybody who waits has a place, 1 being next.

Invariants:
- Nobody is let in while all slots are held, and nobody waits while one is free.
- A slot goes to the client that holds the fewest; among those, to the one whose turn is the longest ago: a client's
  turn is when it came, when one of its tickets was let in and when one left. So a client that holds no slot waits for
  at most one ticket of each other client, however many those have, and nobody waits for ever.
- A client's own tickets keep their order.
- At most ``queue`` tickets wait. In a full line a client that has fewer waiting takes the place of the last ticket of
  the client that has the most; everybody else is refused.
"""

import heapq
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from publicai_edge.errors import OverloadedError

_FIRST_GUESS_SECONDS = 10.0
_NEWEST_COUNTS = 0.2  # weight of the newest answer in the moving average
_LONGEST_RETRY = 60  # OpenAI's own clients do not heed a longer one


@dataclass(eq=False)
class Ticket:
    """One request's place.

    Attributes:
        number: counts up from 1.
        client: whose it is; "" stands for a client of its own.
        position: 0 once it is let in, else its place among those who wait.
    """

    number: int
    client: str
    position: int = 0


@dataclass
class _Client:
    waiting: deque[Ticket] = field(default_factory=deque)
    held: int = 0
    turn: int = 0


class Line:
    """A bounded line that is fair among clients.

    Args:
        slots: tickets let in at the same time, at least 1.
        queue: tickets that may wait.
    """

    def __init__(self, *, slots: int, queue: int) -> None:
        self._slots = max(1, slots)
        self._queue = queue
        self._clients: dict[str | int, _Client] = {}
        self._active: dict[Ticket, None] = {}
        self._waiting = 0
        self._count = 0
        self._turns = 0
        self._answer_seconds: float | None = None

    @property
    def slots(self) -> int:
        """How many may be let in at the same time."""
        return self._slots

    @property
    def active(self) -> tuple[Ticket, ...]:
        """Those who are let in, the longest there first."""
        return tuple(self._active)

    @property
    def waiting(self) -> tuple[Ticket, ...]:
        """Those who wait, in order of their places."""
        return tuple(self._order())

    @property
    def answer_seconds(self) -> float:
        """Seconds that an answer holds its slot: a moving average of those measured, or a guess before the first."""
        return _FIRST_GUESS_SECONDS if self._answer_seconds is None else self._answer_seconds

    def resize(self, slots: int) -> None:
        """Change the number of slots; who is let in already stays, also where there are more of them now."""
        self._slots = max(1, slots)
        self._advance()

    def enter(self, client: str = "") -> tuple[Ticket, Ticket | None]:
        """Give out a ticket; return it with the one that lost its place for it, if any.

        Raises:
            OverloadedError: the line is full, and nobody has more waiting than this client.
        """
        key = client or self._count + 1
        pushed_out = None
        if len(self._active) >= self._slots and self._waiting >= self._queue:
            pushed_out = self._loser(key)
            if pushed_out is None:
                raise self.overloaded()
            self._forget(pushed_out)
        self._count += 1
        ticket = Ticket(self._count, client)
        known = self._clients.get(key)
        if known is None:
            known = self._clients[key] = _Client(turn=self._next_turn())
        known.waiting.append(ticket)
        self._waiting += 1
        self._advance()
        return ticket, pushed_out

    def leave(self, ticket: Ticket, *, seconds: float | None = None) -> None:
        """Take a ticket out, wherever it is; its slot goes to the next. One that left before changes nothing.

        Args:
            ticket: given out by :meth:`enter`.
            seconds: how long a whole answer took, for the average; None for one that was cut short.
        """
        if seconds is not None:
            self._measured(seconds)
        self._forget(ticket)
        self._advance()

    def overloaded(self) -> OverloadedError:
        """Return the refusal, with the seconds after which about half of those who wait now will have been let in.

        There is room by then, and no slot has stood empty for want of those who were sent away.
        """
        rounds = max(1.0, self._waiting / 2) / self._slots
        seconds = min(_LONGEST_RETRY, max(1, math.ceil(rounds * self.answer_seconds)))
        return OverloadedError(
            f"{self._waiting} requests are waiting already.", hint="Try again in a moment.", retry_after=seconds
        )

    def _loser(self, newcomer: str | int) -> Ticket | None:
        """Return the last ticket of the client with the most waiting, if the newcomer has fewer even with one more."""
        if not self._waiting:
            return None
        own = self._clients.get(newcomer)
        greatest = max(self._clients.values(), key=lambda client: len(client.waiting))
        enough = (len(own.waiting) if own else 0) + 1
        return greatest.waiting[-1] if len(greatest.waiting) > enough else None

    def _forget(self, ticket: Ticket) -> None:
        key = ticket.client or ticket.number
        client = self._clients.get(key)
        if client is None:
            return
        if ticket in self._active:
            del self._active[ticket]
            client.held -= 1
            client.turn = self._next_turn()
        elif ticket in client.waiting:
            client.waiting.remove(ticket)
            self._waiting -= 1
        if not client.held and not client.waiting:
            del self._clients[key]

    def _advance(self) -> None:
        """Fill the free slots and tell everybody who still waits their place."""
        order = self._order()
        while self._waiting and len(self._active) < self._slots:
            ticket = next(order)
            client = self._clients[ticket.client or ticket.number]
            client.waiting.popleft()
            client.held += 1
            client.turn = self._next_turn()
            self._waiting -= 1
            self._active[ticket] = None
            ticket.position = 0
        for position, ticket in enumerate(order, 1):
            ticket.position = position

    def _order(self) -> Iterator[Ticket]:
        """Yield those who wait in the order in which they are let in if nobody comes and nobody leaves."""
        turn = self._turns
        tickets = {key: iter(tuple(client.waiting)) for key, client in self._clients.items()}
        heap = [(client.held, client.turn, key) for key, client in self._clients.items() if client.waiting]
        heapq.heapify(heap)  # no two turns are the same, so keys are never compared
        while heap:
            held, _, key = heapq.heappop(heap)
            ticket = next(tickets[key], None)
            if ticket is not None:
                yield ticket
                turn += 1
                heapq.heappush(heap, (held + 1, turn, key))

    def _next_turn(self) -> int:
        self._turns += 1
        return self._turns

    def _measured(self, seconds: float) -> None:
        before = self._answer_seconds
        self._answer_seconds = seconds if before is None else before + _NEWEST_COUNTS * (seconds - before)
