"""Zip files that lie, each made by hand: a name, and how to write it so that it aims at ``outside``."""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

GOOD = b"what belongs there\n"
EVIL = b"what does not\n"


def _zip(*entries: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return buffer.getvalue()


def _of_mode(name: str, mode: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, mode << 16
    return entry


def _renamed(data: bytes, old: str, new: bytes) -> bytes:
    """Exchange a name, by one as long, in the members' headers and the directory."""
    assert len(old) == len(new)
    assert data.count(old.encode()) == 2
    return data.replace(old.encode(), new)


Raw = tuple[bytes, bytes, int, int, int]
"""A member as its headers state it: name, packed bytes, unpacked size, CRC, flags."""


def _raw(members: Sequence[Raw], *, places: Sequence[int] | None = None, method: int = 8, own: bytes = b"") -> bytes:
    """Write a zip whose every field is chosen; ``own`` is the name in the members' own headers."""
    out, directory, at = bytearray(), bytearray(), 0
    for index, (name, packed, size, crc, flags) in enumerate(members):
        local_name = own or name
        place = places[index] if places else len(out)
        fields = struct.pack("<HHHHIIIHH", flags, method, 0, 33, crc, len(packed), size, len(local_name), 0)
        if not places or not index:
            out += b"PK\x03\x04" + struct.pack("<H", 20) + fields + local_name + packed
        central = struct.pack("<HHHHIIIHH", flags, method, 0, 33, crc, len(packed), size, len(name), 0)
        attributes = struct.pack("<HHHII", 0, 0, 0, 0, place)
        directory += b"PK\x01\x02" + struct.pack("<HH", 20, 20) + central + attributes + name
        at += 1
    end = struct.pack("<HHHHIIH", 0, 0, at & 0xFFFF, at & 0xFFFF, len(directory), len(out), 0)
    return bytes(out + directory + b"PK\x05\x06" + end)


def _deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def _member(name: bytes, data: bytes, *, size: int | None = None, crc: int | None = None, flags: int = 0) -> Raw:
    return name, _deflated(data), len(data) if size is None else size, zlib.crc32(data) if crc is None else crc, flags


def _quoted() -> bytes:
    """A kernel of zeros that thirty members share: each one's data begins with a stored block that quotes the next.

    After David Fifield, "A better zip bomb" (USENIX WOOT 2019).
    """
    kernel = _deflated(bytes(2 << 20))
    crc_of = zlib.crc32
    names = [b"%02d" % index for index in range(30)]
    data, plain = kernel, bytes(2 << 20)
    files: list[bytes] = []
    central: list[tuple[bytes, int, int, int]] = []
    local = b""
    for name in reversed(names):
        if local:  # quote the header of the member after this one
            data = b"\x00" + struct.pack("<HH", len(local), len(local) ^ 0xFFFF) + local + data
            plain = local + plain
        local = (
            b"PK\x03\x04"
            + struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, crc_of(plain), len(data), len(plain), len(name), 0)
            + name
        )
        files.insert(0, local)
        central.insert(0, (name, crc_of(plain), len(data), len(plain)))
    body = local + data
    directory, at = b"", 0
    for (name, crc, packed, size), header in zip(central, files, strict=True):
        directory += b"PK\x01\x02" + struct.pack(
            "<HHHHHHIIIHHHHHII", 20, 20, 0, 8, 0, 33, crc, packed, size, len(name), 0, 0, 0, 0, 0, at
        )
        directory += name
        at += len(header) + 5
    count = len(central)
    return body + directory + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), len(body), 0)


def _same_place() -> bytes:
    one = _member(b"bomb0", bytes(2 << 20))
    return _raw([(b"bomb%d" % index, *one[1:]) for index in range(9)], places=[0] * 9, own=b"bomb0")


_MANY = [(b"%x" % index, b"", 0, 0, 0) for index in range(100_001)]

