"""What staff may do with a kiosk's documents, and what is left after a restart."""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from docx import Document
from reportlab.pdfgen import canvas

from publicai_edge.bundle.open import Bundle
from publicai_edge.engine.passages.store import Key, StateStore, files
from publicai_edge.kiosk import staff_code
from publicai_edge.kiosk.passage_states import digest_of
from publicai_edge.kiosk.staff_place import PASSAGES
from publicai_edge.knowledge import ocr
from publicai_edge.knowledge.added import shelf
from publicai_edge.knowledge.extractor import Limits
from tests.engine.passages.states import state
from tests.kiosk.conftest import manifest
from tests.kiosk.staff import CODE, OWN, Staff, Staffed, staffed, write_library
from tests.knowledge import scans
from tests.knowledge.books import book

Eventually = Callable[[Callable[[], bool]], None]
TEXT = b"# Parking permits\n\nResidents get a parking permit at counter seven of the town hall."
QUESTION = "Where do residents get a parking permit?"
CANARY = "kanarienvogel-1147"


@pytest.fixture
def ended(eventually: Eventually) -> Callable[..., dict[str, object]]:
    """Send a document, and wait until it is in or refused."""

    def send(staff: Staff, name: str, data: bytes) -> dict[str, object]:
        number = staff.upload(name, data).json()["job"]

        def job() -> dict[str, object]:
            (found,) = [item for item in staff.state()["jobs"] if item["number"] == number]
            return found

        eventually(lambda: job()["state"] in {"done", "failed"})
        return job()

    return send


def pdf() -> bytes:
    buffer = io.BytesIO()
    page = canvas.Canvas(buffer)
    page.drawString(72, 700, "Residents get a parking permit at counter seven.")
    page.save()
    return buffer.getvalue()


def docx() -> bytes:
    document = Document()
    document.add_heading("Parking permits", 1)
    document.add_paragraph("Residents get a parking permit at counter seven.")
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


