"""A forward-only reader of tar files, plain or compressed with gzip: ustar, GNU and pax headers.

It takes nothing on trust, which Python's own does (CVE-2025-8194 turns back and never ends, CVE-2024-6232 takes hours
over one header, CVE-2025-4517 writes elsewhere): no seeking, no recursion, no regular expressions, every length checked
before it is read.

Source: POSIX.1-2024, pax, "ustar Interchange Format" and "pax Header Block"; GNU tar manual, "Basic Tar Format".
"""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from publicai_edge.archives.reading import PIECE, Content, Kind, Limits, Member

_BLOCK = 512
_MAX_EXTENSION = 1 << 20  # of one pax or GNU header: a name has 4,096 bytes at most, the rest are attributes
_MAX_EXTENSIONS = 8  # such headers before one member
_EMPTY = bytes(_BLOCK)
_FILES, _FOLDER, _LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL = b"0\x007", b"5", b"L", b"K", b"x", b"g"


class TarArchive:
    """Two passes: the first lists, and reads to the end, which checks gzip's own sum; the second gives contents."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        members: list[Member] = []
        for member, _ in self._walk():
            members.append(member)
            limits.check(len(members), 0, 0)
        self.members = tuple(members)

    def read(self, wanted: set[str]) -> Iterator[tuple[Member, Content]]:
        """Yield the wanted files in the archive's own order."""
        for member, content in self._walk():
            if member.name in wanted and member.kind != "folder":
                if member.kind != "file":
                    raise ValueError(f"{member.name[:120]!r} is a link, a device or a sparse file")
                yield member, content

    def _walk(self) -> Iterator[tuple[Member, Content]]:
        limit = self._limits.bytes_for(self._path.stat().st_size)
        with _plain(self._path) as stream:
            forward = _Forward(stream, limit, self._limits.ratio)
            while member := _next(forward):
                content = _Content(forward, member.size)
                yield member, content
                forward.skip(content.left + -member.size % _BLOCK)
            forward.drain()


@contextmanager
def _plain(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if not packed:
            yield raw
            return
        with gzip.GzipFile(fileobj=raw) as opened:
            yield opened  # type: ignore[misc]


class _Forward:
    """Reads exactly what is asked for, forward only, up to a limit."""

    def __init__(self, stream: IO[bytes], limit: int, ratio: int) -> None:
        self._stream = stream
        self._left = limit + PIECE  # headers and padding are not content
        self._ratio = ratio

    def some(self, size: int) -> bytes:
        """Return 1 to ``size`` bytes, or nothing at the end."""
        try:
            data = self._stream.read(min(size, PIECE))
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:  # any other OSError is a failing disk
            raise ValueError(f"its compressed data is damaged ({error})") from error
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(f"it would unpack to more than {self._ratio} times its size, or than is allowed")
        return data

    def exactly(self, size: int) -> bytes:
        """Return ``size`` bytes, a header's few."""
        data = b""
        while len(data) < size:
            piece = self.some(size - len(data))
            if not piece:
                raise ValueError("it ends inside a header")
            data += piece
        return data

    def skip(self, size: int) -> None:
        while size > 0:
            piece = self.some(size)
            if not piece:
                raise ValueError("it ends inside a member")
            size -= len(piece)

    def drain(self) -> None:
        while self.some(PIECE):
            pass


class _Content:
    """One member's bytes."""

    def __init__(self, forward: _Forward, size: int) -> None:
        self._forward = forward
        self.left = size

    def read(self, size: int, /) -> bytes:
        if not self.left:
            return b""
        data = self._forward.some(min(size, self.left))
        if not data:
            raise ValueError("it ends inside a member")
        self.left -= len(data)
        return data


@dataclass
class _Extension:
    """What headers before a member say about it."""

    name: str | None = None
    size: int | None = None
    sparse: bool = False


def _next(forward: _Forward) -> Member | None:
    """Read up to the next member's content; None at the end of the archive."""
    extension = _Extension()
    for count in range(_MAX_EXTENSIONS + 1):
        first = forward.some(_BLOCK)
        if not first and not count:
            return None  # no empty block at the end: older writers left it out
        block = first + forward.exactly(_BLOCK - len(first))
        if block == _EMPTY and not count:
            return None
        _check_sum(block)
        kind = block[156:157]
        if kind not in {_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL}:
            return _member(block, extension)
        size = _number(block[124:136])
        if size > _MAX_EXTENSION:
            raise ValueError(f"a header asks for {size:,} bytes at once")
        data = forward.exactly(size)
        forward.skip(-size % _BLOCK)
        _extend(extension, kind, data)
    raise ValueError("a member has too many headers")


def _extend(extension: _Extension, kind: bytes, data: bytes) -> None:
    if kind == _LONG_NAME:
        extension.name = _text(data)
    elif kind in {_PAX, _PAX_GLOBAL}:
        records = dict(_records(data))
        if kind == _PAX_GLOBAL and records.keys() & {b"path", b"size"}:
            raise ValueError("a header gives every member the same name or size")
        if b"path" in records:
            extension.name = records[b"path"].decode("utf-8", "surrogateescape")
        if b"size" in records:
            extension.size = _decimal(records[b"size"])
        extension.sparse |= any(key.startswith(b"GNU.sparse.") for key in records)


def _records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the records of a pax header, each ``LENGTH KEY=VALUE`` and a line's end."""
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 10)
        if space < 0:
            raise ValueError("a pax header is damaged")
        length = _decimal(data[at:space])
        end = at + length
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if end <= space + 1 or end > len(data) or data[end - 1 : end] != b"\n" or not equals:
            raise ValueError("a pax header is damaged")
        yield key, value
        at = end


def _member(block: bytes, extension: _Extension) -> Member:
    flag = block[156:157]
    name = _text(block[:100])
    if block[257:263] == b"ustar\0" and block[345]:  # GNU's own form has other things there
        name = f"{_text(block[345:500])}/{name}"
    if extension.name is not None:
        name = extension.name
    size = _number(block[124:136]) if extension.size is None else extension.size
    kind: Kind = "other"
    if flag == _FOLDER or (flag == b"\0" and name.endswith("/")):
        kind = "folder"
    elif flag in {bytes([one]) for one in _FILES} and not extension.sparse:
        kind = "file"
    if kind != "file" and size and not extension.sparse:
        raise ValueError(f"{name[:120]!r} is no plain file, and states {size:,} bytes of content")
    mode = _number(block[100:108])
    return Member(name.removesuffix("/") if kind == "folder" else name, size, kind, bool(mode & 0o100))


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _decimal(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > 19:  # noqa: PLR2004 - what fits 63 bits
        raise ValueError("a pax header is damaged")
    return int(digits)


def _number(field: bytes) -> int:
    """Read a number: octal digits, or GNU's binary form for what they cannot hold."""
    if field[0] & 0x80:
        value = int.from_bytes(field[1:], "big")
        if field[0] != 0x80 or value >= 1 << 63:  # noqa: PLR2004 - the mark itself
            raise ValueError("a header states a negative or impossible number")
        return value
    digits = field.strip(b"\0 ")
    if digits.strip(b"01234567"):
        raise ValueError("a header states a number that is none")
    return int(digits or b"0", 8)


def _check_sum(block: bytes) -> None:
    """See that the header's own sum is right; some writers added the bytes as signed ones."""
    rest = block[:148] + b" " * 8 + block[156:]
    stated, found = _number(block[148:156]), sum(rest)
    if stated != found and stated != found - 256 * sum(byte > 127 for byte in rest):  # noqa: PLR2004 - a sign's bit
        raise ValueError("a header is damaged")
