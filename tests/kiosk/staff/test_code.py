"""The staff's code: kept as a hash, taken in any script, slow to guess; and their sessions."""

import json
import stat
from pathlib import Path

import pytest

from publicai_edge.errors import HostError
from publicai_edge.kiosk import staff_code
from publicai_edge.kiosk.staff_code import CodeHash, Gate
from publicai_edge.kiosk.staff_place import VARIABLE, place_of
from publicai_edge.kiosk.staff_sessions import IDLE_SECONDS, StaffSessions
from publicai_edge.kiosk.staff_uploads import plain_name


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_code_is_drawn_anew_each_time_and_is_long() -> None:
    codes = {staff_code.draw() for _ in range(50)}
    assert len(codes) == 50
    assert all(len(staff_code.plain(code)) == staff_code.DIGITS for code in codes)


def test_only_a_salted_hash_is_kept_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    place = tmp_path / "state"
    file = staff_code.store(place, "1234-5678-9012")
    assert "1234" not in file.read_text()
    assert "123456789012" not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert staff_code.load(place) != staff_code.load(staff_code.store(tmp_path / "other", "1234-5678-9012").parent)
    assert [item.name for item in place.iterdir()] == [file.name]


@pytest.mark.parametrize(
    "typed", ["123456789012", "1234 5678 9012", " 1234-5678\u20139012 ", "١٢٣٤٥٦٧٨٩٠١٢", "१२३४ ५६७८ ९०१२"]
)
def test_spaces_hyphens_and_the_script_of_digits_do_not_matter(typed: str) -> None:
    assert CodeHash.of("1234-5678-9012").fits(typed)


@pytest.mark.parametrize("typed", ["", "123456789013", "1234", "1234567890123", "\ud800", "x" * 10_000])
def test_another_code_does_not_fit(typed: str) -> None:
    assert not CodeHash.of("1234-5678-9012").fits(typed)


def test_without_a_code_there_is_none_and_a_removed_one_is_gone(tmp_path: Path) -> None:
    assert staff_code.load(tmp_path / "none") is None
    staff_code.store(tmp_path, "1")
    assert staff_code.remove(tmp_path)
    assert staff_code.load(tmp_path) is None
    assert not staff_code.remove(tmp_path)


@pytest.mark.parametrize("change", [{"salt": "no hex"}, {"n": 3}, {"n": 1 << 40}, {"r": "x"}, {"hash": None}])
def test_a_damaged_code_opens_nothing(tmp_path: Path, change: dict[str, object]) -> None:
    file = staff_code.store(tmp_path, "1")
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(HostError, match="staff-code"):
        staff_code.load(tmp_path)


def test_each_wrong_code_after_the_third_costs_a_longer_wait() -> None:
    clock = Clock()
    gate = Gate(clock)
    waits = []
    for _ in range(14):
        gate.took(right=False)
        waits.append(gate.wait)
        clock.now += gate.wait
    assert waits[:5] == [0, 0, 5, 10, 20]
    assert waits[-1] == 600
    gate.took(right=True)
    gate.took(right=False)
    assert gate.wait == 0


def test_looking_on_does_not_keep_a_session_and_a_change_does() -> None:
    clock = Clock()
    sessions = StaffSessions(clock)
    session = sessions.open()
    clock.now += IDLE_SECONDS - 1
    assert sessions.use(session.cookie, session.token)
    clock.now += IDLE_SECONDS - 1
    assert sessions.find(session.cookie)
    clock.now += 1
    assert sessions.find(session.cookie) is None
    assert sessions.use(session.cookie, session.token) is None


def test_a_change_needs_cookie_and_token_of_one_session() -> None:
    sessions = StaffSessions()
    one, two = sessions.open(), sessions.open()
    assert sessions.use(one.cookie, two.token) is None
    assert sessions.use(one.cookie, None) is None
    assert sessions.use(None, one.token) is None
    assert sessions.use(one.cookie, "ü") is None
    for _ in range(9):
        sessions.open()
    assert sessions.find(one.cookie) is None, "there are never many"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Fees 2026.PDF", "Fees 2026.pdf"),
        ("C:\\Users\\desk\\fees.docx", "fees.docx"),
        ("../../etc/fees.html", "fees.html"),
        ("a\n\x00\u202eb .txt", "ab .txt"),
        ("مواعيد.md", "مواعيد.md"),
        ("x" * 500 + ".epub", "x" * 115 + ".epub"),
        ("fees.exe", None),
        ("pdf", None),
        (".pdf", None),
        ("..pdf", None),
        ("", None),
    ],
)
def test_a_name_is_one_plain_name_of_a_known_kind(given: str, kept: str | None) -> None:
    assert plain_name(given) == kept


def test_the_folder_is_the_chosen_one_or_the_services_or_one_by_the_bundles_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "service"))
    assert place_of("town", tmp_path / "chosen") == tmp_path / "chosen"
    assert place_of("town") == tmp_path / "service"
    monkeypatch.delenv(VARIABLE)
    assert place_of("town").name == "publicai-edge-town"
