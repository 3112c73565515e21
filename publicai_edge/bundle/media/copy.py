"""Copy a bundle onto a medium, and check it there.

The tag manifest is written first: it says which bundle the folder is of, so that a cut copy can be gone on with and
two bundles are never mixed. Each file is written beside its place and renamed when it is whole; a cut one goes on from
where it stopped. At the end the system's memory of what was written is dropped, and every byte is read back from the
medium.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from publicai_edge.atomic import fsync_path
from publicai_edge.bundle import bag
from publicai_edge.bundle.install import durable, staging
from publicai_edge.bundle.install.layout import tag_of
from publicai_edge.bundle.media.file_system import FileSystem, file_system_of
from publicai_edge.bundle.verify import verify
from publicai_edge.errors import BundleError, HostError
from publicai_edge.progress import Progress, Task

_PART = ".part"
_BLOCK = 1 << 20
_MARGIN = 4 << 20


@dataclass(frozen=True)
class Copied:
    """A finished copy: its folder, what was copied and checked, and what the operator should know of the medium."""

    folder: Path
    files: int
    bytes: int
    file_system: str
    notes: tuple[str, ...]


def copy(source: Path, parent: Path, progress: Progress, file_system: FileSystem | None = None) -> Copied:
    """Copy the bundle ``source`` into the folder ``parent``, under its own name.

    Args:
        source: the bundle.
        parent: where it goes; it has to be there, since a stick that is not plugged in is a folder that is not there.
        progress: told the bytes.
        file_system: what ``parent`` lies on; by default what the system says.

    Raises:
        BundleError: it is no bundle, another one is in its place, or the medium does not give back what was written.
        HostError: the medium cannot hold it.
    """
    paths = staging.files_of(source)
    if (tag := tag_of(source)) is None:
        raise BundleError(f"{source} has no {bag.TAG_MANIFEST}: not a bundle.", hint="Give the bundle's folder.")
    if not parent.is_dir():
        raise HostError(f"There is no folder {parent}.", hint="Is the stick plugged in and mounted?", path=str(parent))
    found = file_system or file_system_of(parent)
    sizes = {path: (source / path).lstat().st_size for path in paths}
    _require_fit(found, sizes)
    target = parent / source.resolve().name
    _refuse_mixture(source, target, tag)
    _require_space(parent, sum(sizes.values()) - _present(target, sizes))
    _write(source, target, sizes, found, progress)
    _forget(target, paths)
    progress.say("Reading everything back from the medium.")
    try:
        verify(target, progress)
    except BundleError as error:
        verify(source, progress)  # what was damaged before is no fault of the medium
        raise BundleError(
            f"What was written to {target} does not read back as it was: {error.message}",
            hint="Run the same command again: it replaces what is damaged. If it happens again, the stick is failing.",
            **error.facts,
        ) from error
    return Copied(target, len(paths), sum(sizes.values()), found.name, _notes(found, target))


def _require_fit(found: FileSystem, sizes: dict[str, int]) -> None:
    if large := found.too_large(sizes):
        shown = ", ".join(f"{path} ({sizes[path] / 1e9:.2f} GB)" for path in large)
        raise HostError(
            f"The medium is formatted as {found.name}, which holds no file of 4 GiB or more: {shown}.",
            hint="Format the stick as exFAT. Or build the bundle again, if it is a model: those of that size are split "
            "now (model.max_file_mb in the recipe). A ZIM file stays whole.",
            files=large,
        )
    if bad := found.bad_names(sizes):
        raise HostError(
            f"The medium is formatted as {found.name}, which cannot hold these names: {', '.join(bad[:5])}.",
            hint="Format the stick as ext4, or put the bundle on it as one file: `publicai-edge build --zip`.",
            files=bad,
        )


def _refuse_mixture(source: Path, target: Path, tag: str) -> None:
    if target.is_symlink():
        raise BundleError(
            f"{target} is a link, which leads elsewhere.",
            hint="Remove it from the medium, or copy into another folder.",
        )
    if not target.exists():
        return
    if target.samefile(source):
        raise BundleError(f"{source} lies in {target.parent} already.", hint="Give another folder to copy it into.")
    there = tag_of(target)
    begun = {f"{bag.TAG_MANIFEST}{_PART}"}  # cut before the first file was whole
    if there == tag or (target.is_dir() and set(durable.names(target)) <= begun):
        return
    what = "another version of the bundle" if there else "not a copy of a bundle"
    raise BundleError(
        f"{target} is {what}; it is left as it is, so that two are not mixed.",
        hint="Remove that folder from the medium, or copy into another one.",
    )


def _present(target: Path, sizes: dict[str, int]) -> int:
    total = 0
    for path in sizes:
        for place in (target / path, target / f"{path}{_PART}"):
            if place.is_file():
                total += place.stat().st_size
    return total


def _require_space(parent: Path, needed: int) -> None:
    free = shutil.disk_usage(parent).free
    if free < needed + _MARGIN:
        raise HostError(
            f"{needed / 1e6:,.1f} MB are to be copied to {parent}, and {free / 1e6:,.1f} MB are free.",
            hint="Free some space on it, or take a larger one; what was copied already is kept.",
            needed=needed,
            free=free,
        )


def _write(source: Path, target: Path, sizes: dict[str, int], found: FileSystem, progress: Progress) -> None:
    listed = staging.listed(source)
    durable.make_folder(target)
    _remove_strangers(target, set(sizes))
    with progress.task(f"Copying {target.name}", total=sum(sizes.values()), unit="bytes") as task:
        for path, size in sizes.items():
            place = target / path
            mode = None if found.windows_names else bag.mode_of(path)
            if path != bag.TAG_MANIFEST and staging.is_there(place, listed.get(path), size, mode):
                task.advance(size)
                continue
            durable.make_folder(place.parent)
            _copy_file(source / path, place, mode, task)
    for folder, _, _ in os.walk(target):
        with durable.errors("flush", Path(folder)):
            fsync_path(Path(folder))


def _remove_strangers(target: Path, wanted: set[str]) -> None:
    """Remove what a copy cannot have left there: files that are not the bundle's, under their names or unfinished."""
    parts = {f"{path}{_PART}" for path in wanted}
    for folder, folders, names in os.walk(target):
        for name in [*names, *(name for name in folders if (Path(folder) / name).is_symlink())]:
            path = (Path(folder) / name).relative_to(target).as_posix()
            if path in parts and not (target / path.removesuffix(_PART)).exists():
                continue
            if path not in wanted:
                with durable.errors("remove", Path(folder) / name):
                    (Path(folder) / name).unlink()


