"""The folder of what was added: whole at every moment, and quick to index anew."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from publicai_edge.engine.embedder import Embedder
from publicai_edge.errors import BundleError, DocumentError, HostError
from publicai_edge.knowledge.added.catalog import Added
from publicai_edge.knowledge.added.shelf import ORIGINAL, Shelf
from publicai_edge.knowledge.extractor import Limits
from publicai_edge.progress import Silent, Task, Unit
from publicai_edge.search import KnowledgeBase
from tests.kiosk.test_embeddings import write_model

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search model of a few words: small, and real."""
    folder = tmp_path_factory.mktemp("model")
    write_model(folder)
    return folder


class Counting(Silent):
    def __init__(self) -> None:
        self.opened: list[str] = []

    def task(self, label: str, *, total: int | None = None, unit: Unit = "items") -> Task:
        self.opened.append(f"{label} {total}")
        return Task()


def take(shelf: Shelf, text: str, name: str) -> Added:
    shelf.check()
    incoming = shelf.incoming()
    (incoming / ORIGINAL).write_text(text, "utf-8")
    return shelf.take_in(incoming, name)


def add(shelf: Shelf, model: Path, text: str, name: str, limits: Limits | None = None) -> Added:
    document = take(shelf, text, name)
    ready = shelf.build(model, Silent(), document, *([limits] if limits else []))
    shelf.commit(shelf.catalog.with_added(replace(document, title=name, passages=1), ready.generation))
    return document


def test_a_document_is_indexed_and_found_again_by_another_process(model: Path, tmp_path: Path) -> None:
    add(Shelf(tmp_path / "state"), model, "Opening hours\n\nThe mill opens at nine.", "mill.txt")
    shelf = Shelf(tmp_path / "state")
    (document,) = shelf.load().added
    base = KnowledgeBase.open(shelf.index, Embedder.open(model))
    assert "opens at nine" in base.document(document.source)[0].text
    base.close()
    assert (shelf.place(document) / ORIGINAL).read_text().startswith("Opening hours")


def test_what_was_read_once_is_not_read_again_for_the_next_document(model: Path, tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    first = add(shelf, model, "Opening hours\n\nThe mill opens at nine.", "mill.txt")
    (shelf.place(first) / ORIGINAL).unlink()
    second = add(shelf, model, "Books\n\nBooks are lent.", "books.txt")
    base = KnowledgeBase.open(shelf.index, Embedder.open(model))
    assert len(base) == 2
    assert base.document(first.source)
    assert base.document(second.source)
    base.close()


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"not numpy at all" * 99, None])
def test_kept_vectors_that_are_damaged_are_made_anew(model: Path, tmp_path: Path, damage: bytes | None) -> None:
    shelf = Shelf(tmp_path)
    document = add(shelf, model, "Opening hours\n\nBooks are lent.", "mill.txt")
    before = shelf.index.read_bytes()
    (kept,) = shelf.place(document).glob("vectors-*.npy")
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-7] if damage is None else damage)
    (shelf.place(document) / "read.json").write_text('{"title": 1}')
    assert shelf.build(model, Silent()).path.read_bytes() == before
    assert kept.read_bytes() == whole


def test_another_search_model_refuses_the_old_index_and_makes_its_own(model: Path, tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "state")
    document = add(shelf, model, "Opening hours\n\nBooks are lent.", "mill.txt")
    other = tmp_path / "other"
    shutil.copytree(model, other)
    config = (other / "embedding.json").read_text()
    (other / "embedding.json").write_text(config.replace('"q "', '"ask "'))
    assert (other / "embedding.json").read_text() != config
    with pytest.raises(BundleError, match="another embedding model"):
        KnowledgeBase.open(shelf.index, Embedder.open(other))
    ready = shelf.build(other, Silent())
    base = KnowledgeBase.open(ready.path, Embedder.open(other))
    assert base.document(document.source)
    base.close()


def test_a_document_that_cannot_be_read_is_refused_by_its_reader(model: Path, tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    good = add(shelf, model, "Opening hours\n\nBooks are lent.", "mill.txt")
    with pytest.raises(DocumentError, match="it is damaged"):
        add(shelf, model, "%PDF-1.7 broken", "mill.pdf")
    with pytest.raises(DocumentError):
        add(shelf, model, "<p>word</p>" * 2_000_000, "huge.html", Limits(memory_bytes=400 << 20))
    assert shelf.load().added[0].id == good.id
    shelf.sweep()
    assert [place.name for place in (tmp_path / "originals").iterdir()] == [good.id]


def test_progress_is_told_by_document(model: Path, tmp_path: Path) -> None:
    shelf, told = Shelf(tmp_path), Counting()
    document = take(shelf, "Opening hours\n\nBooks are lent.", "mill.txt")
    shelf.build(model, told, document)
    assert told.opened == [f"{document.source} 1"]


def test_a_folder_that_cannot_be_written_is_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(HostError, match=r"file/documents"):
        Shelf(tmp_path / "file" / "documents").check()


def run(folder: Path, call: int) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tests.knowledge.added.killed", str(folder), str(call)]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)


def test_a_kill_at_any_moment_leaves_the_old_documents_or_the_new_ones(tmp_path: Path) -> None:
    before = tmp_path / "before"
    shelf = Shelf(before)
    old = take(shelf, "The old document.", "old.txt")
    (before / "index-1.sqlite").write_bytes(b"index of one")
    shelf.commit(shelf.catalog.with_added(replace(old, title="Old", passages=1), 1))
    whole = tmp_path / "whole"
    shutil.copytree(before, whole)
    done = run(whole, 0)
    assert done.returncode == 0, done.stderr
    seen = set()
    for call in range(1, int(done.stdout) + 1):
        folder = tmp_path / f"killed-{call}"
        shutil.copytree(before, folder)
        assert run(folder, call).returncode == -9
        left = Shelf(folder)
        names = tuple(item.name for item in left.load().added)
        assert names in {("old.txt",), ("old.txt", "new.txt")}
        seen.add(names)
        assert left.index.read_bytes() == (b"index of two" if len(names) > 1 else b"index of one")
        assert all((left.place(item) / ORIGINAL).is_file() for item in left.catalog.added)
        left.sweep()
        tidy = {place.name for place in folder.iterdir()}
        assert tidy <= {"catalog.json", left.index.name, "originals", "incoming"}
        assert {place.name for place in (folder / "originals").iterdir()} == {item.id for item in left.catalog.kept}
        assert run(folder, 0).returncode == 0, "a plain rerun succeeds"
    assert len(seen) == 2
