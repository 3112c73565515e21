"""Tar files that lie, each made by hand: a name, and how to write it so that it aims at ``outside``."""

import gzip
import io
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

GOOD = b"what belongs there\n"
EVIL = b"what does not\n"
_END = bytes(1024)


def _header(name: str | bytes, data: bytes = b"", kind: bytes = b"0", *, size: bytes | None = None, link: str = "",
            mode: int = 0o644) -> bytes:  # fmt: skip
    raw = name if isinstance(name, bytes) else name.encode()
    block = bytearray(512)
    block[: len(raw[:100])] = raw[:100]
    block[100:108] = b"%07o\0" % mode
    block[108:116] = block[116:124] = b"0000000\0"
    block[124:136] = size if size is not None else b"%011o\0" % len(data)
    block[136:148] = b"00000000000\0"
    block[156:157] = kind
    block[157 : 157 + len(link.encode())] = link.encode()
    block[257:265] = b"ustar\x0000"
    return _summed(block)


def _summed(block: bytearray) -> bytes:
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _entry(name: str | bytes, data: bytes = EVIL, kind: bytes = b"0", *, size: bytes | None = None,
           link: str = "") -> bytes:  # fmt: skip
    return _header(name, data, kind, size=size, link=link) + data + bytes(-len(data) % 512)


def _records(**values: bytes) -> bytes:
    out = b""
    for key, value in values.items():
        body = b" " + key.replace("__", ".").encode() + b"=" + value + b"\n"
        length = len(body)
        while len(str(length)) + len(body) != length:
            length = len(str(length)) + len(body)
        out += str(length).encode() + body
    return out


def _pax(entry: bytes, kind: bytes = b"x", **values: bytes) -> bytes:
    return _entry("pax", _records(**values), kind) + entry


def _long(name: bytes, kind: bytes = b"L") -> bytes:
    return _entry("././@LongLink", name + b"\0", kind)


def _folded_links(outside: Path) -> bytes:
    """Folders and links whose resolved path grows past what the system takes, so that a check of it gives up.

    After CVE-2025-4517.
    """
    buffer = io.BytesIO()
    part, steps = "d" * 247, "abcdefghijklmnop"
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        path = ""
        for step in steps:
            folder = tarfile.TarInfo(f"{path}{part}")
            folder.type = tarfile.DIRTYPE
            archive.addfile(folder)
            link = tarfile.TarInfo(f"{path}{step}")
            link.type, link.linkname = tarfile.SYMTYPE, part
            archive.addfile(link)
            path += f"{part}/"
        way = tarfile.TarInfo("/".join(steps) + "/" + "l" * 254)
        way.type, way.linkname = tarfile.SYMTYPE, "../" * len(steps)
        archive.addfile(way)
        escape = tarfile.TarInfo("escape")
        escape.type, escape.linkname = tarfile.SYMTYPE, f"{way.name}/../outside"
        archive.addfile(escape)
        owned = tarfile.TarInfo("escape/owned")
        owned.size = len(EVIL)
        archive.addfile(owned, io.BytesIO(EVIL))
    assert outside
    return buffer.getvalue()


def _sparse() -> bytes:
    """GNU's old sparse form: 20 bytes that say they are a file of a terabyte."""
    block = bytearray(_header("good", EVIL, b"S"))
    block[386:410] = b"00000000000\0" + b"%011o\0" % len(EVIL)
    block[483:495] = b"\x80" + struct.pack(">Q", 1 << 40).rjust(11, b"\0")
    return _summed(block) + EVIL + bytes(-len(EVIL) % 512) + _END


