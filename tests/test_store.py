"""The store: objects by digest, complete or absent, hashed once."""

import os
import subprocess
from pathlib import Path

import pytest

from publicai_edge import atomic, digest
from publicai_edge.artifact import Blob, FileSet, check_relative
from publicai_edge.errors import HostError, NotFoundError
from publicai_edge.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_adopted_file_is_named_by_its_digest_and_read_only(store: Store) -> None:
    with store.scratch() as folder:
        (folder / "a").write_bytes(b"hello")
        blob = store.adopt(folder / "a")
    assert blob == Blob(digest.of_bytes(b"hello"), 5)
    assert store.path(blob).read_bytes() == b"hello"
    assert store.path(blob).stat().st_mode & 0o222 == 0


def test_local_file_is_hashed_once_until_it_changes(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "doc.txt"
    source.write_bytes(b"one")
    read: list[int] = []
    assert store.add_copy(source, read.append) == store.add_copy(source, read.append)
    assert sum(read) == 3
    source.write_bytes(b"other")
    assert store.add_copy(source, read.append).size == 5
    assert sum(read) == 8


def test_truncated_object_does_not_count_as_there(store: Store) -> None:
    blob = store.add_bytes(b"hello")
    store.path(blob).chmod(0o644)
    store.path(blob).write_bytes(b"hell")
    assert not store.has(blob)


def test_object_that_was_written_to_does_not_count_as_there_and_is_stored_anew(store: Store) -> None:
    blob = store.add_bytes(b"hello")
    store.path(blob).chmod(0o644)
    with store.path(blob).open("r+b") as stream:
        stream.write(b"J")
    assert not store.has(blob)
    assert store.add_bytes(b"hello") == blob
    assert store.has(blob)
    assert store.read_bytes(blob) == b"hello"


def test_lost_object_is_a_clear_error(store: Store) -> None:
    with pytest.raises(NotFoundError, match="has lost object"):
        store.read_bytes(Blob("a" * 64, 1))


def test_damaged_record_is_dropped(store: Store) -> None:
    key = digest.of_bytes(b"k")
    store.write_record("stage", key, {"a": 1})
    assert store.record("stage", key) == {"a": 1}
    (store.root / "steps" / "stage" / f"{key}.json").write_text("{half")
    assert store.record("stage", key) is None


def test_key_that_is_no_digest_never_becomes_a_path(store: Store) -> None:
    with pytest.raises(ValueError, match="not a sha256 digest"):
        store.record("stage", "../../etc/passwd")


@pytest.mark.parametrize("path", ["", "/a", "a/../b", "./a", "a//b", "a\\b", "C:/x", "a/", "..", "a\0b"])
def test_paths_that_are_not_plain_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="not a plain relative path"):
        check_relative(path)


def test_store_that_cannot_be_made_names_the_place(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file stands in the way")
    with pytest.raises(HostError, match=r"Cannot write .*store"):
        Store(tmp_path / "store").add_bytes(b"x")


def test_scratch_left_by_a_killed_run_is_swept(store: Store) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    machine = atomic.temp_prefix().split("-")[1]
    stale = store.work / f".tmp-{machine}-{dead.pid}-x"
    ours = store.work / f"{atomic.temp_prefix()}y"
    elsewhere = store.work / ".tmp-00000000-1-z"
    for folder in (stale, ours, elsewhere):
        folder.mkdir(parents=True)
    with store.scratch():
        assert not stale.exists()
        assert ours.exists()
        assert elsewhere.exists()
    os.utime(elsewhere, (1, 1))
    with store.scratch():
        assert not elsewhere.exists()


def test_exported_set_lies_in_the_users_folder(store: Store, tmp_path: Path) -> None:
    files = FileSet({"a/b.txt": store.add_bytes(b"x")})
    store.export(files, tmp_path / "out")
    assert (tmp_path / "out" / "a" / "b.txt").read_bytes() == b"x"
