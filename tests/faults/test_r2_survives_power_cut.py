"""R2: no acknowledged install is lost on a power cut.

Read from the system-call log: before the acknowledgement, every file that was written is flushed, then every folder in
which a name appeared or changed; nothing is renamed into its place before what it names is flushed.
"""

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from publicai_edge.bundle.install.layout import STAGING, TRASH
from tests.faults import injection, operation
from tests.faults.cases import OPERATIONS, cases, fresh, write_bundles
from tests.faults.injection import needs_strace
from tests.promises import Figure

_CALLS = "mkdir,openat,write,copy_file_range,fsync,rename,renameat,renameat2,symlink,unlink,rmdir,close"
_EVENT = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)")
_PATHS = re.compile(r'"([^"]*)"')


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    write_bundles(folder)
    return folder


@dataclass(frozen=True)
class Event:
    """A call that changed the file system or flushed it, with the paths it speaks of."""

    call: str
    paths: tuple[str, ...]


def events(log: str) -> Iterator[Event]:
    """Return the calls that succeeded, from where the operation begins to its acknowledgement on stdout."""
    begun = False
    for line in log.splitlines():
        match = _EVENT.match(line)
        if operation.BEGIN in line:
            begun = True
        if match is None or not begun or match[3].startswith("-"):
            continue
        call, text = match[1], match[2]
        if call == "write" and text.startswith("1<"):
            return
        if call in {"write", "copy_file_range", "fsync"}:
            handle = re.findall(r"\d+<([^>]*)>", text)[-1 if call == "copy_file_range" else 0]
            yield Event(call, (handle,))
        elif call != "openat" or "O_CREAT" in text:
            yield Event(call, tuple(_PATHS.findall(text)))
    raise AssertionError("it was never acknowledged")


class Disk:
    """What a power cut would lose: files and folders that were changed since they were flushed."""

    def __init__(self, below: str) -> None:
        self._below = below
        self.files: set[str] = set()
        self.folders: set[str] = set()
        self.seen: list[str] = []

    def apply(self, event: Event) -> None:
        parent = str(Path(self._below).parent)
        paths = [path for path in event.paths if path == parent or path.startswith(self._below)]
        match event.call:
            case "openat" | "write" | "copy_file_range":
                self.files.update(paths)
                if event.call == "openat":
                    self.folders.update(str(Path(path).parent) for path in paths)
            case "fsync":
                self.files.difference_update(paths)
                self.folders.difference_update(paths)
            case "mkdir" | "symlink" | "unlink" | "rmdir":
                self.folders.update(str(Path(path).parent) for path in paths)
            case "rename" | "renameat" | "renameat2":
                self._rename(*paths)
        gone = {path for path in paths if event.call in {"unlink", "rmdir"}}
        self.files -= gone
        self.folders -= gone

    def _rename(self, old: str, new: str) -> None:
        """See that what gets a new name is flushed, if it is a part of the installed bundle."""
        self.seen.append(new)
        unflushed = [path for path in self.files if path == old or path.startswith(f"{old}/")]
        unflushed += [path for path in self.folders if path == old or path.startswith(f"{old}/")]
        if f"/{TRASH}/" not in new:
            assert not unflushed, f"renamed to {new} before these were flushed: {unflushed}"
        self.files -= set(unflushed)
        self.folders -= set(unflushed)
        self.folders |= {str(Path(old).parent), str(Path(new).parent)}


def watched(arguments: Sequence[object], folder: Path) -> Disk:
    """Run an operation; return what of it is not on the disk when it is acknowledged."""
    log = folder.with_name("log")
    traced = ["strace", "-f", "-qq", "-y", "-s", "4000", "-o", str(log), "-e", f"trace={_CALLS}"]
    subprocess.run([*traced, *injection.command(arguments)], check=True, capture_output=True)
    disk = Disk(str(folder))
    for event in events(log.read_text()):
        disk.apply(event)
    return disk


def unflushed(disk: Disk) -> set[str]:
    """Return what would be lost; what is being thrown away, and the place it lies in, may be."""
    return {path for path in disk.files | disk.folders if f"/{TRASH}" not in path}


@pytest.mark.promise("R2")
@needs_strace
@pytest.mark.parametrize("which", range(len(OPERATIONS)), ids=OPERATIONS)
def test_everything_is_flushed_before_it_is_acknowledged(
    which: int, bundles: Path, tmp_path: Path, figure: Figure
) -> None:
    case, folder, before = cases(bundles)[which], tmp_path / "folder", tmp_path / "before"
    case.prepare(before)
    fresh(folder, before)
    disk = watched(case.arguments(folder), folder)
    lost = unflushed(disk)
    figure(f"files and folders that a power cut after {case.name} would lose", len(lost), "", bound="== 0")
    assert lost == set()
    assert any(path.endswith("/current") for path in disk.seen)


@pytest.mark.promise("R2", broken=True)
@needs_strace
def test_build_that_does_not_flush_fails_the_same_test(bundles: Path, tmp_path: Path) -> None:
    case, folder = cases(bundles)[0], tmp_path / "folder"
    with pytest.raises(AssertionError, match="before these were flushed"):
        watched([*case.arguments(folder), "no-fsync"], folder)


@pytest.mark.promise("R2")
@needs_strace
def test_resumed_install_flushes_what_an_interrupted_one_copied(bundles: Path, tmp_path: Path) -> None:
    """The killed run may have copied a file without flushing it; the next one keeps the file and flushes it itself."""
    case, folder = cases(bundles)[0], tmp_path / "folder"
    calls = injection.calls(case.arguments(folder), tmp_path / "calls")
    fresh(folder, tmp_path / "none")
    last_flush = [call for call in calls if call.name == "fsync" and f"/{STAGING}/" in call.text][-1]
    assert injection.run(case.arguments(folder), injection.Fault(last_flush, "KILL")).returncode != 0
    kept = [path for path in (folder / STAGING).rglob("*") if path.is_file()]
    assert kept
    assert not unflushed(watched(case.arguments(folder), folder))
    flushed = (tmp_path / "log").read_text()
    for path in kept:
        assert re.search(rf"fsync\(\d+<{re.escape(str(path))}>", flushed), f"{path} was kept and not flushed"
