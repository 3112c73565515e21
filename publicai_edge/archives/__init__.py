"""Archives from elsewhere, the one way in: names by rules of one's own, sizes bounded, all of it or nothing.

Invariants of :func:`extract`: everything is judged before the first byte is written; only plain files and folders are
taken (no link, device, pipe or sparse file); nothing is written outside the folder, nor over anything; the folder
appears under its name when it is complete. Damage and malice raise the one error that the caller names.

:func:`opened_zip` and :func:`opened_tar` judge structure and size, not names: that is for callers who take single
members and write them under names of their own.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from publicai_edge import atomic
from publicai_edge.archives import names
from publicai_edge.archives.reading import PIECE, Archive, Content, Limits, Member
from publicai_edge.archives.tar import TarArchive
from publicai_edge.archives.zip import ZipArchive
from publicai_edge.errors import PublicAIError
from publicai_edge.progress import Progress, Silent, Task

__all__ = ["Archive", "Limits", "Member", "extract", "names", "opened", "opened_tar", "opened_zip", "safe_members"]

_DEFAULT = Limits()
_SHOWN = 3


@contextmanager
def opened_zip(archive: Path | IO[bytes], size: int | None = None, limits: Limits = _DEFAULT) -> Iterator[ZipArchive]:
    """Open a zip: a path, or a seekable stream of ``size`` bytes.

    Raises:
        ValueError: it is damaged, or holds more than allowed; here, or while it is read.
    """
    if isinstance(archive, Path):
        with archive.open("rb") as stream:
            yield ZipArchive(stream, archive.stat().st_size, limits)
    else:
        yield ZipArchive(archive, size or 0, limits)


@contextmanager
def opened_tar(archive: Path, limits: Limits = _DEFAULT) -> Iterator[TarArchive]:
    """Open a tar, plain or gzip; raises as :func:`opened_zip`."""
    yield TarArchive(archive, limits)


def safe_members(archive: Archive) -> tuple[Member, ...]:
    """Return the plain files of an archive in which every single member may be extracted.

    Raises:
        ValueError: a name is unsafe, two are one file somewhere, or something is neither a plain file nor a folder.
    """
    for member in archive.members:
        if member.kind == "other":
            raise ValueError(f"{member.name[:120]!r} is a link, a device or a sparse file")
        names.check(member.name)
    files = tuple(member for member in archive.members if member.kind == "file")
    names.check_together(member.name for member in files)
    known = {names.folded(member.name) for member in files}
    if clash := [item.name for item in archive.members if item.kind == "folder" and names.folded(item.name) in known]:
        raise ValueError(f"{clash[0][:120]!r} as a file and as a folder")
    return files


@contextmanager
def opened(archive: Path, limits: Limits = _DEFAULT) -> Iterator[Archive]:
    """Open a zip or a tar by its content, whatever it is called; raises as :func:`opened_zip`."""
    with archive.open("rb") as stream:
        is_zip = stream.read(2) == b"PK"
    with opened_zip(archive, limits=limits) if is_zip else opened_tar(archive, limits) as found:
        yield found


def extract(
    archive: Path,
    folder: Path,
    *,
    error: type[PublicAIError],
    hint: str = "Get the file again, and check where it comes from.",
    only: Collection[str] | None = None,
    limits: Limits = _DEFAULT,
    progress: Progress | None = None,
) -> tuple[Member, ...]:
    """Unpack a zip or tar into ``folder``, which must not be there yet or be empty; return its files.

    Executable files stay so (0755, others 0644); times and owners are not taken over. Files are not flushed to the
    disk: who promises durability does that.

    Args:
        archive: the file.
        folder: where the members go.
        error: what damage and malice are raised as.
        hint: the next step then.
        only: the names that may be there and must be; anything else in the archive is an error. None takes all.
        limits: how much it may hold.
        progress: told about the bytes.

    Raises:
        HostError: the disk is full, the folder is not empty, or there is no permission.
        PublicAIError: of the class ``error``; nothing was written.
    """
    atomic.check_folder(folder.parent)
    with atomic.temporary_folder(folder.parent) as work:
        target = work / "unpacked"
        target.mkdir()
        try:
            with opened(archive, limits) as found:
                files = safe_members(found)
                _check_only(files, only)
                _write(found, files, target, archive, progress or Silent())
        except ValueError as wrong:
            raise error(f"{archive} was refused, and nothing of it was used: {wrong}.", hint=hint) from wrong
        with atomic.host_errors("unpack to", folder):
            target.replace(folder)
    return files


def _check_only(files: tuple[Member, ...], only: Collection[str] | None) -> None:
    if only is None:
        return
    found = {member.name for member in files}
    if odd := sorted(found ^ set(only)):
        what = "holds what it should not" if odd[0] in found else "lacks"
        raise ValueError(f"it {what}: {', '.join(odd[:_SHOWN])}")


def _write(found: Archive, files: tuple[Member, ...], target: Path, archive: Path, progress: Progress) -> None:
    total = sum(member.size for member in files)
    atomic.require_space(target, total, f"Unpacking {archive.name}")
    with progress.task(f"Unpacking {archive.name}", total=total, unit="bytes") as task:
        for member, content in found.read({member.name for member in files}):
            place = target / member.name
            with atomic.host_errors("write", place):
                place.parent.mkdir(parents=True, exist_ok=True)
                _copy(content, place, member, task)


def _copy(content: Content, place: Path, member: Member, task: Task) -> None:
    written = 0
    with place.open("xb") as writer:
        while piece := content.read(PIECE):
            written += len(piece)
            if written > member.size:
                break
            writer.write(piece)
            task.advance(len(piece))
        writer.flush()
    if written != member.size:
        raise ValueError(f"{member.name[:120]!r} does not have the {member.size:,} bytes that its header states")
    place.chmod(0o755 if member.executable else 0o644)
