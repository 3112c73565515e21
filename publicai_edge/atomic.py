"""Writing so that a reader sees the old file or the new one, never a half.

The order is: write beside the target, flush, fsync, rename, fsync the folder. A crash leaves at worst a file or folder
whose name starts with ``.tmp-`` and says which process on which machine made it; :func:`sweep` removes it.
"""

import errno
import hashlib
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from publicai_edge.errors import HostError, RecipeError

TEMP_PREFIX = ".tmp-"
_HINTS = {
    errno.ENOENT: "Check the path: some part is not there.",
    errno.ENOTDIR: "Check the path: some part is a file, not a folder.",
    errno.EISDIR: "Name a file, not a folder.",
    errno.EIO: "The disk or stick may be failing: copy what is on it, and use another.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
}


def temp_prefix() -> str:
    """Return how this process's temporary names begin: ``.tmp-MACHINE-PROCESS-``."""
    return f"{TEMP_PREFIX}{_machine()}-{os.getpid()}-"


def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


@contextmanager
def host_errors(action: str, path: Path) -> Iterator[None]:
    """Turn a full disk, a missing permission and their kin into :class:`HostError` that names ``path``."""
    try:
        yield
    except OSError as error:
        raise host_error(error, action, path) from error


def host_error(error: OSError, action: str, path: Path) -> HostError:
    """Return the sentence for an operating-system error that happened during ``action`` on ``path``."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        free = _free_bytes(path)
        return HostError(
            f"The disk is full: cannot {action} {path} ({free / 1e6:,.1f} MB free there).",
            hint="Free some space, or choose a place on another disk, and run the same command again; what is "
            "already done is kept.",
            path=str(path),
        )
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return HostError(
            f"No permission to {action} {path}: {error.strerror}.",
            hint="Choose a folder you may write to, or ask its owner.",
            path=str(path),
        )
    return HostError(
        f"Cannot {action} {path}: {error.strerror or error}.", hint=_HINTS.get(error.errno or 0), path=str(path)
    )


def _free_bytes(path: Path) -> int:
    for place in (path, *path.parents):
        if place.exists():
            return shutil.disk_usage(place).free
    return 0


def require_space(folder: Path, needed: int, what: str) -> None:
    """Refuse work that cannot fit, before it starts.

    Raises:
        HostError: fewer than ``needed`` bytes are free where ``folder`` lies or will lie.
    """
    free = _free_bytes(folder)
    if free < needed:
        raise HostError(
            f"{what} needs {needed / 1e6:,.1f} MB at {folder}, and only {free / 1e6:,.1f} MB are free.",
            hint="Free some space, or choose a place on another disk.",
            path=str(folder),
            needed=needed,
            free=free,
        )


def check_target(target: Path, *sources: Path, suffix: str | None = None) -> None:
    """Refuse a result's place that cannot be written or would cost an input, before hours go into the result.

    Args:
        target: the file to write; replaced if it exists.
        sources: the files that are read; the same file by another name (a link, a relative path) counts as well.
        suffix: of such a result, for the advice; by default that of the first source.

    Raises:
        RecipeError: the target is one of the sources, or a folder.
        HostError: it cannot be written there.
    """
    for source in sources:
        if target.exists() and source.exists() and target.samefile(source):
            alias = f": {target} is the same file" if str(target) != str(source) else ""
            raise RecipeError(
                f"The result would overwrite {source}, which it is made from{alias}.",
                hint="Give the result another name.",
                path=str(target),
            )
    if target.is_dir():
        ending = suffix if suffix is not None else sources[0].suffix if sources else ""
        raise RecipeError(
            f"{target} is a folder; expected the name of a file for the result.",
            hint=f"Name a file in it, such as {target / 'result'}{ending}.",
            path=str(target),
        )
    check_folder(target.parent)


def check_folder(folder: Path) -> None:
    """Refuse a folder for results that cannot be made or written to, before hours go into the results.

    Raises:
        HostError: a file stands in the way, or there is no permission.
    """
    place = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    if not place.is_dir():
        raise HostError(
            f"{folder} cannot be a folder for results: {place} is a file.",
            hint="Choose another folder for them, or move that file away.",
            path=str(folder),
        )
    with host_errors("write to", place), tempfile.TemporaryFile(dir=place):
        pass


def fsync_path(path: Path) -> None:
    """Flush a file or a folder's entries to the disk; a no-op where the system cannot open folders."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows cannot open folders
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes) -> None:
    """Replace ``path`` with ``data``, durably and atomically."""
    with host_errors("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=temp_prefix(), dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        fsync_path(path.parent)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a place beside ``target``; the file that is written there takes the target's place, durably, at the end.

    Raises:
        HostError: it cannot be written.
    """
    temporary = target.with_name(f"{temp_prefix()}{target.name}")
    with host_errors("write", target):
        try:
            yield temporary
            fsync_path(temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        fsync_path(target.parent)


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Yield a fresh folder inside ``parent``, removed afterwards whatever happens short of a power cut.

    Where the work fails, folders made for it on the way to ``parent`` go too, unless something else is in them.
    """
    made = [place for place in (parent, *parent.parents) if not place.exists()]
    with host_errors("create a folder in", parent):
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=temp_prefix(), dir=parent))
    try:
        yield folder
    except BaseException:
        remove_tree(folder)
        with suppress(OSError):
            for place in made:
                place.rmdir()
        raise
    remove_tree(folder)


def remove_tree(folder: Path) -> None:
    """Remove a folder that may hold read-only files."""

    def make_writable(_function: object, path: str, _info: object) -> None:
        Path(path).parent.chmod(0o755)
        Path(path).chmod(0o644)
        Path(path).unlink()

    if folder.exists():
        shutil.rmtree(folder, onerror=make_writable)


def sweep(folder: Path, older_than: float = 86400.0) -> int:
    """Remove what interrupted runs left in ``folder``; return how many entries.

    An entry goes when its process is gone; one of another machine (on a shared disk) when ``older_than`` seconds old.
    """
    removed = 0
    for entry in folder.glob(f"{TEMP_PREFIX}*"):
        try:
            if not _is_abandoned(entry, older_than):
                continue
            remove_tree(entry) if entry.is_dir() else entry.unlink()
            removed += 1
        except FileNotFoundError:
            continue  # its owner finished in the meantime
    return removed


def _is_abandoned(entry: Path, older_than: float) -> bool:
    parts = entry.name.removeprefix(TEMP_PREFIX).split("-")
    if os.name == "posix" and parts[0] == _machine() and len(parts) > 1 and parts[1].isdigit():
        try:
            os.kill(int(parts[1]), 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False
    return time.time() - entry.stat().st_mtime > older_than
