"""R6: hostile zips and tars write not one byte outside, and each is refused with the project's own error.

The harness takes what unpacks as a parameter: the naive unpackers at the end fail it.
"""

import io
import os
import stat
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from publicai_edge import archives
from publicai_edge.errors import BundleError, PublicAIError
from publicai_edge.progress import Silent
from publicai_edge.sources import archive as packages
from publicai_edge.sources.download import Downloader
from publicai_edge.sources.intake import Intake
from publicai_edge.sources.request import Job, Request
from publicai_edge.sources.retry import Patience
from publicai_edge.store import Store
from tests.faults.hostile_tars import TARS
from tests.faults.hostile_zips import GOOD, ZIPS
from tests.promises import Figure

Unpack = Callable[[Path, Path], object]
CASES = [
    *((f"zip {name}", make) for name, make in ZIPS.items()),
    *((f"tar {name}", make) for name, make in TARS.items()),
]
MOST_BYTES = 20 << 20  # more than any honest part of these archives holds
MOST_SECONDS = 10.0


class Jail:
    """A folder to unpack into, and one beside it that must stay as it is."""

    def __init__(self, root: Path) -> None:
        self.outside = root / "outside"
        self.outside.mkdir(parents=True)
        (self.outside / "kept").write_bytes(GOOD)
        self.folder = root / "inside"
        self.archive = root / "archive"
        self.root = root

    def broken(self, make: Callable[[Path], bytes], unpack: Unpack, *, refused: bool = True) -> list[str]:
        """Unpack, and return which parts of the promise did not hold."""
        self.archive.write_bytes(make(self.outside))
        before = {path: path.lstat() for path in self.root.rglob("*") if self.folder not in path.parents}
        begun, wrong = time.process_time(), []  # a busy machine fails nothing
        try:
            unpack(self.archive, self.folder)
            if refused:
                wrong.append("was not refused")
        except PublicAIError as error:
            if len(error.message) > 1000:
                wrong.append("has an error too long to read")
        except Exception as error:  # noqa: BLE001 - what escapes is what is looked for
            wrong.append(f"let {type(error).__name__} escape")
        if time.process_time() - begun > MOST_SECONDS:
            wrong.append("took too long")
        wrong += self._written_outside(before)
        inside = [path for path in self.folder.rglob("*") if not path.is_dir()] if self.folder.is_dir() else []
        if any(not stat.S_ISREG(path.lstat().st_mode) for path in inside):
            wrong.append("made something that is no plain file")
        if sum(path.lstat().st_size for path in inside) > MOST_BYTES:
            wrong.append("filled the disk")
        if refused and inside:
            wrong.append("left files of a refused archive")
        return wrong

    def _written_outside(self, before: dict[Path, os.stat_result]) -> list[str]:
        after = {path: path.lstat() for path in self.root.rglob("*") if self.folder not in path.parents}
        after.pop(self.folder, None)
        changed = [path for path, old in before.items() if path not in after or _differs(old, after[path])]
        return [f"wrote outside: {path.name}" for path in [*(after.keys() - before.keys()), *changed]]


def _differs(one: os.stat_result, other: os.stat_result) -> bool:
    return stat.S_ISREG(one.st_mode) and (one.st_size, one.st_mtime_ns) != (other.st_size, other.st_mtime_ns)


@pytest.fixture
def jail(tmp_path: Path) -> Jail:
    return Jail(tmp_path / "jail")


def unpack(archive: Path, folder: Path) -> None:
    """As `apply` and `runtime import` unpack."""
    archives.extract(archive, folder, error=BundleError)


def note_outside(wrong: list[str], figure: Figure) -> None:
    written = sum(part.startswith("wrote outside") for part in wrong)
    figure("files an archive wrote or changed outside", written, "", bound="== 0")


@pytest.mark.parametrize(("name", "make"), CASES, ids=[name for name, _ in CASES])
@pytest.mark.promise("R6")
def test_a_hostile_archive_is_refused_and_writes_nothing_outside(name: str, make, jail: Jail, figure: Figure) -> None:
    wrong = jail.broken(make, unpack)
    note_outside(wrong, figure)
    assert wrong == []
    assert not jail.folder.exists()


# Packages are taken member by member under names of the store's own: what a name could do is then no matter, and a
# link that nobody asked for stays where it is.


def take(archive: Path, folder: Path) -> None:
    """As `pull` takes a wheel's or a tarball's members into the store."""
    folder.mkdir()
    store = Store(folder)
    job = Job(Request("pypi:x==1/", None, None, folder), True, None, store, Silent(),
              Downloader(store, Silent(), Patience()))  # fmt: skip
    opened = packages.open_wheel if zipfile.is_zipfile(archive) else packages.open_tarball
    with opened(archive, "the package") as found:
        packages.take(found, "", job, Intake(job), "the package")


