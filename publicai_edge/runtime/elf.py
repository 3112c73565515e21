"""Which glibc a folder of Linux programs really needs, read from their ELF files (System V ABI, gABI 4.1).

The floor is the highest ``GLIBC_x.y`` that any file asks for: the symbol versions in the section ``.gnu.version_r``
are what the kiosk's loader checks before it runs anything. Nothing is assumed from where a file was compiled.

Invariant: every offset and count is checked against the file's size, so a damaged file gives a typed error.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from publicai_edge.errors import HostError

MAGIC = b"\x7fELF"
MACHINES = {62: "x86_64", 183: "aarch64"}
_VERNEED = 0x6FFFFFFE  # SHT_GNU_verneed
_SECTION = struct.Struct("<IIQQQQIIQQ")
_NEED, _NEED_AUX = struct.Struct("<HHIII"), struct.Struct("<IHHII")
_GLIBC = re.compile(r"GLIBC_(\d+)\.(\d+)(?:\.\d+)?")
_MOST = 65536


@dataclass(frozen=True)
class Needs:
    """What an ELF file asks of the machine: its architecture, and symbol versions such as ``GLIBC_2.17``."""

    machine: str
    versions: frozenset[str]

    @property
    def glibc(self) -> tuple[int, int]:
        """The lowest glibc that has all of them; (0, 0) where none is asked for."""
        found = [_GLIBC.fullmatch(version) for version in self.versions]
        return max(((int(match[1]), int(match[2])) for match in found if match), default=(0, 0))


def is_elf(path: Path) -> bool:
    """Say whether a file is a program or library of Linux."""
    with path.open("rb") as stream:
        return stream.read(4) == MAGIC


def read(path: Path) -> Needs:
    """Read what a 64-bit, little-endian ELF file needs.

    Raises:
        HostError: it is damaged, or of another kind.
    """
    data = path.read_bytes()
    try:
        if data[:6] != MAGIC + b"\x02\x01":
            raise ValueError("not a 64-bit, little-endian ELF file")  # noqa: TRY301
        (machine,) = struct.unpack_from("<H", data, 18)
        return Needs(MACHINES.get(machine, f"machine {machine}"), frozenset(_versions(data)))
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise HostError(f"{path} cannot be read as a Linux program: {error}.", path=str(path)) from error


def _versions(data: bytes) -> Iterator[str]:
    (table,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    if count and size != _SECTION.size:
        raise ValueError("its section headers have another size")
    sections = [_SECTION.unpack_from(data, table + index * size) for index in range(count)]
    for section in sections:
        if section[1] == _VERNEED:
            names = sections[section[6]]
            yield from _needed(data, section[4], section[4] + section[5], names[4], names[4] + names[5])


def _needed(data: bytes, at: int, end: int, names: int, names_end: int) -> Iterator[str]:
    for _ in range(_MOST):
        _, count, _, first, following = _NEED.unpack_from(data, at)
        place = at + first
        for _ in range(count):
            if not at <= place < end:
                raise ValueError("its symbol versions lie outside of their section")
            _, _, _, name, after = _NEED_AUX.unpack_from(data, place)
            yield _string(data, names + name, names_end)
            place += after
        if not following:
            return
        at += following
    raise ValueError("its symbol versions do not end")


def _string(data: bytes, at: int, end: int) -> str:
    stop = data.find(b"\0", at, end)
    if stop < 0:
        raise ValueError("a name in it does not end")
    return data[at:stop].decode("ascii")


@dataclass(frozen=True)
class Floor:
    """The lowest glibc that runs a folder, as ``2.31``, and one of the files that need it."""

    glibc: str
    because: str


def floor(folder: Path, machine: str) -> Floor:
    """Return what all ELF files below ``folder`` together need.

    Raises:
        HostError: a file is of another architecture than ``machine``, or there is none at all.
    """
    most, because = (0, 0), ""
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or not is_elf(path):
            continue
        needs = read(path)
        name = path.relative_to(folder).as_posix()
        if needs.machine != machine:
            raise HostError(f"{name} is for {needs.machine}; the runtime is for {machine}.", path=str(path))
        if needs.glibc > most or not because:
            most, because = max(needs.glibc, most), name
    if not because:
        raise HostError(f"{folder} holds no Linux program.", path=str(folder))
    return Floor(".".join(map(str, most)), because)
