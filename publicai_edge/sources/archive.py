"""Members of a wheel or an npm tarball, taken into the store one by one.

Nothing is ever written under a name that an archive chose: members land in scratch files and are stored by
digest. Only regular files are taken; bounds on count, size and single reads hold whatever the headers claim
(CVE-2025-8194 and CVE-2025-4517 are what tarfile's own trust in them led to).
"""

import gzip
import hashlib
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from publicai_edge import atomic, digest
from publicai_edge.errors import SourceError
from publicai_edge.progress import Task
from publicai_edge.sources import listing
from publicai_edge.sources.intake import Intake
from publicai_edge.sources.request import Job

_MAX_MEMBERS = 100_000
_MAX_RATIO = 200  # weights compress little, text perhaps 20 to 1; deflate itself reaches 1,000 to 1
_FREE_SIZE = 16 << 20  # below this a high ratio harms nobody
_MAX_READ = 4 << 20  # a header that makes tarfile read more than this at once is not a header
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, ValueError,
NotImplementedError,
           IndexError, OverflowError, RuntimeError, gzip.BadGzipFile)  # fmt: skip


class Archive(Protocol):
    """An opened package: its regular files by name and size, and their content."""

    sizes: dict[str, int]

    def read(self, wanted: set[str]) -> Iterator[tuple[str, IO[bytes]]]:
        """Yield the wanted members as streams, in the package's own order."""
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


def _copy(stream: IO[bytes], target: Path, size: int, name: str, task: Task) -> str:
    state, written = hashlib.sha256(), 0
    with atomic.host_errors("write", target), target.open("wb") as writer:
        while piece := _read(stream):
            written += len(piece)
            if written > size:
                break
            state.update(piece)
            writer.write(piece)
            task.advance(len(piece))
    if written != size:
        raise ValueError(f"{name} does not have the {size:,} bytes that its header states")
    return state.hexdigest()


def _read(stream: IO[bytes]) -> bytes:
    try:
        return stream.read(digest.CHUNK)
    except OSError as error:  # gzip reports damage this way; it must not pass for a failing disk
        raise ValueError(str(error)) from error


@contextmanager
def open_wheel(wheel: Path | IO[bytes], where: str, size: int | None = None) -> Iterator[Archive]:
    """Open a wheel (a zip file): a path, or a stream of ``size`` bytes."""
    packed = wheel.stat().st_size if isinstance(wheel, Path) else size or 0
    with _damage(where), zipfile.ZipFile(wheel) as opened:
        yield _Wheel(opened, packed)


@contextmanager
def open_tarball(path: Path, where: str) -> Iterator[Archive]:
    """Open an npm tarball or a source distribution; the folder that all its members lie in is not part of names."""
    with _damage(where):
        yield _NpmTarball(path)


@contextmanager
def _damage(where: str) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise SourceError(
            f"{where} is damaged or not what it claims to be: {error}.",
            hint="Its digest is the published one, so tell the publisher; choose another version meanwhile.",
        ) from error


def _bounded(members: int, total: int, packed: int) -> None:
    if members > _MAX_MEMBERS:
        raise ValueError(f"it has more than {_MAX_MEMBERS:,} members")
    if total > _FREE_SIZE + packed * _MAX_RATIO:
        raise ValueError(f"it would unpack to more than {_MAX_RATIO} times its size")


class _Wheel:
    def __init__(self, opened: zipfile.ZipFile, packed: int) -> None:
        self._zip = opened
        files = [member for member in opened.infolist() if not member.is_dir()]
        _bounded(len(files), sum(member.file_size for member in files), packed)
        self._members = {member.filename: member for member in files}
        if len(self._members) != len(files):
            raise ValueError("two members have the same name")
        self.sizes = {name: member.file_size for name, member in self._members.items()}

    def read(self, wanted: set[str]) -> Iterator[tuple[str, IO[bytes]]]:
        for name in sorted(wanted):
            member = self._members[name]
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in {0, stat.S_IFREG}:
                raise ValueError(f"{name} is a link or a device")
            with self._zip.open(member) as stream:
                yield name, stream


class _Forward:
    """A stream for tarfile that goes forward only, in small reads, up to a limit."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream = stream
        self._limit = limit

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_READ:
            raise ValueError(f"a header asks for {size:,} bytes at once")
        self._check(self._stream.tell() + size)
        return self._stream.read(size)

    def seek(self, position: int, whence: int = 0) -> int:
        if whence != 0 or position < self._stream.tell():
            raise ValueError("a header points backwards")
        self._check(position)
        return self._stream.seek(position)

    def tell(self) -> int:
        return self._stream.tell()

    def _check(self, position: int) -> None:
        if position > self._limit + _MAX_READ:
            raise ValueError(f"it would unpack to more than {_MAX_RATIO} times its size")


class _NpmTarball:
    """Two passes: one to list, which reads to the end and so checks gzip's own sum, one to take."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._limit = _FREE_SIZE + path.stat().st_size * _MAX_RATIO
        self.sizes: dict[str, int] = {}
        for count, (name, member, _) in enumerate(self._walk(), 1):
            _bounded(count, 0, 0)
            if name in self.sizes:
                raise ValueError(f"two members are called {name}")
            self.sizes[name] = member.size

    def read(self, wanted: set[str]) -> Iterator[tuple[str, IO[bytes]]]:
        for name, member, opened in self._walk():
            if name in wanted:
                if not member.isreg() or member.issparse():
                    raise ValueError(f"{name} is a link, a device or a sparse file")
                stream = opened.extractfile(member)
                if stream is None:
                    raise ValueError(f"{name} has no content")
                yield name, stream

    def _walk(self) -> Iterator[tuple[str, tarfile.TarInfo, tarfile.TarFile]]:
        try:
            with gzip.open(self._path) as plain:
                forward = _Forward(plain, self._limit)  # type: ignore[arg-type]
                with tarfile.open(fileobj=forward, mode="r:") as opened:  # type: ignore[call-overload]
                    for member in opened:
                        if not member.isdir():
                            yield member.name.partition("/")[2] or member.name, member, opened
                        opened.members = []  # tarfile keeps every header otherwise
        except OSError as error:
            raise ValueError(str(error)) from error
