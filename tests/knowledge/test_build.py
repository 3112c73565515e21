import shutil
import time

import apsw
import pytest

from publicai_edge.engine.embedder import Embedder
from publicai_edge.errors import DocumentError, ModelError
from publicai_edge.knowledge import IndexSettings, build_index
from publicai_edge.knowledge.extractor import Limits
from publicai_edge.progress import Recorder, Silent
from publicai_edge.search import KnowledgeBase

SETTINGS = IndexSettings(passage_words=120)


@pytest.fixture
def documents(tmp_path):
    """Write a document and add it to the set."""
    found = {}

    def add(name, data):
        path = tmp_path / f"document-{len(found)}"
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        found[name] = path
        return found

    return add


def test_the_demo_documents_are_all_indexed(demo_documents, embedder_folder, tmp_path):
    progress = Recorder()
    report, child = build_index(demo_documents, embedder_folder, tmp_path / "k.sqlite", SETTINGS, progress)
    assert (report.documents, report.skipped) == (10, ())
    assert report.passages > 40
    assert progress.warnings == []
    assert 0 < child.peak_rss_bytes < 500e6
    assert [path.name for path in tmp_path.iterdir()] == ["k.sqlite"]


def test_the_same_documents_in_another_folder_give_the_same_bytes(demo_documents, embedder_folder, tmp_path):
    moved = {name: tmp_path / "moved" / name for name in reversed(demo_documents)}
    (tmp_path / "moved").mkdir()
    for name, path in moved.items():
        shutil.copyfile(demo_documents[name], path)
    build_index(demo_documents, embedder_folder, tmp_path / "one.sqlite", SETTINGS, Silent())
    build_index(moved, embedder_folder, tmp_path / "moved" / "two.sqlite", SETTINGS, Silent())
    one = (tmp_path / "one.sqlite").read_bytes()
    assert one == (tmp_path / "moved" / "two.sqlite").read_bytes()
    assert str(tmp_path).encode() not in one


def test_a_broken_document_is_skipped_by_name_and_reason(documents, embedder_folder, tmp_path):
    documents("good.md", "# Good\n\nThe desk opens at nine.")
    documents("empty.txt", "")
    found = documents("sub/broken.pdf", b"%PDF-1.7 broken")
    progress = Recorder()
    report, _ = build_index(found, embedder_folder, tmp_path / "k.sqlite", SETTINGS, progress)
    assert (report.documents, report.passages) == (1, 1)
    assert [item.name for item in report.skipped] == ["empty.txt", "sub/broken.pdf"]
    assert report.skipped[0].reason == "it is empty"
    assert progress.warnings[0] == "Skipped empty.txt: it is empty."
    assert progress.warnings[1].startswith("Skipped sub/broken.pdf: it is damaged")


def test_a_document_that_is_gone_is_skipped_by_name(documents, embedder_folder, tmp_path):
    found = documents("good.md", "# Good\n\ntext") | {"gone.md": tmp_path / "gone.md"}
    report, _ = build_index(found, embedder_folder, tmp_path / "k.sqlite", SETTINGS, Silent())
    assert "cannot be opened" in report.skipped[0].reason


def test_a_guessed_encoding_is_warned_of(documents, embedder_folder, tmp_path):
    found = documents("old.txt", b"A\xf1o\n\ncaf\xe9 est\xe1 abierto.")
    progress = Recorder()
    build_index(found, embedder_folder, tmp_path / "k.sqlite", SETTINGS, progress)
    assert progress.warnings[0].startswith("old.txt is not UTF-8")


def test_when_no_document_can_be_read_each_is_named_and_nothing_is_written(documents, embedder_folder, tmp_path):
    documents("a.txt", "")
    found = documents("b.docx", b"no zip")
    out = tmp_path / "out" / "k.sqlite"
    with pytest.raises(DocumentError, match=r"(?s)None of the 2 documents.*a\.txt: it is empty.*b\.docx: "):
        build_index(found, embedder_folder, out, SETTINGS, Silent())
    assert not out.parent.exists()


