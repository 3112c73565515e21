"""Bringing a bundle into the staging folder, and taking things away.

A run that was interrupted leaves what it had copied; the next one keeps every file of it that has the listed digest,
flushes it again (it may never have reached the disk) and copies the rest.
"""

import json
import os
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from publicai_edge import digest
from publicai_edge.atomic import fsync_path
from publicai_edge.bundle import bag, contents
from publicai_edge.bundle.install import durable
from publicai_edge.bundle.install.layout import MADE, STAGING, TRASH, is_name, tag_of
from publicai_edge.errors import BundleError
from publicai_edge.progress import Progress

_MOST_FILES = 100_000
_HALF_WRITTEN = f".new-{MADE}"


class Source(Protocol):
    """Where a bundle comes from: a folder, or an update and what it builds on."""

    @property
    def tag(self) -> str | None:
        """SHA-256 of its tag manifest, where that can be told before it is copied."""

    @property
    def folder(self) -> Path | None:
        """Where the bundle lies, if it lies in a folder already."""

    @property
    def called(self) -> str:
        """What is put together from it, in words that begin a sentence."""

    @property
    def advice(self) -> str:
        """What to do when that is not what was signed: the fault may lie before it, or here."""

    def size(self) -> int:
        """Return the bytes that it takes."""
        ...

    def fill(self, target: Path, progress: Progress) -> None:
        """Put the bundle's files into ``target``, flushed; files of an earlier try may be there."""
        ...


@dataclass(frozen=True)
class FolderSource:
    """A bundle folder."""

    root: Path

    @property
    def tag(self) -> str | None:
        """SHA-256 of its tag manifest, or None where it has none."""
        return tag_of(self.root)

    @property
    def folder(self) -> Path:
        """The same folder."""
        return self.root

    @property
    def called(self) -> str:
        """What is put together from it."""
        return f"What was copied from {self.root}"

    @property
    def advice(self) -> str:
        """What to do when that is not what was signed."""
        command = shlex.join(["publicai-edge", "verify", str(self.root)])
        return (
            f"`{command}` tells whether it is damaged there: then bring it again, or ask its steward. If it is whole, "
            "run the same command again."
        )

    def size(self) -> int:
        """Return the bytes of its files."""
        return sum((self.root / path).lstat().st_size for path in files_of(self.root))

    def fill(self, target: Path, progress: Progress) -> None:
        """Copy every file; whether they are the right ones is for the check of the copy to say."""
        paths, expected = files_of(self.root), listed(self.root)
        keep_only(target, set(paths))
        with progress.task("Copying the bundle", total=self.size(), unit="bytes") as task:
            for path in paths:
                size, mode = (self.root / path).lstat().st_size, bag.mode_of(path)
                if is_there(target / path, expected.get(path), size, mode):
                    task.advance(size)
                    continue
                durable.make_folder((target / path).parent)
                durable.copy_file(self.root / path, target / path, mode, task.advance)


def files_of(root: Path) -> list[str]:
    """Return the relative paths of everything below a bundle's folder that is no folder; the tag manifest first.

    Raises:
        BundleError: there is no such folder, it is no bundle's, a link is among it, or far more than a bundle has.
    """
    if not root.is_dir():
        raise BundleError(
            f"There is no folder {root}: not a bundle.",
            hint=contents.what_to_give(root),
        )
    found: list[str] = []
    for folder, names, files in os.walk(root, onerror=_raise):
        base = Path(folder)
        for name in names:
            if (base / name).is_symlink():
                raise BundleError(f"{base / name} is a link; a bundle has none.", hint="Copy the bundle again.")
        found += [(base / name).relative_to(root).as_posix() for name in files]
        if len(found) > _MOST_FILES:
            raise BundleError(f"{root} has more than {_MOST_FILES:,} files; no bundle has.")
    if bag.TAG_MANIFEST not in found:
        raise BundleError(
            f"{root} has no {bag.TAG_MANIFEST}: not a bundle, or not a whole one.", hint=contents.what_to_give(root)
        )
    return sorted(found, key=lambda path: (path != bag.TAG_MANIFEST, path))