def _copy_file(source: Path, place: Path, mode: int | None, task: Task) -> None:
    """Copy one file; what an earlier try left of it is gone on with, after its last whole block."""
    part = place.with_name(f"{place.name}{_PART}")
    with durable.old_file(source) as (reader, size), durable.errors("write", part):
        writer = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            done = _resume_at(reader, writer, size)
            task.advance(done)
            os.lseek(writer, done, os.SEEK_SET)
            durable.pour(reader, writer, done, size - done, task.advance)
            os.fsync(writer)
        finally:
            os.close(writer)
        if mode is not None:  # FAT has none, and refuses to be told
            part.chmod(mode)
        part.replace(place)


def _resume_at(reader: int, writer: int, size: int) -> int:
    """Return the byte to go on from: as far as what is there is what the source has, in whole blocks."""
    there = min(os.fstat(writer).st_size, size) // _BLOCK * _BLOCK
    done = 0
    while done < there and os.pread(reader, _BLOCK, done) == os.pread(writer, _BLOCK, done):
        done += _BLOCK
    os.ftruncate(writer, done)
    return done


def _forget(target: Path, paths: list[str]) -> None:
    """Ask the system to drop its memory of the files, so that reading them reads the medium."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in paths:
        with durable.errors("read", target / path):
            handle = os.open(target / path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(handle)


def _notes(found: FileSystem, target: Path) -> tuple[str, ...]:
    notes = []
    if found.windows_names:
        notes.append(
            f"The medium is formatted as {found.name}, which does not keep who may run a file: where `start` does not "
            f"start by itself, `sh start` in {target} does."
        )
        notes.append("It has no links either: install the bundle on the kiosk's own disk with `publicai-edge install`.")
    return tuple(notes)
