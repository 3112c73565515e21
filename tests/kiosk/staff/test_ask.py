"""Documents that staff added are found by ``publicai-edge ask`` as well, which changes nothing of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from publicai_edge.bundle.open import Bundle
from publicai_edge.cli import parts
from publicai_edge.kiosk.staff_place import VARIABLE, place_to_read
from tests.kiosk.staff import Staff, staffed
from tests.kiosk.staff.test_documents import QUESTION, TEXT

Eventually = Callable[[Callable[[], bool]], None]


def asked(bundle: Bundle, place: Path, question: str) -> tuple[list[str], list[str]]:
    """Return the sources that `ask` finds for a question, and what it warns of."""
    warnings: list[str] = []
    opener = parts.documents(bundle, parts.ReadAdditions(bundle, place, warnings.append))
    assert opener
    base = opener()
    try:
        return [hit.passage.source for hit in base.search(question, top=3, min_relevance=0.1)], warnings
    finally:
        base.close()  # type: ignore[attr-defined]


def snapshot(place: Path) -> dict[Path, tuple[int, bytes]]:
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in place.rglob("*") if path.is_file()}


def add(staff: Staff, eventually: Eventually) -> str:
    staff.upload("permits.md", TEXT)
    eventually(lambda: staff.state()["jobs"][-1]["state"] == "done")
    return str(next(item["subject"] for item in staff.documents() if item["kind"] == "added"))


def test_it_finds_what_the_kiosk_finds_while_that_runs_and_afterwards(
    library: Bundle, tmp_path: Path, eventually: Eventually
) -> None:
    assert asked(library, tmp_path, QUESTION)[1] == [], "nothing was ever added"
    with staffed(library, tmp_path) as kiosk:
        staff = kiosk.signed_in()
        subject = add(staff, eventually)
        found, warnings = asked(library, tmp_path, QUESTION)
        assert found[0].endswith("/permits.md")
        assert warnings == []
        staff.change("remove", subject)
        assert not any("permits" in source for source in asked(library, tmp_path, QUESTION)[0])
        staff.change("undo")
        staff.change("hide", "rules.md")
    before = snapshot(tmp_path)
    assert asked(library, tmp_path, QUESTION)[0][0].endswith("/permits.md")
    assert "rules.md" not in asked(library, tmp_path, "How long may films be kept?")[0]
    assert snapshot(tmp_path) == before, "it changes nothing"


@pytest.mark.parametrize("damage", ["index", "catalog"])
def test_additions_that_cannot_be_read_are_told_and_the_bundle_is_asked(
    library: Bundle, tmp_path: Path, eventually: Eventually, damage: str
) -> None:
    with staffed(library, tmp_path) as kiosk:
        add(kiosk.signed_in(), eventually)
    (file,) = (tmp_path / "documents").glob("index-*.sqlite" if damage == "index" else "catalog.json")
    file.write_bytes(b"damaged")
    found, (warning,) = asked(library, tmp_path, "How long may films be kept?")
    assert found[0] == "rules.md"
    assert warning.startswith("What staff added is not searched: ")
    assert str(file) in warning


def test_the_folder_of_a_service_is_read_where_the_user_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("platformdirs.user_state_path", lambda: tmp_path / "own")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    services, own = tmp_path / "services", tmp_path / "own" / "publicai-edge-town"
    assert place_to_read("town", services=services) == own
    (services / "publicai-edge-town").mkdir(parents=True)
    assert place_to_read("town", services=services) == services / "publicai-edge-town"
    assert place_to_read("town", tmp_path / "chosen", services=services) == tmp_path / "chosen"
    (own / "documents").mkdir(parents=True)
    assert place_to_read("town", services=services) == own
    monkeypatch.setenv(VARIABLE, str(tmp_path / "told"))
    assert place_to_read("town", services=services) == tmp_path / "told"