def _raise(error: OSError) -> None:
    with durable.errors("read", Path(str(error.filename))):
        raise error


def keep_only(target: Path, wanted: set[str]) -> None:
    """Remove what an earlier try left in a staging folder and this bundle does not have."""
    durable.make_folder(target)
    for folder, names, files in os.walk(target, topdown=False):
        for name in (*files, *names):
            place = Path(folder) / name
            path = place.relative_to(target).as_posix()
            with durable.errors("remove", place):
                if place.is_dir() and not place.is_symlink():
                    if not any(other.startswith(f"{path}/") for other in wanted):
                        place.rmdir()
                elif path not in wanted:
                    place.unlink()


def is_there(place: Path, sha256: str | None, size: int, mode: int | None) -> bool:
    """Say whether an earlier try left a file whole; its mode is set, if there are any, and it is flushed again then."""
    try:
        if sha256 is None or place.is_symlink() or place.stat().st_size != size or digest.of_file(place) != sha256:
            return False
    except OSError:
        return False
    with durable.errors("flush", place):
        if mode is not None:
            place.chmod(mode)
        fsync_path(place)
    return True


def staging_folder(folder: Path) -> Path:
    """Return where a bundle is put together before it is checked."""
    return folder / STAGING


def name_of_staged(folder: Path) -> str | None:
    """Return the name of the bundle on its way in, as its ``bundle.json`` says: it is used to take it away only."""
    try:
        found = json.loads(contents.read(staging_folder(folder), "bundle.json"))["name"]
    except (BundleError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, str) and is_name(found) else None


def prepare(staged: Path) -> None:
    """Make the staging folder, closed to all others until its content was checked.

    Somebody who can exchange a folder of the source for a link while root copies could else read what that leads to.
    """
    durable.make_folder(staged)
    with durable.errors("close", staged):
        staged.chmod(0o700)


def name(staged: Path, place: Path) -> None:
    """Give a checked bundle its name, open to all readers."""
    with durable.errors("open", staged):
        staged.chmod(durable.FOLDER_MODE)
        fsync_path(staged)
    durable.move(staged, place)


def trash(folder: Path, place: Path) -> None:
    """Take a folder away in one step; :func:`clear` then removes it piece by piece. What it was called is kept."""
    durable.make_folder(folder / TRASH)
    taken = {name.partition("-")[0] for name in durable.names(folder / TRASH)}
    number = next(number for number in range(len(taken) + 1) if str(number) not in taken)
    durable.move(place, folder / TRASH / f"{number}-{place.name}")


def is_trashed(folder: Path, name: str) -> bool:
    """Say whether something called ``name`` was taken away, and is not wholly removed yet."""
    return any(there.partition("-")[2] == name for there in durable.names(folder / TRASH))


def clear(folder: Path, *, staging: bool = False) -> None:
    """Remove what was taken away, and with ``staging`` also what an interrupted run had copied."""
    for name in (TRASH, *((STAGING,) if staging else ())):
        if (folder / name).is_dir():
            with durable.errors("remove", folder / name):
                shutil.rmtree(folder / name)
                fsync_path(folder)
    with durable.errors("remove", folder / _HALF_WRITTEN):
        (folder / _HALF_WRITTEN).unlink(missing_ok=True)


def listed(root: Path) -> dict[str, str]:
    """Return what a bundle's manifests list, as far as they can be read: it is used to resume, and proves nothing."""
    found: dict[str, str] = {}
    for name in (bag.TAG_MANIFEST, bag.PAYLOAD_MANIFEST):
        try:
            found |= bag.parse_manifest(contents.read(root, name), name)
        except BundleError:
            continue
    return found
