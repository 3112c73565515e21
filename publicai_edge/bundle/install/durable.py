"""The few changes of a file system that an installation is made of, each flushed to the disk when it returns.

Files are copied by ``copy_file_range`` where the system has it: a file system that can share blocks then shares them,
and a later change of the original still does not reach the copy. No hard link is ever made: it would.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from publicai_edge.atomic import fsync_path
from publicai_edge.errors import BundleError, HostError

PIECE = 8 << 20
FOLDER_MODE = 0o755
"""Of a bundle's folders: the service's own user has to read them, also where root's umask says otherwise."""
_NO_RANGE = {errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM, errno.ETXTBSY}
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def errors(action: str, path: Path) -> Iterator[None]:
    """Turn an operating-system error into a :class:`HostError` that names ``path`` and the next step."""
    try:
        yield
    except OSError as error:
        raise _host_error(error, action, path) from error


def _host_error(error: OSError, action: str, path: Path) -> HostError:
    facts = {"path": str(path), "errno": error.errno}
    if error.errno in _FULL:
        return HostError(
            f"The disk is full: cannot {action} {path}.",
            hint="Free some space there and run the same command again, or choose another disk.",
            **facts,
        )
    if error.errno in _FORBIDDEN:
        return HostError(
            f"No permission to {action} {path}: {error.strerror}.",
            hint="Run the command as the owner of that folder, or choose another one.",
            **facts,
        )
    return HostError(
        f"Cannot {action} {path}: {error.strerror or error}.",
        hint="Run the same command again. If it fails in the same place, the disk or the stick may be failing.",
        **facts,
    )


def is_full(error: HostError) -> bool:
    """Say whether an error of :func:`errors` was a full disk."""
    return error.facts.get("errno") in _FULL


def names(folder: Path) -> list[str]:
    """Return the names in a folder, sorted; none where there is no folder."""
    with errors("read", folder):
        try:
            return sorted(os.listdir(folder))  # noqa: PTH208 - names, not paths
        except FileNotFoundError:
            return []


def make_folder(place: Path, mode: int | None = None) -> list[Path]:
    """Make a folder and those above it, with ``mode`` or as the umask has it; return what was made, topmost first."""
    with errors("make the folder", place):
        made = [folder for folder in (place, *place.parents) if not folder.exists()][::-1]
        for folder in made:
            folder.mkdir(exist_ok=True)
            if mode is not None:
                folder.chmod(mode)
            fsync_path(folder.parent)
    return made


def copy_file(source: Path, target: Path, mode: int, advance: Callable[[int], None]) -> None:
    """Copy a regular file to a new one, flushed; ``advance`` is told the bytes.

    Raises:
        BundleError: the source is a link, a device or another thing that is no file.
        HostError: it cannot be read or written.
    """
    with old_file(source) as (reader, size), new_file(target, mode) as writer:
        pour(reader, writer, 0, size, advance)


@contextmanager
def old_file(place: Path) -> Iterator[tuple[int, int]]:
    """Yield the handle of a bundle's file and its size in bytes; a link is not followed, a pipe not waited for.

    Raises:
        BundleError: it is a link, a device or another thing that is no file.
        HostError: it cannot be read.
    """
    with errors("read", place):
        try:
            handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise _no_file(place) from error
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise _no_file(place)
        yield handle, found.st_size
    finally:
        os.close(handle)


def _no_file(place: Path) -> BundleError:
    return BundleError(f"{place} is not a regular file; a bundle has no links and no devices.", hint="Do not use it.")


@contextmanager
def new_file(place: Path, mode: int) -> Iterator[int]:
    """Yield the handle of a new file, or of one that is emptied; it is flushed when it was written without an error."""
    with errors("write", place):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(place, flags, mode)
        try:
            yield handle
            os.fchmod(handle, mode)
            os.fsync(handle)
        finally:
            os.close(handle)


def pour(reader: int, writer: int, start: int, length: int, advance: Callable[[int], None]) -> None:
    """Copy ``length`` bytes from ``start`` on to where the writer stands; fewer where the file ends before."""
    end = start + length
    try:
        while start < end and (count := _copy_range(reader, writer, min(PIECE, end - start), start)):
            start += count
            advance(count)
    except OSError as error:
        if error.errno not in _NO_RANGE:
            raise
    while start < end and (piece := os.pread(reader, min(PIECE, end - start), start)):
        write_all(writer, piece)
        start += len(piece)
        advance(len(piece))


def _copy_range(reader: int, writer: int, length: int, start: int) -> int:
    """Let the system copy; it answers 0 at the end of a file, and here also where it has no such call."""
    return os.copy_file_range(reader, writer, length, start) if hasattr(os, "copy_file_range") else 0


def write_all(handle: int, data: bytes) -> None:
    """Write all of ``data``, however much one call takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def write_file(place: Path, data: bytes) -> None:
    """Replace a file by one with ``data``, in one step and flushed."""
    beside = place.with_name(f".new-{place.name}")
    with errors("write", place):
        with new_file(beside, 0o644) as handle:
            write_all(handle, data)
        beside.rename(place)
        fsync_path(place.parent)


def append_line(place: Path, line: bytes) -> None:
    """Append a line to a file, flushed; what an earlier, cut append left is ended first, so that it spoils one line."""
    with errors("write", place):
        handle = os.open(place, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            end = os.lseek(handle, 0, os.SEEK_END)
            if end and os.pread(handle, 1, end - 1) != b"\n":
                line = b"\n" + line
            write_all(handle, line + b"\n")
            os.fsync(handle)
        finally:
            os.close(handle)
        fsync_path(place.parent)


def point(link: Path, target: str) -> None:
    """Make ``link`` point to ``target``: in one step, whether it was there before or not, and flushed."""
    beside = link.with_name(f".new-{link.name}")
    with errors("write", link):
        beside.unlink(missing_ok=True)
        beside.symlink_to(target)
        fsync_path(link.parent)
        beside.rename(link)
        fsync_path(link.parent)


def move(source: Path, target: Path) -> None:
    """Rename within a file system, flushed in both folders."""
    with errors("rename", source):
        source.rename(target)
        fsync_path(target.parent)
        if source.parent != target.parent:
            fsync_path(source.parent)


def sync_tree(root: Path) -> None:
    """Flush the entries of every folder below ``root``, and of it; those below all may read, whatever the umask."""
    with errors("flush", root):
        for folder, _, _ in os.walk(root):
            if Path(folder) != root:
                Path(folder).chmod(FOLDER_MODE)
            fsync_path(Path(folder))
