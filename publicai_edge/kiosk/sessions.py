"""Patrons' sessions: in this process's memory, and nowhere else.

Invariants: a session is found by a random 256-bit token only; it holds nothing a patron typed but the last
turns that the service needs; ending it, or leaving it idle, drops all of that at once and stops its stream;
there are never more than ``most`` of them.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable

from publicai_edge.kiosk.answering import MOST_TURNS, Turn

COOKIE = "kiosk_session"
ANSWER, SPEECH = "answer", "speech"
"""Kinds of streams: a session has one of each at a time."""

_MOST_TURN_LETTERS = 2000


class Session:
    """What is kept of one patron: the last turns with each service, and the streams under way.

    ``client`` is the patron's name in the engine's line: random, and not the token, which leaves this process only
    for the patron's own browser.
    """

    def __init__(self, now: float) -> None:
        self.token = secrets.token_urlsafe(32)
        self.client = secrets.token_hex(16)
        self.touched = now
        self.ended = False
        self._turns: dict[str, deque[Turn]] = {}
        self._stops: dict[str, asyncio.Event] = {}

    @property
    def cookie(self) -> dict[str, str]:
        """The header that gives the patron's browser the token."""
        return {"set-cookie": f"{COOKIE}={self.token}; Path=/api; HttpOnly; SameSite=Strict"}

    def turns(self, service: str) -> tuple[Turn, ...]:
        """Return the last turns with a service, oldest first."""
        return tuple(self._turns.get(service, ()))

    def remember(self, service: str, turn: Turn) -> None:
        """Keep a turn, cut to a bounded length; an ended session keeps nothing."""
        if not self.ended:
            cut = Turn(turn.question[:_MOST_TURN_LETTERS], turn.answer[:_MOST_TURN_LETTERS])
            self._turns.setdefault(service, deque(maxlen=MOST_TURNS)).append(cut)

    def begin_stream(self, kind: str = ANSWER) -> asyncio.Event:
        """Return the event that stops the new stream; the one of that kind before it is stopped now."""
        if before := self._stops.get(kind):
            before.set()
        self._stops[kind] = asyncio.Event()
        return self._stops[kind]

    @property
    def streaming(self) -> bool:
        """Whether a stream is under way."""
        return bool(self._stops)

    def end_stream(self, stream: asyncio.Event) -> None:
        """Take note that a stream ended, by what :meth:`begin_stream` returned for it."""
        self._stops = {kind: stop for kind, stop in self._stops.items() if stop is not stream}

    def wipe(self) -> None:
        """Drop everything and stop the streams."""
        self.ended = True
        self._turns.clear()
        for stop in self._stops.values():
            stop.set()


class Sessions:
    """All sessions of the kiosk.

    Args:
        idle_seconds: a session untouched for so long is wiped.
        most: sessions kept at a time; one more wipes the one that has been idle longest, and one with an answer under
            way only where all have one: else whoever keeps no cookies could end the answers of others.
        clock: monotonic seconds.
    """

    def __init__(self, idle_seconds: float, most: int = 32, clock: Callable[[], float] = time.monotonic) -> None:
        self._idle = idle_seconds
        self._most = most
        self._clock = clock
        self._held: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._held)

    def find_or_open(self, token: str | None) -> Session:
        """Return the session of a token, or a new one where there is none any more."""
        self.sweep()
        session = self._held.get(token or "")
        if session is None:
            while len(self._held) >= self._most:
                self._end(min(self._held.values(), key=lambda held: (held.streaming, held.touched)))
            session = Session(self._clock())
            self._held[session.token] = session
        session.touched = self._clock()
        return session

    def end(self, token: str | None) -> bool:
        """Wipe a session; say whether there was one."""
        session = self._held.get(token or "")
        if session is not None:
            self._end(session)
        return session is not None

    def end_all(self) -> None:
        """Wipe every session."""
        for session in list(self._held.values()):
            self._end(session)

    def sweep(self) -> int:
        """Wipe the sessions that were idle too long; return how many."""
        limit = self._clock() - self._idle
        idle = [session for session in self._held.values() if session.touched <= limit]
        for session in idle:
            self._end(session)
        return len(idle)

    def _end(self, session: Session) -> None:
        session.wipe()
        self._held.pop(session.token, None)
