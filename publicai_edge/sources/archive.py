"""Members of a wheel, an npm tarball or a source distribution, taken into the store one by one.

Nothing is ever written under a name that an archive chose: members land in scratch files and are stored by
digest. Only regular files are taken; the bounds are those of :mod:`publicai_edge.archives`.
"""

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, Protocol, cast

from publicai_edge import archives, atomic, digest
from publicai_edge.archives.reading import Content
from publicai_edge.archives.zip import ZipArchive
from publicai_edge.errors import SourceError
from publicai_edge.progress import Task
from publicai_edge.sources import listing
from publicai_edge.sources.intake import Intake
from publicai_edge.sources.request import Job


class Archive(Protocol):
    """An opened package: what it holds beside folders, by name and size, and the content of its plain files."""

    sizes: dict[str, int]

    def read(self, wanted: set[str]) -> Iterator[tuple[str, Content]]:
        """Yield the wanted members, in the package's own order."""
        ...


def take(archive: Archive, path: str, job: Job, intake: Intake, where: str) -> None:
    """Bring one member, or all below a folder, through ``intake`` into the store.

    Raises:
        NotFoundError: there is no such member.
        SourceError: the package is damaged or hostile.
    """
    kept = intake.want(listing.choose(archive.sizes, path, where, job.request.only))
    keys = {name: key for key, name in kept.items()}
    total = sum(archive.sizes[name] for name in keys)
    atomic.require_space(job.store.root, total, f"Unpacking {where}")
    with (
        job.progress.task(f"Unpacking {where}", total=total, unit="bytes") as task,
        job.store.scratch() as folder,
    ):
        for name, stream in archive.read(set(keys)):
            target = folder / "member"
            sha256 = _copy(stream, target, archive.sizes[name], name, task)
            intake.accept(keys[name], target, sha256)


def _copy(content: Content, target: Path, size: int, name: str, task: Task) -> str:
    state, written = hashlib.sha256(), 0
    with atomic.host_errors("write", target), target.open("wb") as writer:
        while piece := content.read(digest.CHUNK):
            written += len(piece)
            if written > size:
                break
            state.update(piece)
            writer.write(piece)
            task.advance(len(piece))
    if written != size:
        raise ValueError(f"{name} does not have the {size:,} bytes that its header states")
    return state.hexdigest()


@contextmanager
def open_wheel(wheel: Path | IO[bytes], where: str, size: int | None = None) -> Iterator["Wheel"]:
    """Open a wheel (a zip file): a path, or a stream of ``size`` bytes."""
    with _damage(where), archives.opened_zip(wheel, size) as opened:
        yield Wheel(opened)


@contextmanager
def open_tarball(path: Path, where: str) -> Iterator[Archive]:
    """Open an npm tarball or a source distribution; the folder that all its members lie in is not part of names."""
    with _damage(where), atomic.host_errors("read", path), archives.opened_tar(path) as opened:
        yield _Package(opened, lambda name: name.partition("/")[2] or name)


@contextmanager
def _damage(where: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise SourceError(
            f"{where} is damaged or not what it claims to be: {error}.",
            hint="Its digest is the published one, so tell the publisher; choose another version meanwhile.",
        ) from error


class _Package:
    def __init__(self, opened: archives.Archive, called: Callable[[str], str]) -> None:
        self._archive = opened
        self._inner: dict[str, str] = {}
        self.sizes: dict[str, int] = {}
        for member in opened.members:
            if member.kind == "folder":
                continue
            name = called(member.name)
            if name in self.sizes:
                raise ValueError(f"two members are called {name[:120]!r}")
            self.sizes[name] = member.size
            self._inner[name] = member.name

    def read(self, wanted: set[str]) -> Iterator[tuple[str, Content]]:
        names = {self._inner[name]: name for name in wanted}
        for member, content in self._archive.read(set(names)):
            yield names[member.name], content


class Wheel(_Package):
    """An opened wheel, of whose members single parts can be read."""

    def __init__(self, opened: ZipArchive) -> None:
        super().__init__(opened, lambda name: name)
        self._zip = opened

    def open(self, name: str) -> BinaryIO:
        """Return a member as a stream that can be sought; raises ValueError, here or later, where it is damaged."""
        return cast("BinaryIO", io.BufferedReader(self._zip.open(name)))