TARS: dict[str, Callable[[Path], bytes]] = {
    "climbs out": lambda _: _entry("good", GOOD) + _entry("../outside/owned") + _END,
    "climbs out from a folder": lambda _: _entry("a/b/../../../outside/owned") + _END,
    "is absolute": lambda outside: _pax(_entry("x"), path=f"{outside}/owned".encode()) + _END,
    "is absolute in an old name": lambda _: _entry("/publicai-edge-owned") + _END,
    "climbs out by a pax name": lambda _: _pax(_entry("good"), path=b"../outside/owned") + _END,
    "climbs out by a GNU name": lambda _: _long(b"../outside/owned") + _entry("good") + _END,
    "climbs out by a name for all": lambda _: _pax(_entry("good"), b"g", path=b"../outside/owned") + _END,
    "climbs out with backslashes": lambda _: _entry("..\\outside\\owned") + _END,
    "names a Windows drive": lambda _: _entry("C:/owned") + _END,
    "is a Windows device": lambda _: _entry("folder/NUL") + _END,
    "holds a NUL": lambda _: _pax(_entry("x"), path=b"good\0../owned") + _END,
    "holds a line's end": lambda _: _entry("good\nbad") + _END,
    "is not UTF-8": lambda _: _entry(b"\xff\xfe") + _END,
    "is empty": lambda _: _entry("") + _END,
    "has 5,000 bytes": lambda _: _pax(_entry("x"), path=b"a/" * 2500 + b"x") + _END,
    "has 5,000 bytes in GNU's form": lambda _: _long(b"a/" * 2500 + b"x") + _entry("x") + _END,
    "is a link, and a file through it": lambda outside: (
        _entry("way", b"", b"2", link="../outside") + _entry("way/owned") + _END
    ),
    "is a link to a file, and the file": lambda outside: (
        _entry("way", b"", b"2", link="../outside/kept") + _entry("way") + _END
    ),
    "is a hard link, and the file": lambda outside: (
        _entry("way", b"", b"1", link="../outside/kept") + _entry("way") + _END
    ),
    "is a hard link with content": lambda _: _entry("good", GOOD) + _entry("way", EVIL, b"1", link="good") + _END,
    "is lost in links": _folded_links,
    "is a device": lambda _: _entry("null", b"", b"3") + _END,
    "is a pipe": lambda _: _entry("pipe", b"", b"6") + _END,
    "is of no known kind": lambda _: _entry("odd", b"", b"Q") + _END,
    "is sparse": lambda _: _sparse(),
    "is sparse by pax": lambda _: _pax(_entry("good"), GNU__sparse__major=b"1", GNU__sparse__minor=b"0") + _END,
    "comes twice": lambda _: _entry("good", GOOD) + _entry("good") + _END,
    "comes in two cases": lambda _: _entry("Good", GOOD) + _entry("good") + _END,
    "comes in two compositions": lambda _: _entry("caf\u00e9", GOOD) + _entry("cafe\u0301") + _END,
    "is a file and a folder": lambda _: _entry("good", GOOD) + _entry("good/bad") + _END,
    "is a folder with content": lambda _: _entry("folder", EVIL, b"5") + _END,
    "has a negative size": lambda _: _entry("good", size=b"\xff" * 12) + _END,
    "points back to itself": lambda _: _entry("good", b"", size=b"\xff" * 10 + struct.pack(">h", -1024)) * 8 + _END,
    "has a negative size by pax": lambda _: _pax(_entry("good"), size=b"-1024") + _END,
    "has a size of no digits": lambda _: _entry("good", size=b"00000000xyz\0") + _END,
    "states eight exabytes": lambda _: _entry("good", size=b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7) + _END,
    "states more than it has": lambda _: _entry("good", size=b"00000010000\0"),
    "has a header of a gigabyte": lambda _: _entry("pax", b"", b"x", size=b"%011o\0" % (1 << 30)) + _END,
    "has a header of digits": lambda _: _entry("pax", b"1" * (1 << 20), b"x") + _entry("good") + _END,
    "has a header that is damaged": lambda _: _entry("pax", b"99 path=x\n", b"x") + _entry("good") + _END,
    "has headers without end": lambda _: _long(b"good") * 2000 + _entry("good") + _END,
    "has a wrong sum": lambda _: _entry("good").replace(b"ustar", b"Ustar") + _END,
    "is cut in a header": lambda _: _entry("good", GOOD) + _header("more")[:100],
    "is cut in a member": lambda _: _entry("good", GOOD * 99)[:700],
    "bursts": lambda _: gzip.compress(_entry("zeros", bytes(40 << 20)) + _END),
    "bursts after its end": lambda _: gzip.compress(_entry("good", GOOD) + _END + bytes(40 << 20)),
    "has a wrong sum of gzip's": lambda _: gzip.compress(_entry("good", GOOD) + _END)[:-8] + b"\0" * 8,
    "is cut in gzip's data": lambda _: gzip.compress(_entry("good", GOOD * 99) + _END)[:-30],
    "is no archive": lambda _: b"words and nothing else\n" * 40,
    "has more than a hundred thousand members": lambda _: gzip.compress(_entry("x", b"") * 100_001 + _END, 1),
}
