"""The last day of a bundle, by clocks that are right, behind, and ahead."""

from datetime import date
from pathlib import Path

import pytest

from publicai_edge import RELEASED
from publicai_edge.bundle import validity
from publicai_edge.bundle.verify import verify
from publicai_edge.errors import ExpiredError
from publicai_edge.progress import Silent
from tests.bundle.synthetic import write_bundle

FLOOR = date(2026, 11, 29)


@pytest.mark.parametrize(
    ("until", "clock", "expired", "wrong"),
    [
        (None, date(2100, 1, 1), False, False),
        (None, date(1970, 1, 1), False, True),
        (date(2027, 12, 31), date(2027, 12, 31), False, False),
        (date(2027, 12, 31), date(2028, 1, 1), True, False),
        (date(2027, 12, 31), date(1970, 1, 1), False, True),
        (date(2026, 1, 1), date(1970, 1, 1), True, True),
        (date(2027, 12, 31), date(2100, 1, 1), True, False),
        (FLOOR, date(1970, 1, 1), False, True),
    ],
)
def test_clock_counts_from_the_programs_release_on(until: date | None, clock: date, expired: bool, wrong: bool) -> None:
    found = validity.judge(until, clock, FLOOR)
    assert (found.expired, found.clock_wrong) == (expired, wrong)
    assert (found.warning is not None) == (until is not None and (expired or wrong))


def test_only_what_brings_a_bundle_in_refuses_an_expired_one(tmp_path: Path) -> None:
    root = write_bundle(tmp_path, valid_until=date(2027, 12, 31))
    manifest = verify(root, Silent()).manifest
    assert manifest.valid_until == date(2027, 12, 31)
    assert not validity.require_valid(manifest, date(2027, 12, 31)).expired
    with pytest.raises(ExpiredError, match="was good until 2027-12-31, and this machine's clock says 2100-01-01"):
        validity.require_valid(manifest, date(2100, 1, 1))


def test_release_day_is_not_after_today() -> None:
    """Else this program would take a true clock for a wrong one."""
    from datetime import UTC, datetime

    assert datetime.now(UTC).date() >= RELEASED
