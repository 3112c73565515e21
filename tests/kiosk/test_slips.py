"""Slips "This answer is wrong": what they hold, what they never hold, and how many there can be."""

import csv
import io
import json
import os
import stat
import sys
import threading
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from publicai_edge.bundle.open import Bundle
from publicai_edge.cli.slips import COLUMNS, table
from publicai_edge.errors import HostError
from publicai_edge.kiosk import slips as module
from publicai_edge.kiosk.sessions import COOKIE
from publicai_edge.kiosk.slips import BURST, MOST, Cited, Slip, Slips, SlipsFullError, TooManySlipsError
from tests.kiosk.conftest import Running, manifest, running, write_bundle
from tests.kiosk.fakes import FakeDocuments, FakeEngine

CANARY = "kanarienvogel-0815"
DAY = date(2026, 11, 30)
SLIP = Slip("ask", "en", "wrong", (Cited("rules.pdf", 3, "Loan periods"),))
FORM: dict[str, Any] = {
    "service": "ask",
    "language": "en",
    "reason": "outdated",
    "passages": [{"source": "rules.pdf", "passage": 2}],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "town-library"


@pytest.fixture
def slips(folder: Path) -> Slips:
    return Slips(folder, today=lambda: DAY)


def served(tmp_path: Path, slips: Slips | None, level: str) -> Any:
    bundle = write_bundle(tmp_path / f"bundle-{level}", manifest(slips=level))
    return running(bundle, FakeEngine(), FakeDocuments(), slips=slips)


@pytest.fixture
def kiosk(bundle: Bundle, slips: Slips) -> Iterator[Running]:
    with running(bundle, FakeEngine(), FakeDocuments(), slips=slips) as held:
        yield held


# --- what is kept ----------------------------------------------------------------------------------------------------


def test_a_slip_holds_the_day_and_what_it_is_about_and_nothing_else(kiosk: Running, slips: Slips) -> None:
    client = kiosk.client()
    client.cookies.set(COOKIE, CANARY, path="/api")
    answer = client.post("/api/slip", json=FORM, headers={"user-agent": CANARY})
    assert (answer.status_code, answer.json()) == (200, {"kept": True})
    assert "set-cookie" not in answer.headers
    assert len(kiosk.kiosk.sessions) == 0
    assert slips.read() == [
        {
            "day": "2026-11-30",
            "service": "ask",
            "language": "en",
            "reason": "outdated",
            "passages": [{"source": "rules.pdf", "page": 3, "heading": "Loan periods"}],
            "question": None,
            "words": None,
        }
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="no modes there")
def test_the_file_is_its_owners_alone_and_has_the_day_for_its_time(slips: Slips, folder: Path) -> None:
    slips.add(SLIP)
    told = slips.place.stat()
    assert stat.S_IMODE(told.st_mode) == 0o600
    assert datetime.fromtimestamp(told.st_mtime) == datetime(2026, 11, 30)
    assert sorted(place.name for place in folder.iterdir()) == [slips.place.name], "nothing else is left there"


def test_the_order_of_a_day_does_not_tell_who_came_last(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Slips(folder, today=lambda: date(2026, 11, 29))
    held.add(SLIP)
    today = Slips(folder, today=lambda: DAY)
    for back, reason in ((0, "first"), (1, "second"), (1, "third")):
        monkeypatch.setattr(module.secrets, "randbelow", lambda most, back=back: min(back, most - 1))
        today.add(Slip("ask", "en", reason))
    assert [slip["reason"] for slip in held.read()] == ["wrong", "second", "third", "first"]


def test_a_question_is_kept_only_where_it_is_sent_along(kiosk: Running, slips: Slips) -> None:
    client = kiosk.client()
    client.post("/api/ask", json={"service": "ask", "language": "en", "question": f"When does it open, {CANARY}?"})
    client.post("/api/slip", json=FORM)
    assert CANARY not in slips.place.read_text("utf-8")
    assert client.post("/api/slip", json=FORM | {"question": f" {CANARY}\x07? "}).status_code == 200
    assert {slip["question"] for slip in slips.read()} == {None, f"{CANARY}?"}


@pytest.mark.parametrize(
    ("level", "question", "words"),
    [("reasons", 400, 400), ("question", 200, 400), ("words", 200, 200), ("off", 404, 404)],
)
def test_the_recipe_says_what_may_be_sent_along(
    tmp_path: Path, slips: Slips, level: str, question: int, words: int
) -> None:
    with served(tmp_path, slips, level) as kiosk:
        client = kiosk.client()
        assert client.get("/api/kiosk").json()["slips"] == level
        assert client.post("/api/slip", json=FORM).status_code == (404 if level == "off" else 200)
        assert client.post("/api/slip", json=FORM | {"question": CANARY}).status_code == question
        assert client.post("/api/slip", json=FORM | {"words": CANARY}).status_code == words
    kept = slips.place.read_text("utf-8") if slips.place.exists() else ""
    assert (CANARY in kept) == (200 in {question, words})


def test_without_a_folder_there_are_no_slips(tmp_path: Path) -> None:
    with served(tmp_path, None, "words") as kiosk:
        assert kiosk.client().get("/api/kiosk").json()["slips"] == "off"
        assert kiosk.client().post("/api/slip", json=FORM).status_code == 404


@pytest.mark.parametrize(
    "change",
    [
        {"service": CANARY},
        {"language": "fr"},
        {"reason": CANARY[:20]},
        {"passages": [{"source": CANARY, "passage": 2}]},
        {"passages": [{"source": "rules.pdf", "passage": 2, "text": CANARY}]},
        {"passages": FORM["passages"] * 9},
        {"name": CANARY},
        {"question": CANARY * 300},
        {"reason": None},
        {"passages": [{"source": "rules.pdf", "passage": 1 << 60}]},
    ],
)
def test_what_is_not_a_slip_about_this_kiosk_is_refused_and_not_repeated(
    kiosk: Running, slips: Slips, change: dict[str, Any]
) -> None:
    answer = kiosk.client().post("/api/slip", json=FORM | change)
    assert answer.status_code == 400
    assert CANARY[:20] not in answer.text
    assert slips.read() == []


def test_a_passage_whose_document_changed_meanwhile_is_told_by_its_document(kiosk: Running, slips: Slips) -> None:
    changed = {"passages": [{"source": "rules.pdf", "passage": 999}]}
    assert kiosk.client().post("/api/slip", json=FORM | changed).status_code == 200
    assert slips.read()[0]["passages"] == [{"source": "rules.pdf", "page": None, "heading": ""}]


def test_another_sites_page_leaves_no_slip(kiosk: Running, slips: Slips) -> None:
    answer = httpx.post(f"{kiosk.url}/api/slip", json=FORM, headers={"origin": "http://elsewhere.example"}, timeout=60)
    assert answer.status_code == 403
    assert slips.read() == []


# --- bounds ----------------------------------------------------------------------------------------------------------


def test_slips_come_at_a_bounded_pace(folder: Path) -> None:
    now = 0.0
    held = Slips(folder, clock=lambda: now)
    for _ in range(BURST):
        held.may_come()
    with pytest.raises(TooManySlipsError) as caught:
        held.may_come()
    now += caught.value.seconds
    held.may_come()
    with pytest.raises(TooManySlipsError):
        held.may_come()
    now += 1e6
    for _ in range(BURST):
        held.may_come()
    with pytest.raises(TooManySlipsError):
        held.may_come()


def test_too_many_at_once_are_told_when_to_come_again(kiosk: Running, slips: Slips) -> None:
    client = kiosk.client()
    told = [client.post("/api/slip", json=FORM) for _ in range(BURST + 2)]
    assert [answer.status_code for answer in told[: BURST + 1]] == [200] * BURST + [429]
    assert int(told[BURST].headers["retry-after"]) > 0
    assert len(slips.read()) == BURST


def test_a_full_box_stays_as_it_is(slips: Slips, folder: Path) -> None:
    folder.mkdir(parents=True)
    line = json.dumps({"day": "2026-11-30", "reason": "wrong"})
    slips.place.write_text(f"{line}\n" * (MOST - 1))
    slips.add(SLIP)
    with pytest.raises(SlipsFullError):
        slips.add(SLIP)
    assert slips.count() == MOST


def test_bytes_are_bounded_too(slips: Slips, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    slips.add(Slip("ask", "en", "wrong", question="x" * 500))
    with pytest.raises(SlipsFullError):
        slips.add(Slip("ask", "en", "wrong", question="x" * 500))
    assert slips.place.stat().st_size < 1000


def test_a_full_box_and_a_disk_that_fails_are_told_in_a_sentence(
    kiosk: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raising(error: Exception) -> Any:
        def add(_self: Slips, _slip: Slip) -> None:
            raise error

        return add

    client = kiosk.client()
    for error, status, code in ((SlipsFullError(), 409, "full"), (HostError("The disk is full."), 503, "not_kept")):
        monkeypatch.setattr(Slips, "add", raising(error))
        answer = client.post("/api/slip", json=FORM)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_lines_that_are_no_slips_are_passed_over(slips: Slips, folder: Path) -> None:
    folder.mkdir(parents=True)
    slips.place.write_bytes(b'{"day": "2026-11-29", "reason": "wrong"}\n\xff\xfe\n[]\n{"day": 7}\n{"day": "2026-1')
    assert [slip["day"] for slip in slips.read()] == ["2026-11-29"]
    slips.add(SLIP)
    assert slips.count() == 2


def test_many_at_once_are_all_kept(slips: Slips, folder: Path) -> None:
    """Also by two processes: each has a lock of its own, and the folder's between them."""
    both = [slips, Slips(folder, today=lambda: DAY)]
    threads = [threading.Thread(target=both[number % 2].add, args=(SLIP,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert slips.count() == 16


# --- taking them -----------------------------------------------------------------------------------------------------


def test_what_was_read_is_removed_and_what_came_since_stays(slips: Slips) -> None:
    slips.add(SLIP)
    slips.add(SLIP)
    known = slips.read()
    slips.add(Slip("ask", "en", "other"))
    slips.remove(known)
    assert [slip["reason"] for slip in slips.read()] == ["other"]
    slips.remove(slips.read())
    assert not slips.place.exists()
    slips.remove([])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_box_of_another_user_says_who_may_read_it(slips: Slips) -> None:
    slips.add(SLIP)
    slips.place.chmod(0)
    with pytest.raises(HostError, match="No permission to read") as caught:
        slips.read()
    assert "or as root" in str(caught.value.hint)
    assert slips.count() is None


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1+1", " =1+1", "\r\n=1", "|calc", "%x", "\uff1d1+1", "=cmd|'/c calc'!A1"],
)
def test_no_cell_of_the_csv_is_a_formula(text: str) -> None:
    slip = {"day": "2026-11-30", "service": text, "language": text, "reason": text, "question": text, "words": text}
    cited = {"passages": [{"source": text, "page": 2, "heading": text}]}
    rows = list(csv.reader(io.StringIO(table([slip | cited]).decode("utf-8-sig"))))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 2
    for cell in rows[1][1:]:
        assert cell.startswith("'")
        assert cell[1:].strip() == cell[1:]


def test_the_csv_reads_as_the_staff_read(slips: Slips) -> None:
    slips.add(Slip("ask", "es", "wrong", SLIP.passages, question="¿Cuándo, «mañana»?\nDos líneas", words='a "b", c'))
    rows = list(csv.reader(io.StringIO(table(slips.read()).decode("utf-8-sig"))))
    assert rows[1] == [
        "2026-11-30",
        "ask",
        "es",
        "What it says is not right",
        "rules.pdf, page 3 (Loan periods)",
        "¿Cuándo, «mañana»? Dos líneas",
        'a "b", c',
    ]
