"""Whether the date up to which a steward answers for a bundle has passed, on a machine whose clock may be wrong.

A kiosk has no network to set its clock by, and an empty battery puts it back to 1970. So the clock counts only as far
as it is believable: never earlier than this program's own release, which is a floor that no battery can move. A clock
that runs ahead cannot be told from a true one.

A bundle that ran yesterday runs today: at the start, an expired one is a warning. Only what brings a bundle onto a
machine, with a person before it, refuses one (:func:`require_valid`).
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime

from publicai_edge import RELEASED
from publicai_edge.bundle.manifest import Manifest
from publicai_edge.errors import ExpiredError


@dataclass(frozen=True)
class Validity:
    """What is known.

    Attributes:
        until: the last day, or None where the steward named none.
        today: the date it was judged by.
        clock_wrong: the machine's clock is earlier than this program's release, so ``today`` is that release.
    """

    until: date | None
    today: date
    clock_wrong: bool

    @property
    def expired(self) -> bool:
        """Whether the last day has passed."""
        return self.until is not None and self.today > self.until

    @property
    def warning(self) -> str | None:
        """A sentence for the operator; None where there is nothing to say."""
        if self.until is None:
            return None
        if self.expired:
            return f"The bundle's steward answers for it until {self.until}, and it is {self.today}."
        if self.clock_wrong:
            return (
                f"This machine's clock is wrong: it is before {self.today}. The bundle is good until {self.until}, "
                "and nobody here knows whether that has passed."
            )
        return None


def judge(until: date | None, clock: date, floor: date = RELEASED) -> Validity:
    """Judge a last day by a clock that is believed from ``floor`` on."""
    return Validity(until, max(clock, floor), clock < floor)


def of(manifest: Manifest, clock: date | None = None) -> Validity:
    """Judge a bundle by this machine's clock (in UTC), or by ``clock``."""
    return judge(manifest.valid_until, clock or datetime.now(UTC).date())


def require_valid(manifest: Manifest, clock: date | None = None) -> Validity:
    """Refuse a bundle whose last day has passed.

    Raises:
        ExpiredError: it has.
    """
    found = of(manifest, clock)
    if found.expired:
        raise ExpiredError(
            f"{manifest.folder_name} was good until {found.until}, and this machine's clock says {found.today}.",
            hint=f"Ask {manifest.steward.name} for a newer one. If the clock is wrong, set it and try again.",
            valid_until=str(found.until),
            today=str(found.today),
        )
    return found
