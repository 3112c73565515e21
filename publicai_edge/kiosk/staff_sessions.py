"""Who of the staff is signed in: in memory only, for a few idle minutes, and apart from patrons' sessions.

Invariants: a session is found by its cookie, and changes something only with a second token that the page holds and
sends itself, so that no other page's request can; both are random. One that nothing was changed with for
:data:`IDLE_SECONDS` is over: looking on, as the page does by itself, does not keep it.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

COOKIE = "staff_session"
HEADER = "x-staff-token"
IDLE_SECONDS = 600.0

_MOST = 4


@dataclass
class StaffSession:
    """One signed-in browser: its cookie, the token its page sends, and when it last did something."""

    touched: float
    cookie: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)


class StaffSessions:
    """All of them.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[str, StaffSession] = {}

    def open(self) -> StaffSession:
        """Return a new session; the oldest goes where there are too many."""
        self._sweep()
        while len(self._held) >= _MOST:
            self.end(min(self._held.values(), key=lambda held: held.touched).cookie)
        session = StaffSession(self._clock())
        self._held[session.cookie] = session
        return session

    def find(self, cookie: str | None) -> StaffSession | None:
        """Return the session of a cookie, where it is not over."""
        self._sweep()
        return self._held.get(cookie or "")

    def use(self, cookie: str | None, token: str | None) -> StaffSession | None:
        """Return the session for a change, and begin its idle time anew; None without the right token."""
        session = self.find(cookie)
        if session is None or not secrets.compare_digest(session.token.encode(), (token or "").encode()):
            return None
        session.touched = self._clock()
        return session

    def left(self, session: StaffSession) -> float:
        """Return the seconds after which a session is over unless it is used."""
        return max(0.0, session.touched + IDLE_SECONDS - self._clock())

    def end(self, cookie: str | None) -> None:
        """End a session."""
        self._held.pop(cookie or "", None)

    def end_all(self) -> None:
        """End every session."""
        self._held.clear()

    def _sweep(self) -> None:
        limit = self._clock() - IDLE_SECONDS
        for session in [held for held in self._held.values() if held.touched <= limit]:
            self.end(session.cookie)