@pytest.mark.parametrize(("name", "make"), CASES, ids=[name for name, _ in CASES])
@pytest.mark.promise("R6")
def test_a_hostile_package_writes_nothing_outside_the_store(name: str, make, jail: Jail, figure: Figure) -> None:
    wrong = jail.broken(make, take, refused=False)
    note_outside(wrong, figure)
    assert wrong == []
    for path in jail.folder.rglob("*"):
        if path.is_file() and "objects" in path.parts:
            assert len(path.name) == 64


@pytest.mark.promise("R6")
def test_what_is_honest_is_unpacked_as_it_is(tmp_path: Path) -> None:
    files = {"a/b.txt": b"hello", "start": b"#!/bin/sh\n", "a/" + "x" * 120 + "/" + "y" * 90: b"long", "über.md": b""}
    zipped, places = tmp_path / "u.zip", [tmp_path / "u.zip"]
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o755 if name == "start" else 0o644) << 16
            archive.writestr(entry, data)
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        for mode in ("w", "w:gz"):
            places.append(tmp_path / f"{form}{mode[2:]}.tar")
            with tarfile.open(places[-1], mode, format=form) as tar:
                for name, data in files.items():
                    info = tarfile.TarInfo(name)
                    info.size, info.mode = len(data), 0o755 if name == "start" else 0o644
                    tar.addfile(info, io.BytesIO(data))
    for place in places:
        folder = tmp_path / f"out-{place.name}"
        taken = archives.extract(place, folder, error=BundleError)
        assert {
            path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        } == files
        assert sorted(member.name for member in taken) == sorted(files)
        assert (folder / "start").stat().st_mode & 0o777 == 0o755
        assert (folder / "a/b.txt").stat().st_mode & 0o777 == 0o644


@pytest.mark.promise("R6")
def test_a_member_nobody_expects_or_one_missing_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "u.zip"
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("good", GOOD)
    assert archives.extract(place, tmp_path / "a", error=BundleError, only=["good"])
    with pytest.raises(BundleError, match="holds what it should not: good"):
        archives.extract(place, tmp_path / "b", error=BundleError, only=[])
    with pytest.raises(BundleError, match="lacks: more"):
        archives.extract(place, tmp_path / "b", error=BundleError, only=["good", "more"])
    assert not (tmp_path / "b").exists()


@pytest.mark.promise("R6")
def test_nothing_is_unpacked_over_what_is_there(tmp_path: Path) -> None:
    place, folder = tmp_path / "u.zip", tmp_path / "folder"
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("good", b"new")
    folder.mkdir()
    (folder / "good").write_bytes(b"old")
    with pytest.raises(PublicAIError, match="not empty"):
        archives.extract(place, folder, error=BundleError)
    assert (folder / "good").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "u.zip"]


# --- the harness can fail ---


def trusting(archive: Path, folder: Path) -> None:
    """Unpack as archives ask for it."""
    folder.mkdir()
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            for entry in opened.infolist():
                place = folder / entry.filename
                place.parent.mkdir(parents=True, exist_ok=True)
                if stat.S_ISLNK(entry.external_attr >> 16):
                    place.symlink_to(opened.read(entry).decode())
                else:
                    place.write_bytes(opened.read(entry))
    else:
        with tarfile.open(archive) as opened:
            opened.extractall(folder, filter="fully_trusted")


ESCAPES = [
    "zip climbs out", "zip climbs out from a folder", "zip is absolute", "zip is a link, and a file through it",
    "tar climbs out", "tar is absolute", "tar climbs out by a pax name", "tar climbs out by a GNU name",
    "tar is a link, and a file through it", "tar is a link to a file, and the file",
]  # fmt: skip


@pytest.mark.parametrize("name", ESCAPES)
@pytest.mark.promise("R6", broken=True)
def test_an_unpacker_that_trusts_names_fails(name: str, jail: Jail) -> None:
    assert any("outside" in wrong for wrong in jail.broken(dict(CASES)[name], trusting))


@pytest.mark.parametrize("name", ["zip comes twice", "zip is a link to a file", "zip bursts", "tar is a pipe",
                                  "tar bursts", "zip has a wrong CRC"])  # fmt: skip
@pytest.mark.promise("R6", broken=True)
def test_an_unpacker_that_takes_everything_fails(name: str, jail: Jail) -> None:
    assert jail.broken(dict(CASES)[name], trusting)


@pytest.mark.promise("R6")
def test_there_are_enough_of_them(figure: Figure) -> None:
    figure("hostile zips", len(ZIPS), "", bound=">= 30")
    figure("hostile tars", len(TARS), "", bound=">= 30")
