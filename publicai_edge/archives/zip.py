"""A reader of zip files that checks what Python's own leaves unchecked.

Before zipfile sees the file, the size of its directory is bounded; after that, the places of all members: none may lie
in another (CVE-2024-0450, a small file that unpacks to petabytes), and only the two usual methods are taken (others
take as much memory as the archive asks for).

Source: APPNOTE.TXT 6.3.10, PKWARE.
"""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from publicai_edge.archives.reading import Content, Kind, Limits, Member

_END, _END64_LOCATOR, _END64 = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06"
_END_BYTES, _LOCATOR_BYTES, _END64_BYTES, _LOCAL_BYTES = 22, 20, 56, 30
_MAX_COMMENT = 1 << 16
_ENTRY_BYTES = 256  # of one member in the directory, on average: 46, its name and what comes with it
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_ENCRYPTED = 0x1 | 0x40
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, IndexError, OverflowError,
           RuntimeError, struct.error)  # fmt: skip


class ZipArchive:
    """An opened zip; ``stream`` has to be seekable, of ``size`` bytes, and stays open as long as this is used."""

    def __init__(self, stream: IO[bytes], size: int, limits: Limits) -> None:
        self._stream = stream
        directory = _directory_bytes(stream, size)
        if directory > limits.members * _ENTRY_BYTES:
            raise ValueError(f"its directory has {directory:,} bytes")
        with _damage():
            self._zip = zipfile.ZipFile(stream)
        entries = self._zip.infolist()
        limits.check(len(entries), sum(entry.file_size for entry in entries), size)
        self._entries = {entry.filename: entry for entry in entries}
        if len(self._entries) != len(entries):
            raise ValueError("two members have the same name")
        for entry in entries:
            if "\0" in entry.orig_filename:
                raise ValueError(f"a member's name holds a NUL: {entry.orig_filename[:120]!r}")
        self._next = _places(entries, size - directory)
        self.members = tuple(map(_member, entries))
        self._files = {member.name: member for member in self.members if member.kind != "folder"}

    def read(self, wanted: set[str]) -> Iterator[tuple[Member, Content]]:
        """Yield the wanted files in the order of their names."""
        for name in sorted(wanted & self._files.keys()):
            with self.open(name) as content:
                yield self._files[name], content

    def open(self, name: str) -> "Opened":
        """Return a file as a stream that can be sought, without looking at any other member.

        Raises:
            ValueError: it is a link or a device, encrypted, packed in an unusual way, or damaged.
            KeyError: there is none of that name.
        """
        member, entry = self._files[name], self._entries[name]
        if member.kind != "file":
            raise ValueError(f"{member.name[:120]!r} is a link or a device")
        if entry.compress_type not in _METHODS or entry.flag_bits & _ENCRYPTED:
            raise ValueError(f"{member.name[:120]!r} is encrypted, or packed in an unusual way")
        self._check_place(entry)
        with _damage():
            return Opened(self._zip.open(entry))

    def _check_place(self, entry: zipfile.ZipInfo) -> None:
        """See that a member ends before the next begins; its own header says how long it is itself."""
        self._stream.seek(entry.header_offset + 26)
        name, extra = struct.unpack("<HH", _exactly(self._stream, 4))
        if entry.header_offset + _LOCAL_BYTES + name + extra + entry.compress_size > self._next[entry.header_offset]:
            raise ValueError("members lie in one another")


def _places(entries: list[zipfile.ZipInfo], end: int) -> dict[int, int]:
    """Return where each member's successor begins, by where it begins itself.

    Members have to lie one after another. What only their own headers tell is left to :meth:`ZipArchive.open`: here it
    would take a request for each, where the archive lies on a server.
    """
    ordered = sorted(entries, key=lambda entry: entry.header_offset)
    following = {}
    for entry, begins in zip(ordered, [*(entry.header_offset for entry in ordered[1:]), end], strict=False):
        least = entry.header_offset + _LOCAL_BYTES + len(entry.orig_filename) + entry.compress_size
        if entry.header_offset < 0 or least > begins:
            raise ValueError("members lie in one another")
        following[entry.header_offset] = begins
    return following


class Opened(io.RawIOBase):
    """One member's bytes, never more than its header states; every kind of damage is a ValueError."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__()
        self._stream = stream

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes; going back may read all before it again."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes, or all that is left."""
        with _damage():
            return self._stream.read(size)

    def readinto(self, buffer: Any) -> int:
        """Read into ``buffer``, as buffered streams ask for it."""
        data = self.read(len(memoryview(buffer)))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to a position."""
        with _damage():
            return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """Return the position, in bytes."""
        return self._stream.tell()

    def close(self) -> None:
        """Close the member; the archive stays open."""
        self._stream.close()
        super().close()


@contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise ValueError(f"{error}") from error


def _member(entry: zipfile.ZipInfo) -> Member:
    mode = entry.external_attr >> 16
    kind: Kind = "file" if stat.S_IFMT(mode) in {0, stat.S_IFREG} else "other"
    if entry.filename.endswith("/"):
        kind = "folder"
        if entry.file_size or stat.S_IFMT(mode) not in {0, stat.S_IFDIR}:
            raise ValueError(f"{entry.filename[:120]!r} is a folder by its name only")
    name = entry.filename.removesuffix("/") if kind == "folder" else entry.filename
    return Member(name, entry.file_size, kind, bool(mode & 0o100))


def _directory_bytes(stream: IO[bytes], size: int) -> int:
    """Return how many bytes the archive's directory takes, with all that follows it."""
    tail_bytes = min(size, _END_BYTES + _MAX_COMMENT + _LOCATOR_BYTES + _END64_BYTES)
    stream.seek(size - tail_bytes)
    tail = _exactly(stream, tail_bytes)
    at = len(tail) - _END_BYTES
    if at < 0 or tail[at : at + 4] != _END or tail[-2:] != b"\0\0":
        at = tail.rfind(_END)
    if at < 0 or at + _END_BYTES > len(tail):
        raise ValueError("it is no zip file, or its end is missing")
    found: int = struct.unpack_from("<I", tail, at + 12)[0]
    locator = at - _LOCATOR_BYTES
    if locator >= 0 and tail[locator : locator + 4] == _END64_LOCATOR:
        record = locator - _END64_BYTES
        if record < 0 or tail[record : record + 4] != _END64:
            raise ValueError("its end is damaged")
        found = struct.unpack_from("<Q", tail, record + 40)[0]
        at = record
    found += len(tail) - at
    if found > size:
        raise ValueError("its directory is larger than itself")
    return found


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise ValueError("it is cut short")
    return data