ZIPS: dict[str, Callable[[Path], bytes]] = {
    "climbs out": lambda _: _zip(("good", GOOD), ("../outside/owned", EVIL)),
    "climbs out from a folder": lambda _: _zip(("a/b/../../../outside/owned", EVIL)),
    "is absolute": lambda outside: _zip((f"{outside}/owned", EVIL)),
    "has two slashes": lambda outside: _zip((f"/{outside}/owned", EVIL)),
    "climbs out with backslashes": lambda _: _renamed(_zip(("..+outside+owned", EVIL)), "..+outside+owned",
                                                     b"..\\outside\\owned"),
    "names a Windows drive": lambda _: _zip(("C:/owned", EVIL)),
    "names a Windows drive's folder": lambda _: _zip(("C:owned", EVIL)),
    "names a Windows server": lambda _: _zip(("//server/share/owned", EVIL)),
    "opens a second stream": lambda _: _zip(("good.txt:owned", EVIL)),
    "is a Windows device": lambda _: _zip(("folder/aux.txt", EVIL)),
    "is a Windows device after all": lambda _: _zip(("COM¹ .txt", EVIL)),
    "ends with a dot": lambda _: _zip(("good.", EVIL)),
    "ends with a space": lambda _: _zip(("folder /good", EVIL)),
    "holds a NUL": lambda _: _renamed(_zip(("good.txt+../owned", EVIL)), "good.txt+../owned", b"good.txt\0../owned"),
    "holds a line's end": lambda _: _zip(("good\nbad", EVIL)),
    "turns the letters round": lambda _: _zip(("good\u202etxt.exe", EVIL)),
    "is not UTF-8": lambda _: _raw([_member(b"\xff\xfe", EVIL, flags=0x800)]),
    "is empty": lambda _: _raw([_member(b"", EVIL)]),
    "is a dot": lambda _: _zip((".", EVIL)),
    "has 5,000 bytes": lambda _: _zip(("a/" * 2500 + "x", EVIL)),
    "has a part of 300 bytes": lambda _: _zip(("a" * 300, EVIL)),
    "is 60 folders deep": lambda _: _zip(("a/" * 60 + "x", EVIL)),
    "is a link, and a file through it": lambda outside: _zip(
        (_of_mode("way", stat.S_IFLNK | 0o777), str(outside).encode()), ("way/owned", EVIL)
    ),
    "is a link to a file": lambda outside: _zip((_of_mode("way", stat.S_IFLNK | 0o777), f"{outside}/kept".encode())),
    "is a device": lambda _: _zip((_of_mode("null", stat.S_IFCHR | 0o666), b"")),
    "is a pipe": lambda _: _zip((_of_mode("pipe", stat.S_IFIFO | 0o666), b"")),
    "comes twice": lambda _: _raw([_member(b"good", GOOD), _member(b"good", EVIL)]),
    "comes in two cases": lambda _: _zip(("Good", GOOD), ("good", EVIL)),
    "comes in two cases of a folder": lambda _: _zip(("Folder/a", GOOD), ("folder/b", EVIL)),
    "comes in two compositions": lambda _: _zip(("caf\u00e9", GOOD), ("cafe\u0301", EVIL)),
    "is a file and a folder": lambda _: _zip(("good", GOOD), ("good/bad", EVIL)),
    "is a file and an empty folder": lambda _: _zip(("good", GOOD), ("good/", b"")),
    "is a folder with content": lambda _: _zip(("folder/", EVIL)),
    "is called otherwise inside": lambda _: _raw([_member(b"good", GOOD)], own=b"evil"),
    "bursts": lambda _: _zip(("zeros", bytes(40 << 20))),
    "quotes thirty members": lambda _: _quoted(),
    "has nine members in one place": lambda _: _same_place(),
    "has a wrong CRC": lambda _: _raw([_member(b"good", GOOD, crc=1)]),
    "states less than it has": lambda _: _raw([_member(b"good", GOOD * 9, size=len(GOOD))]),
    "states more than it has": lambda _: _raw([_member(b"good", GOOD, size=len(GOOD) + 1)]),
    "states four gigabytes": lambda _: _raw([_member(b"good", GOOD, size=0xFFFFFFFE)]),
    "is encrypted": lambda _: _raw([_member(b"good", GOOD, flags=1)]),
    "is packed with LZMA": lambda _: _zip(("good", GOOD), method=zipfile.ZIP_LZMA),
    "has damaged data": lambda _: _raw([(b"good", b"\xff" * 40, 40, 0, 0)]),
    "is cut": lambda _: _zip(("good", GOOD * 99))[:-9],
    "has a directory larger than itself": lambda _: _zip(("good", GOOD))[:-10] + b"\xff" * 4 + b"\0" * 6,
    "has more than a hundred thousand members": lambda _: _raw(_MANY),
}  # fmt: skip
