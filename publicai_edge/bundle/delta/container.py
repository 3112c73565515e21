"""The ZIP file of an update, read by rules of one's own.

Only regular members are taken, stored or deflated, unencrypted, and only under the names that ``update.json`` implies:
``new/PATH`` for a file that is carried whole, ``part/PATH`` for the bytes carried of one that is put together. Of each
no more is read than ``update.json`` says, whatever the ZIP file's own headers claim.
"""

import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from publicai_edge.bundle.delta import document
from publicai_edge.bundle.delta.document import Entry, Update
from publicai_edge.bundle.install import durable
from publicai_edge.errors import BundleError

_MOST_MEMBERS = 100_001
_PIECE = 1 << 20
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, IndexError, OverflowError,
           RuntimeError, KeyError)  # fmt: skip


def member_of(entry: Entry) -> str | None:
    """Return the name of the member that carries bytes of a file; None where none are carried."""
    if entry.source is None:
        return f"new/{entry.path}"
    return f"part/{entry.path}" if entry.carried else None


@dataclass(frozen=True)
class Container:
    """An opened update."""

    path: Path
    update: Update
    _zip: zipfile.ZipFile

    @contextmanager
    def bytes_of(self, entry: Entry) -> Iterator["Carried"]:
        """Yield the bytes that the update carries of a file.

        Raises:
            BundleError: they are damaged, or not as many as it says.
        """
        name = member_of(entry)
        if name is None:
            yield Carried(None, 0, entry.path)
            return
        with _damage(self.path), self._zip.open(name) as stream:
            carried = Carried(stream, entry.carried, entry.path)
            yield carried
            carried.end()


class Carried:
    """A stream of an exact number of bytes."""

    def __init__(self, stream: IO[bytes] | None, size: int, path: str) -> None:
        self._stream, self._left, self._path = stream, size, path

    def read(self, length: int) -> Iterator[bytes]:
        """Yield the next ``length`` bytes, in pieces."""
        while length:
            piece = self._stream.read(min(length, _PIECE)) if self._stream else b""
            if not piece or len(piece) > self._left:
                raise ValueError(f"{self._path} does not have the bytes that {document.FILE_NAME} says")
            self._left -= len(piece)
            length -= len(piece)
            yield piece

    def end(self) -> None:
        """See that nothing is left."""
        if self._left or (self._stream and self._stream.read(1)):
            raise ValueError(f"{self._path} has more bytes than {document.FILE_NAME} says")


@contextmanager
def open_update(path: Path) -> Iterator[Container]:
    """Open an update.

    Raises:
        BundleError: it is no update, is damaged, or holds what an update does not.
    """
    with _damage(path), _opened(path) as opened:
        members = opened.infolist()
        if len(members) > _MOST_MEMBERS:
            raise ValueError(f"it has more than {_MOST_MEMBERS:,} members")
        _check_members(members)
        data = _document(opened)
        update = document.parse(data, str(path))
        wanted = {document.FILE_NAME, *(name for entry in update.entries if (name := member_of(entry)))}
        if (there := {member.filename for member in members}) != wanted:
            strange = sorted(there ^ wanted)[:3]
            raise ValueError(f"its members are not those that {document.FILE_NAME} lists: {', '.join(strange)}")
        yield Container(path, update, opened)


def _opened(path: Path) -> zipfile.ZipFile:
    if not path.is_file():
        raise BundleError(f"There is no update {path}.", hint="Give the file that `publicai-edge diff` wrote.")
    return zipfile.ZipFile(path)


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    if len({member.filename for member in members}) != len(members):
        raise ValueError("two members have the same name")
    for member in members:
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in {0, stat.S_IFREG} or member.is_dir():
            raise ValueError(f"{member.filename[:80]!r} is no regular file")
        if member.flag_bits & 1 or member.compress_type not in _METHODS:
            raise ValueError(f"{member.filename[:80]!r} is encrypted, or packed in an unusual way")


def _document(opened: zipfile.ZipFile) -> bytes:
    with opened.open(document.FILE_NAME) as stream:
        data = stream.read(document.MOST_BYTES + 1)
    if len(data) > document.MOST_BYTES:
        raise ValueError(f"{document.FILE_NAME} is larger than {document.MOST_BYTES:,} bytes")
    return data


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        with durable.errors("read", path):
            yield
    except _BROKEN as error:
        raise BundleError(
            f"{path} is damaged or not an update: {str(error)[:300]}.",
            hint="Copy it again from where it came, or make it again with `publicai-edge diff`.",
        ) from error
