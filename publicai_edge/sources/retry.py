"""How long to try again, and how long to wait in between."""

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses that a later attempt may not meet again."""


@dataclass(frozen=True)
class Patience:
    """Bounds on trying again.

    ``tries`` counts attempts in a row that brought nothing new; ``reach_tries`` those in which the server was
    not reached at all. Waits, in seconds, double from ``first_wait`` to ``longest_wait``; a server that asks
    for more than ``longest_asked`` (Retry-After) is not waited for.
    """

    tries: int = 5
    reach_tries: int = 3
    first_wait: float = 1.0
    longest_wait: float = 20.0
    longest_asked: float = 300.0

    def wait(self, failures: int, asked: float | None) -> float | None:
        """Return the seconds to wait after so many failures; None when waiting would take too long."""
        if asked is not None:
            return asked if asked <= self.longest_asked else None
        return min(self.first_wait * float(1 << max(0, failures - 1)), self.longest_wait)


def retry_after(value: str | None) -> float | None:
    """Read a Retry-After header (RFC 9110, 10.2.3): seconds or a date; None where there is none."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