def test_no_documents_are_an_error(embedder_folder, tmp_path):
    with pytest.raises(DocumentError, match="no documents"):
        build_index({}, embedder_folder, tmp_path / "k.sqlite", SETTINGS, Silent())


def test_a_document_that_takes_too_long_is_ended_and_the_next_one_is_read(documents, embedder_folder, tmp_path):
    import os

    documents("after.md", "# After\n\ntext")
    found = dict(documents("also.md", "# Also\n\ntext"))
    os.mkfifo(tmp_path / "never")  # opening it waits for a writer that never comes, as a parser's loop would
    found["before.md"] = tmp_path / "never"
    settings = IndexSettings(120, Limits(seconds=8))
    started = time.monotonic()
    report, _ = build_index(found, embedder_folder, tmp_path / "k.sqlite", settings, Silent())
    assert time.monotonic() - started < 60
    assert report.documents == 2
    assert [(item.name, item.reason) for item in report.skipped] == [("before.md", "reading it takes longer than 8 s")]


def test_a_document_that_wants_too_much_memory_is_skipped(documents, embedder_folder, tmp_path):
    documents("good.md", "# Good\n\ntext")
    found = documents("huge.html", "<p>word</p>" * 2_000_000)
    settings = IndexSettings(120, Limits(memory_bytes=400 << 20))
    report, _ = build_index(found, embedder_folder, tmp_path / "k.sqlite", settings, Silent())
    assert [item.name for item in report.skipped] == ["huge.html"]
    assert report.documents == 1


def test_a_name_stands_in_for_a_missing_title(documents, embedder_folder, tmp_path):
    found = documents("fees/room_hire-2026.md", "Ten euros an hour.")
    build_index(found, embedder_folder, tmp_path / "k.sqlite", SETTINGS, Silent())
    base = KnowledgeBase.open(tmp_path / "k.sqlite", Embedder.open(embedder_folder))
    (passage,) = base.document("fees/room_hire-2026.md")
    base.close()
    assert passage.document == "room hire 2026"


def test_a_broken_embedding_model_is_a_model_error(documents, tmp_path):
    found = documents("good.md", "# Good\n\ntext")
    with pytest.raises(ModelError, match=r"embedding\.json"):
        build_index(found, tmp_path / "none", tmp_path / "k.sqlite", SETTINGS, Silent())


def test_an_old_index_stays_when_a_new_one_fails(documents, embedder_folder, tmp_path):
    out = tmp_path / "k.sqlite"
    build_index(documents("good.md", "# Good\n\ntext"), embedder_folder, out, SETTINGS, Silent())
    before = out.read_bytes()
    with pytest.raises(DocumentError):
        build_index({"gone.md": tmp_path / "gone"}, embedder_folder, out, SETTINGS, Silent())
    assert out.read_bytes() == before


def test_the_index_says_what_built_it(documents, embedder_folder, tmp_path):
    build_index(documents("a.md", "# A\n\ntext"), embedder_folder, tmp_path / "k.sqlite", SETTINGS, Silent())
    connection = apsw.Connection(str(tmp_path / "k.sqlite"))
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    assert connection.execute("PRAGMA integrity_check").get == "ok"
    connection.close()
    fingerprint = Embedder.open(embedder_folder).fingerprint
    assert meta == {"format": "3", "dim": "384", "embedder": fingerprint, "languages": ""}


def test_the_languages_of_the_passages_are_counted(documents, embedder_folder, tmp_path):
    text = "# Loans\n\nBooks may be kept for three weeks, and films for one week.\n\n## Préstamos\n\n"
    text += "Los libros se prestan por tres semanas y las películas por una semana. Se pueden renovar dos veces.\n"
    documents("b.txt", "A38 | 4.50")
    report, _ = build_index(documents("a.md", text), embedder_folder, tmp_path / "k", SETTINGS, Silent())
    assert report.languages == {"": 1, "en": 1, "es": 1}
