"""A runtime travels as one file: it arrives as it was, or nothing of it does."""

import errno
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from publicai_edge import __version__
from publicai_edge.errors import BundleError, HostError, NotFoundError, PublicAIError, RecipeError
from publicai_edge.pipeline import runtimes
from publicai_edge.progress import Silent
from publicai_edge.runtime import manifest as runtime_manifest
from publicai_edge.runtime.manifest import FileInfo, RuntimeManifest
from publicai_edge.store import Store

FILES = {
    "publicai-edge": b"\x7fELF program" * 50,
    "_internal/llama_cpp/lib/libllama.so": b"x" * 1025,
    "_internal/e": b"",
}


def made(
    store: Store, platform: str = "linux-x86_64", files_of: dict[str, bytes] = FILES, **changes: object
) -> RuntimeManifest:
    """Put a small runtime into a store, as `runtime build` does."""
    blobs = {path: store.add_bytes(data) for path, data in files_of.items()}
    values = {
        "platform": platform,
        "version": __version__,
        "source": runtimes.source(),
        "libraries": {"llama-cpp-python": "0.3.36"},
        "variants": ("haswell", "x64"),
        "glibc": "2.35",
        "glibc_because": "publicai-edge",
        "size": sum(map(len, files_of.values())),
        "files": {path: FileInfo(sha256=blob.sha256, size=blob.size) for path, blob in blobs.items()},
    }
    found = RuntimeManifest(**{**values, **changes})
    runtimes.keep(found, store)
    return found


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A runtime as one file."""
    store = Store(tmp_path / "there")
    made(store)
    return runtimes.export("linux-x86_64", store, tmp_path, Silent())


def test_a_runtime_arrives_as_it_was(exported: Path, tmp_path: Path) -> None:
    assert exported.name == f"publicai-edge-{__version__}-linux-x86_64.runtime.tar"
    store = Store(tmp_path / "here")
    brought = runtimes.bring(exported, store, Silent())
    assert brought.manifest == made(Store(tmp_path / "there"))
    assert brought.current
    assert [runtime.manifest for runtime in runtimes.all_of(store)] == [brought.manifest]
    folder = runtimes.lay_out("linux-x86_64", store)
    for path, data in FILES.items():
        assert (folder / path).read_bytes() == data
    assert (folder / "publicai-edge").stat().st_mode & 0o111
    again = runtimes.export("linux-x86_64", store, tmp_path / "again.runtime.tar", Silent())
    assert again.read_bytes() == exported.read_bytes()


def test_tar_itself_reads_it(exported: Path) -> None:
    with tarfile.open(exported) as opened:
        members = opened.getmembers()
    assert [member.name for member in members] == [runtime_manifest.FILE_NAME, *sorted(FILES)]
    assert {member.name for member in members if member.mode & 0o111} == {"publicai-edge"}


def rewritten(exported: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]) -> Path:
    """Write the archive anew after ``change`` to its members."""
    with tarfile.open(exported) as opened:
        members = []
        for member in opened:
            stream = opened.extractfile(member)
            members.append((member, stream.read() if stream else b""))
    change(members)
    target = exported.with_name("changed.tar")
    with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as out:
        for member, data in members:
            out.addfile(member, io.BytesIO(data))
    return target


def extra(name: str, kind: bytes = tarfile.REGTYPE, aim: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, aim
    return entry


HOSTILE: dict[str, Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]] = {
    "a file more": lambda members: members.append((extra("more"), b"")),
    "one that climbs out": lambda members: members.insert(1, (extra("../../outside"), b"")),
    "an absolute one": lambda members: members.insert(1, (extra("/etc/cron.d/x"), b"")),
    "a link": lambda members: members.insert(1, (extra("_internal/e", tarfile.SYMTYPE, "/etc/passwd"), b"")),
    "a hard link": lambda members: members.insert(1, (extra("_internal/e", tarfile.LNKTYPE, "publicai-edge"), b"")),
    "a device": lambda members: members.insert(1, (extra("_internal/e", tarfile.CHRTYPE), b"")),
    "a folder": lambda members: members.insert(1, (extra("_internal", tarfile.DIRTYPE), b"")),
    "a file twice": lambda members: members.insert(2, members[1]),
    "another order": lambda members: members.reverse(),
    "a file less": lambda members: members.__delitem__(2),
    "no manifest": lambda members: members.__delitem__(0),
    "another content": lambda members: members.__setitem__(3, (members[3][0], members[3][1][:-1] + b"!")),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_an_archive_with_anything_else_in_it_is_refused(exported: Path, tmp_path: Path, what: str) -> None:
    store = Store(tmp_path / "here")
    with pytest.raises(BundleError, match="is not a runtime as `publicai-edge runtime export` writes it"):
        runtimes.bring(rewritten(exported, HOSTILE[what]), store, Silent())
    assert list(runtimes.all_of(store)) == []
    assert not (tmp_path / "outside").exists()


def test_every_way_to_cut_or_change_it_gives_the_projects_own_error(exported: Path, tmp_path: Path) -> None:
    whole = exported.read_bytes()
    place = tmp_path / "damaged.tar"
    for at in range(0, len(whole), 97):
        for data in (whole[:at], whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :]):
            place.write_bytes(data)
            try:
                runtimes.bring(place, Store(tmp_path / "here"), Silent())
            except PublicAIError:
                continue
            # What a header says of owners, times and modes, and zeroes at the end, carry nothing.
            assert len(data) >= len(whole) - 1024


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 5}, "it states 5"),
        ({"platform": "linux-riscv64"}, "platform"),
        ({"files": {"../x": {"sha256": "0" * 64, "size": 1}}}, "files"),
        ({"files": {"x": {"sha256": "../x", "size": 1}}}, "files"),
        ({"format": 2}, "format"),
    ],
)
def test_a_manifest_that_says_too_much_is_refused(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    import json

    value = json.loads(made(Store(tmp_path)).to_bytes()) | changes
    with pytest.raises(BundleError, match=words):
        runtime_manifest.parse(json.dumps(value).encode(), "runtime.json")


def test_what_is_packed_is_of_this_version(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(NotFoundError) as missing:
        runtimes.payload(("linux-x86_64",), store, Silent())
    assert "publicai-edge runtime build linux-x86_64" in str(missing.value.hint)
    made(store)
    files = runtimes.payload(("linux-x86_64",), store, Silent())
    assert set(files.files) == {f"data/runtime/linux-x86_64/{name}" for name in (*FILES, "runtime.json")}
    made(store, version="0.0.1")
    with pytest.raises(BundleError, match=r"is of publicai-edge 0\.0\.1"):
        runtimes.payload(("linux-x86_64",), store, Silent())


def test_a_runtime_whose_files_went_is_none(tmp_path: Path) -> None:
    store = Store(tmp_path)
    found = made(store)
    store.path(found.file_set.files["publicai-edge"]).unlink()
    with pytest.raises(NotFoundError, match="There is no runtime for linux-x86_64"):
        runtimes.find("linux-x86_64", store)


@pytest.mark.parametrize(
    ("name", "words"), [("linux-riscv", "There is no platform"), ("macos-aarch64", "of that kind")]
)
def test_a_platform_that_cannot_be_made_here_is_said_at_once(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        runtimes.build(name, Store(tmp_path), Silent())


def test_a_disk_that_fails_is_no_damage(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 2:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return super().read(size)

    data = exported.read_bytes()
    monkeypatch.setattr(Path, "open", lambda *_, **__: Failing(data))
    with pytest.raises(HostError, match="Cannot read"):
        runtimes.bring(exported, Store(tmp_path / "here"), Silent())