FORMATS = {
    "permits.pdf": pdf,
    "permits.docx": docx,
    "permits.html": lambda: b"<h1>Parking permits</h1><p>Residents get a parking permit at counter seven.</p>",
    "permits.txt": lambda: b"Parking permits\n\nResidents get a parking permit at counter seven.",
    "permits.md": lambda: TEXT,
    "permits.epub": lambda: book(
        {"OEBPS/text/two.xhtml": "<html><body><p>Residents get a parking permit at counter seven.</p></body></html>"}
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_document_of_each_format_is_added_and_found_by_patrons(
    staff: Staff, ended: Callable[..., dict[str, object]], name: str
) -> None:
    assert not any("added/" in source for source in staff.found(QUESTION))
    job = ended(staff, name, FORMATS[name]())
    assert (job["state"], job["detail"]) == ("done", "")
    source = next(found for found in staff.found(QUESTION) if found.startswith("added/"))
    assert source.endswith(name)
    passages = staff.client.get(f"/api/documents/{source}").json()["passages"]
    assert any("counter seven" in passage["text"] for passage in passages)


PERMITS = "Residents get a parking permit at counter seven of the town hall."


def recognizing(root: Path) -> Bundle:
    """Write a bundle that was built with ``ocr = true``."""
    content = manifest()
    assert content.knowledge
    return write_library(
        root, content.model_copy(update={"knowledge": content.knowledge.model_copy(update={"ocr": True})})
    )


def test_a_scan_says_that_it_holds_only_pictures(staff: Staff, ended: Callable[..., dict[str, object]]) -> None:
    job = ended(staff, "permits.pdf", scans.pdf([scans.picture(PERMITS)]))
    assert (job["state"], job["code"]) == ("failed", "unreadable")
    assert job["detail"] == "it has no text layer: on its one page are only pictures, as a scanner makes them"


def test_a_scan_is_recognised_where_the_bundles_own_were(
    tmp_path: Path, ended: Callable[..., dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = recognizing(tmp_path / "bundle")
    with staffed(bundle, tmp_path / "with") as kiosk:
        staff = kiosk.signed_in()
        job = ended(staff, "permits.pdf", scans.pdf([scans.picture(PERMITS)]))
        assert (job["state"], job["detail"]) == ("done", "")
        source = next(found for found in staff.found(QUESTION) if found.startswith("added/"))
        (passage,) = staff.client.get(f"/api/documents/{source}").json()["passages"]
        assert passage["text"] == PERMITS
    monkeypatch.setattr(ocr, "models", lambda: None)
    with staffed(bundle, tmp_path / "without") as kiosk:
        assert "only pictures" in str(
            ended(kiosk.signed_in(), "permits.pdf", scans.pdf([scans.picture(PERMITS)]))["detail"]
        )


def test_an_added_document_is_found_after_a_restart_and_undone_then(
    library: Bundle, tmp_path: Path, ended: Callable[..., dict[str, object]]
) -> None:
    with staffed(library, tmp_path) as first:
        ended(first.signed_in(), "permits.md", TEXT)
    with staffed(library, tmp_path) as second:
        staff = second.signed_in()
        assert any("added/" in source for source in staff.found(QUESTION))
        assert staff.change("undo").status_code == 200
        assert not any("added/" in source for source in staff.found(QUESTION))
    with staffed(library, tmp_path) as third:
        assert third.signed_in().titles() == ["Borrowing rules", "Opening hours"]


def test_each_change_is_taken_back_in_turn(staff: Staff, ended: Callable[..., dict[str, object]]) -> None:
    ended(staff, "permits.md", TEXT)
    (subject,) = [item["subject"] for item in staff.documents() if item["kind"] == "added"]
    staff.change("remove", subject)
    assert staff.found(QUESTION) == [] or not any("added/" in source for source in staff.found(QUESTION))
    staff.change("hide", "rules.md")
    assert staff.client.get("/api/documents/rules.md").status_code == 404
    assert staff.titles() == ["Opening hours"]
    assert [item["kind"] for item in staff.state()["changes"]] == ["hide", "remove", "add"]
    staff.change("undo")
    assert staff.client.get("/api/documents/rules.md").status_code == 200
    staff.change("undo")
    assert any("added/" in source for source in staff.found(QUESTION))
    staff.change("undo")
    assert not any("added/" in source for source in staff.found(QUESTION))
    assert staff.change("undo").json()["error"]["code"] == "gone"


def test_the_status_page_counts_what_staff_added_and_hid(staff: Staff, ended: Callable[..., dict[str, object]]) -> None:
    def told() -> tuple[int, int]:
        found = staff.client.get("/api/operator-status").json()["documents"]
        return found["documents"], found["passages"]

    documents, passages = told()
    ended(staff, "permits.md", TEXT)
    (added,) = [item for item in staff.documents() if item["kind"] == "added"]
    assert told() == (documents + 1, passages + added["passages"])
    staff.change("hide", "rules.md")
    assert told() == (documents, passages + added["passages"] - 1)
    staff.change("remove", added["subject"])
    assert told() == (documents - 1, passages - 1)


def test_a_removed_document_can_be_added_again(staff: Staff, ended: Callable[..., dict[str, object]]) -> None:
    ended(staff, "permits.md", TEXT)
    (subject,) = [item["subject"] for item in staff.documents() if item["kind"] == "added"]
    staff.change("remove", subject)
    assert ended(staff, "again.md", TEXT)["state"] == "done"
    assert any(source.endswith("/again.md") for source in staff.found(QUESTION))


# Words that stand in the text, in the title and in the name of a document, and in no other.
SECRET = b"# Minutes of the Quincunx Committee\n\nThe committee met and spoke of nothing but zygomorphic flowers."
SECRET_NAME = "xylograph.md"
SECRET_WORDS = [b"quincunx", b"zygomorphic", b"xylograph"]


def holding(folder: Path, words: list[bytes]) -> list[str]:
    """Return the files below a folder that hold one of these words, in their content or their name."""
    found = []
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):  # it was removed meanwhile
            content = path.read_bytes().lower() + str(path).lower().encode()
            if any(word in content for word in words):
                found.append(str(path.relative_to(folder)))
    return found


@pytest.fixture
def secret(staff: Staff, ended: Callable[..., dict[str, object]]) -> str:
    """Add a document among two others; return its id."""
    ended(staff, "permits.md", TEXT)
    ended(staff, SECRET_NAME, SECRET)
    ended(staff, "visitors.md", b"# Visitors\n\nA visitor gets a permit for a day.")
    (subject,) = [item["subject"] for item in staff.documents() if item["name"] == SECRET_NAME]
    return str(subject)


def erased(staff: Staff) -> bool:
    return [job["state"] for job in staff.state()["jobs"] if "Quincunx" in job["name"]] == ["erased"]


@pytest.mark.parametrize("removed_before", [False, True])
def test_what_was_deleted_for_good_is_in_no_file_and_cannot_be_brought_back(
    kiosk: Staffed, staff: Staff, secret: str, eventually: Eventually, *, removed_before: bool
) -> None:
    place = kiosk.desk.place
    if removed_before:
        staff.change("remove", secret)
    for word in SECRET_WORDS:
        assert holding(place, [word]), "before, it is there, also when it was removed"
    assert staff.change("delete", secret).status_code == 200
    assert not any("xylograph" in source for source in staff.found("What did the Quincunx Committee speak of?"))
    eventually(lambda: erased(staff))
    assert holding(place, SECRET_WORDS) == []
    assert [item["kind"] for item in staff.state()["changes"]] == ["add", "add"]
    assert any("added/" in source for source in staff.found(QUESTION)), "the others are found"
    while staff.change("undo").status_code == 200:
        pass
    assert not any("xylograph" in source for source in staff.found("What did the Quincunx Committee speak of?"))
    assert holding(place, SECRET_WORDS) == []
    assert staff.change("delete", secret).json()["error"]["code"] == "gone"


def test_the_last_document_is_deleted_for_good_and_can_be_added_again(
    kiosk: Staffed, staff: Staff, ended: Callable[..., dict[str, object]], eventually: Eventually
) -> None:
    ended(staff, SECRET_NAME, SECRET)
    (subject,) = [item["subject"] for item in staff.documents() if item["kind"] == "added"]
    staff.change("delete", subject)
    eventually(lambda: erased(staff))
    assert holding(kiosk.desk.place, SECRET_WORDS) == []
    assert staff.found("How long may films be kept?")[0] == "rules.md"
    assert ended(staff, SECRET_NAME, SECRET)["state"] == "done"
    assert any("xylograph" in source for source in staff.found("What did the Quincunx Committee speak of?"))


def test_an_erasing_that_was_cut_off_is_ended_at_the_next_start(
    library: Bundle, tmp_path: Path, ended: Callable[..., dict[str, object]], eventually: Eventually
) -> None:
    with staffed(library, tmp_path) as first:
        staff = first.signed_in()
        ended(staff, "permits.md", TEXT)
        ended(staff, SECRET_NAME, SECRET)
        (subject,) = [item["subject"] for item in staff.documents() if item["name"] == SECRET_NAME]
        with first.desk._folder.changing() as catalog:
            first.desk._folder.commit(catalog.deleting(subject))
    assert holding(tmp_path, SECRET_WORDS)
    with staffed(library, tmp_path) as second:
        eventually(lambda: holding(tmp_path, SECRET_WORDS) == [])
        assert any("added/" in source for source in second.signed_in().found(QUESTION))


def test_what_cannot_be_erased_is_told_and_not_found_any_more(
    kiosk: Staffed, staff: Staff, secret: str, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(shelf, "erase", refuses)
    staff.change("delete", secret)
    eventually(lambda: staff.state()["jobs"][-1]["state"] == "failed")
    assert staff.state()["jobs"][-1]["code"] == "not_erased"
    assert not any("xylograph" in source for source in staff.found("What did the Quincunx Committee speak of?"))
    assert kiosk.desk.place.exists()


def test_a_removed_document_is_listed_as_long_as_it_can_be_brought_back(staff: Staff, secret: str) -> None:
    staff.change("remove", secret)
    kinds = {item["name"]: item["kind"] for item in staff.documents()}
    assert (kinds[SECRET_NAME], kinds["permits.md"], kinds["hours.md"]) == ("removed", "added", "bundle")
    staff.change("undo")
    assert {item["name"]: item["kind"] for item in staff.documents()}[SECRET_NAME] == "added"


def test_the_same_document_twice_is_told(staff: Staff, ended: Callable[..., dict[str, object]]) -> None:
    ended(staff, "permits.md", TEXT)
    again = ended(staff, "other name.md", TEXT)
    assert (again["state"], again["code"], again["title"]) == ("failed", "same", "Parking permits")
    own = ended(staff, "hours.md", OWN["hours.md"].encode())
    assert (own["state"], own["code"], own["title"]) == ("failed", "same", "Opening hours")
    assert len(staff.titles()) == 3


def test_a_document_that_breaks_its_reader_costs_only_itself(
    library: Bundle, tmp_path: Path, ended: Callable[..., dict[str, object]]
) -> None:
    limits = Limits(seconds=20, file_bytes=100 << 20, characters=100_000, memory_bytes=400 << 20)
    with staffed(library, tmp_path, limits=limits) as kiosk:
        staff = kiosk.signed_in()
        for name, data, said in (
            ("broken.pdf", b"%PDF-1.7 broken", "it is damaged"),
            ("huge.html", b"<p>word</p>" * 2_000_000, ""),  # lxml has several words for too little memory
            ("long.txt", b"word " * 40_000, "100,000 characters"),
            ("none.docx", b"no zip", "it is damaged"),
        ):
            job = ended(staff, name, data)
            assert (job["state"], job["code"]) == ("failed", "unreadable")
            assert said in str(job["detail"])
        assert ended(staff, "permits.md", TEXT)["state"] == "done"
        assert len(staff.state()["changes"]) == 1
        assert len(list((tmp_path / "documents" / "originals").iterdir())) == 1
        assert list((tmp_path / "documents" / "incoming").iterdir()) == []


def test_limits_are_told_before_and_kept(
    library: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: Callable[..., dict[str, object]]
) -> None:
    monkeypatch.setattr("publicai_edge.kiosk.staff_desk.MOST_DOCUMENTS", 1)
    with staffed(library, tmp_path, limits=Limits(file_bytes=200)) as kiosk:
        staff = kiosk.signed_in()
        told = staff.state()["limits"]
        assert (told["file_bytes"], told["documents"], told["added"]) == (200, 1, 0)
        assert told["free_bytes"] > 0
        assert staff.upload("big.txt", b"x" * 201).json()["error"]["code"] == "too_large"
        assert staff.upload("tool.exe", b"x").json()["error"]["code"] == "wrong_kind"
        with monkeypatch.context() as full:
            full.setattr(shelf, "FREE_BYTES", 1 << 60)
            assert staff.upload("permits.md", TEXT).json()["error"]["code"] == "no_space"
        ended(staff, "permits.md", TEXT)
        assert staff.upload("more.md", b"# More\n\ntext").json()["error"]["code"] == "too_many"


def test_a_piece_is_taken_only_in_its_place(staff: Staff) -> None:
    begun = staff.client.post("/api/staff/uploads", json={"name": "a.txt", "size": 10}, headers=staff.headers)
    place = f"/api/staff/uploads/{begun.json()['upload']}"
    for at, piece in ((5, b"12345"), (0, b"12345678901")):
        taken = staff.client.put(place, params={"at": at}, content=piece, headers=staff.headers)
        assert taken.json()["error"]["code"] == "wrong_piece"
    assert staff.client.post(f"{place}/end", headers=staff.headers).status_code == 409
    assert staff.client.put("/api/staff/uploads/none?at=0", content=b"x", headers=staff.headers).status_code == 404


def test_an_index_that_is_lost_is_made_anew_at_the_start(
    library: Bundle, tmp_path: Path, ended: Callable[..., dict[str, object]], eventually: Eventually
) -> None:
    with staffed(library, tmp_path) as first:
        ended(first.signed_in(), "permits.md", TEXT)
    (index,) = (tmp_path / "documents").glob("index-*.sqlite")
    index.write_bytes(b"damaged")
    with staffed(library, tmp_path) as second:
        staff = second.signed_in()
        eventually(lambda: any("added/" in source for source in staff.found(QUESTION)))


def test_where_nothing_can_be_written_the_page_says_so_and_the_kiosk_serves(library: Bundle, tmp_path: Path) -> None:
    staff_code.store(tmp_path, CODE)
    (tmp_path / "documents").write_text("a file is in the way")
    with staffed(library, tmp_path, code=None) as kiosk:
        staff = kiosk.signed_in()
        refusal = staff.state()["refusal"]
        assert refusal["code"] == "cannot"
        assert str(tmp_path / "documents") in refusal["detail"]
        assert staff.upload("permits.md", TEXT).json()["error"]["code"] == "cannot"
        assert staff.change("hide", "rules.md").json()["error"]["code"] == "cannot"
        assert staff.found("How long may films be kept?")[0] == "rules.md"


def test_two_kiosks_do_not_change_one_folder(library: Bundle, tmp_path: Path) -> None:
    with staffed(library, tmp_path) as first, staffed(library, tmp_path, code=None) as second:
        assert first.signed_in().state()["refusal"] is None
        assert "Another kiosk" in second.signed_in().state()["refusal"]["detail"]


def test_what_was_computed_of_a_document_goes_with_it(kiosk: Staffed, staff: Staff) -> None:
    folder = kiosk.desk.place / PASSAGES
    held = StateStore(folder, "a" * 64, 1 << 30)
    documents = kiosk.desk._folder.library.combined
    names = {source: [digest_of(passage) for passage in documents.document(source)] for source in OWN}
    for name in (name for group in names.values() for name in group):
        held.write(Key("c" * 64, name), range(10), state())
    assert staff.change("hide", "rules.md").status_code == 200
    assert {file.stem for file in files(folder)} == set(names["hours.md"])
    assert staff.change("undo").status_code == 200
    assert {file.stem for file in files(folder)} == set(names["hours.md"]), "the kiosk computes it again"


@pytest.mark.parametrize("change", ["remove", "delete", "undo"])
def test_what_was_computed_of_an_added_document_goes_with_it(
    kiosk: Staffed, staff: Staff, ended: Callable[..., dict[str, object]], change: str
) -> None:
    assert ended(staff, "permits.md", TEXT)["state"] == "done"
    (added,) = [item for item in staff.documents() if item["kind"] == "added"]
    (name,) = {digest_of(passage) for passage in kiosk.desk._folder.library.combined.document(added["source"])}
    folder = kiosk.desk.place / PASSAGES
    StateStore(folder, "a" * 64, 1 << 30).write(Key("c" * 64, name), range(10), state())
    assert staff.change(change, "" if change == "undo" else added["subject"]).status_code == 200
    assert not list(files(folder))
    assert added["source"] not in staff.found(QUESTION)
