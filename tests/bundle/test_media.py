"""Copying onto a stick: what it can hold is known before, what was written is read back, a cut copy goes on."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from publicai_edge.bundle.media import copy as media
from publicai_edge.bundle.media.copy import copy
from publicai_edge.bundle.media.file_system import FileSystem, file_system_of
from publicai_edge.bundle.verify import verify
from publicai_edge.errors import BundleError, HostError
from publicai_edge.progress import Silent
from tests.bundle.synthetic import MODEL, noise, write_bundle

FAT = FileSystem("vfat")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundles", model=noise("model", 5 << 20))


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    (tmp_path / "stick").mkdir()
    return tmp_path / "stick"


def test_copy_is_the_bundle_and_says_what_fat_lacks(bundle: Path, stick: Path) -> None:
    done = copy(bundle, stick, Silent(), FAT)
    assert done.folder == stick / bundle.name
    verify(done.folder, Silent())
    assert "sh start" in " ".join(done.notes)
    assert not copy(bundle, stick, Silent(), FileSystem("ext4")).notes


def test_file_of_4_gib_is_refused_for_fat32_with_what_to_do(bundle: Path, stick: Path) -> None:
    large = bundle / "data" / "model" / "large.gguf"
    with large.open("wb") as stream:
        stream.truncate(4 << 30)  # sparse: it takes no room
    with pytest.raises(HostError, match=r"no file of 4 GiB or more: data/model/large\.gguf") as caught:
        copy(bundle, stick, Silent(), FAT)
    assert "max_file_mb" in (caught.value.hint or "")
    assert not list(stick.iterdir())
    with large.open("r+b") as stream:
        stream.truncate((4 << 30) - 1)
    assert not FAT.too_large({"x": (4 << 30) - 1})


def test_names_that_fat_cannot_hold_are_refused() -> None:
    bad = ["a:b", "con.txt", "x/aux", "dot.", "space ", "Read.me", "q?", "n" * 256]
    assert FAT.bad_names([*bad, "read.me", "fine.txt"]) == sorted([*bad[:-3], "q?", "n" * 256, "read.me"])
    assert not FileSystem("ext4").bad_names(bad)
    assert FileSystem("exfat").bad_names(["a?"])
    assert FileSystem("exfat").most_bytes is None


def test_cut_copy_is_gone_on_with_inside_a_file(bundle: Path, stick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = media.durable.pour

    def cut(reader: int, writer: int, start: int, length: int, advance: object) -> None:
        if length > 1 << 20:
            real(reader, writer, start, 3 << 20, lambda _: None)
            raise KeyboardInterrupt
        real(reader, writer, start, length, lambda _: None)

    monkeypatch.setattr(media.durable, "pour", cut)
    with pytest.raises(KeyboardInterrupt):
        copy(bundle, stick, Silent(), FAT)
    assert (stick / bundle.name / f"{MODEL}.part").stat().st_size == 3 << 20
    started: list[int] = []

    def watch(reader: int, writer: int, start: int, length: int, advance: object) -> None:
        started.append(start)
        real(reader, writer, start, length, lambda _: None)

    monkeypatch.setattr(media.durable, "pour", watch)
    copy(bundle, stick, Silent(), FAT)
    assert 3 << 20 in started
    assert not list(stick.rglob("*.part"))
    verify(stick / bundle.name, Silent())


def test_damaged_part_of_a_cut_copy_is_written_again(bundle: Path, stick: Path) -> None:
    place = stick / bundle.name / f"{MODEL}.part"
    place.parent.mkdir(parents=True)
    shutil.copy(bundle / "tagmanifest-sha256.txt", stick / bundle.name)
    place.write_bytes(noise("something else", 4 << 20))
    copy(bundle, stick, Silent(), FAT)
    verify(stick / bundle.name, Silent())


def test_copy_that_was_cut_in_its_first_file_is_gone_on_with(bundle: Path, stick: Path) -> None:
    (stick / bundle.name).mkdir()
    (stick / bundle.name / "tagmanifest-sha256.txt.part").write_bytes(b"4")
    copy(bundle, stick, Silent(), FAT)
    verify(stick / bundle.name, Silent())


def test_damaged_file_on_the_stick_is_replaced(bundle: Path, stick: Path) -> None:
    done = copy(bundle, stick, Silent(), FAT)
    with (done.folder / MODEL).open("r+b") as stream:
        stream.write(b"rot")
    copy(bundle, stick, Silent(), FAT)
    verify(done.folder, Silent())


def test_two_bundles_are_never_mixed(bundle: Path, stick: Path, tmp_path: Path) -> None:
    copy(bundle, stick, Silent(), FAT)
    other = write_bundle(tmp_path / "others", model=b"another")
    assert other.name == bundle.name
    with pytest.raises(BundleError, match="another version"):
        copy(other, stick, Silent(), FAT)
    verify(stick / bundle.name, Silent())
    (stick / "notes-1.0.0").mkdir()
    (stick / "notes-1.0.0" / "thesis.txt").write_text("years")
    with pytest.raises(BundleError, match="not a copy of a bundle"):
        copy(write_bundle(tmp_path / "others", name="notes"), stick, Silent(), FAT)


def test_links_on_a_stick_lead_nowhere(bundle: Path, stick: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("mine")
    done = copy(bundle, stick, Silent(), FAT)
    shutil.rmtree(done.folder / "data" / "model")
    (done.folder / "data" / "model").symlink_to(outside)
    copy(bundle, stick, Silent(), FAT)
    verify(done.folder, Silent())
    done.folder.rename(outside / bundle.name)
    done.folder.symlink_to(outside / bundle.name)
    with pytest.raises(BundleError, match="is a link"):
        copy(bundle, stick, Silent(), FAT)
    assert sorted(path.name for path in outside.iterdir()) == ["kept", bundle.name]


def test_bundle_is_not_copied_onto_itself(bundle: Path) -> None:
    with pytest.raises(BundleError, match="lies in"):
        copy(bundle, bundle.parent, Silent(), FAT)


def test_bundle_that_was_damaged_before_is_not_the_sticks_fault(bundle: Path, stick: Path) -> None:
    with (bundle / MODEL).open("r+b") as stream:
        stream.write(b"rot")
    with pytest.raises(BundleError, match=str(bundle)) as caught:
        copy(bundle, stick, Silent(), FAT)
    assert "read back" not in caught.value.message


def test_stick_that_does_not_give_back_what_was_written_is_found(
    bundle: Path, stick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bad_stick(target: Path, _paths: list[str]) -> None:
        with (target / MODEL).open("r+b") as stream:
            stream.write(b"rot")

    monkeypatch.setattr(media, "_forget", bad_stick)
    with pytest.raises(BundleError, match="does not read back"):
        copy(bundle, stick, Silent(), FAT)


def test_what_was_written_is_read_from_the_medium_and_not_from_memory(bundle: Path, stick: Path) -> None:
    """``mincore`` tells which pages are in memory: after the copy is flushed and dropped, none are."""
    if file_system_of(stick).name in {"tmpfs", "overlay"}:
        pytest.skip("this file system lives in memory")
    done = copy(bundle, stick, Silent())
    paths = [MODEL]
    assert _resident(done.folder / MODEL) > 0
    media._forget(done.folder, paths)
    assert _resident(done.folder / MODEL) == 0


def _resident(path: Path) -> int:
    import ctypes
    import mmap

    libc = ctypes.CDLL(None, use_errno=True)
    size = path.stat().st_size
    pages = -(-size // mmap.PAGESIZE)
    found = (ctypes.c_ubyte * pages)()
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    handle = os.open(path, os.O_RDONLY)
    place = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, handle, 0)
    os.close(handle)
    assert libc.mincore(ctypes.c_void_p(place), ctypes.c_size_t(size), found) == 0
    libc.munmap(ctypes.c_void_p(place), ctypes.c_size_t(size))
    return sum(page & 1 for page in found)


def test_stick_that_is_not_plugged_in_is_said(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no folder"):
        copy(bundle, tmp_path / "usb", Silent())


def test_file_system_is_the_one_that_is_mounted_there() -> None:
    assert file_system_of(Path("/proc/self")).name == "proc"
    assert file_system_of(Path("/proc/none/of/this")).name == "proc"


def test_real_fat_stick_takes_a_bundle(bundle: Path, tmp_path: Path) -> None:
    make = shutil.which("mkfs.vfat", path=f"{os.environ.get('PATH', '')}:/sbin:/usr/sbin")
    if make is None or os.geteuid() != 0:
        pytest.skip("mounting a FAT file system takes root and dosfstools")
    image, mount = tmp_path / "image", tmp_path / "mount"
    image.write_bytes(b"")
    os.truncate(image, 64 << 20)
    mount.mkdir()
    subprocess.run([make, "-F", "32", str(image)], check=True, capture_output=True)
    if subprocess.run(["mount", "-o", "loop", str(image), str(mount)], check=False, capture_output=True).returncode:
        pytest.skip("this machine mounts no loop devices")
    try:
        done = copy(bundle, mount, Silent())
        assert done.file_system == "vfat"
        verify(done.folder, Silent())
    finally:
        subprocess.run(["umount", str(mount)], check=True)
