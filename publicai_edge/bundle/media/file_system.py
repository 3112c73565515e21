"""What a file system can hold, decided before the first byte is written.

FAT32 (on Linux: vfat) holds no file of 4 GiB, no names that differ in case only, none of Windows' reserved names and no
modes; exFAT and NTFS have only the names in common with it.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

MOST_FAT_BYTES = (4 << 30) - 1
_FAT32 = frozenset({"vfat", "msdos", "fat", "fat32", "umsdos"})
_WINDOWS = _FAT32 | {"exfat", "ntfs", "ntfs3", "fuseblk"}
_FORBIDDEN = re.compile(r'[<>:"|?*\\\x00-\x1f]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_LONGEST_NAME = 255
_MOUNTS = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class FileSystem:
    """A file system, by its name; "" where the system does not say."""

    name: str

    @property
    def most_bytes(self) -> int | None:
        """The largest file it holds; None where that is no matter."""
        return MOST_FAT_BYTES if self.name in _FAT32 else None

    @property
    def windows_names(self) -> bool:
        """Whether names follow Windows' rules."""
        return self.name in _WINDOWS

    def too_large(self, sizes: Mapping[str, int]) -> list[str]:
        """Return the files that it cannot hold."""
        most = self.most_bytes
        return sorted(path for path, size in sizes.items() if most is not None and size > most)

    def bad_names(self, paths: Iterable[str]) -> list[str]:
        """Return the paths that it cannot hold under these names, or not beside one another."""
        if not self.windows_names:
            return []
        given = sorted(paths)
        seen: dict[str, str] = {}
        return [path for path in given if _is_bad(path) or seen.setdefault(path.casefold(), path) != path]


def _is_bad(path: str) -> bool:
    return any(
        _FORBIDDEN.search(part) or _RESERVED.fullmatch(part) or part[-1:] in {".", " "} or len(part) > _LONGEST_NAME
        for part in path.split("/")
    )


def file_system_of(place: Path) -> FileSystem:
    """Return the file system that a folder lies on, or will lie on; on Linux, from the kernel's list of mounts."""
    there = next(parent for parent in (place.absolute(), *place.absolute().parents) if parent.exists()).resolve()
    try:
        lines = _MOUNTS.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return FileSystem("")
    best, name = Path("/"), ""
    for line in lines:
        before, _, after = line.partition(" - ")
        mount = Path(_unescaped(before.split(" ")[4]))
        if there.is_relative_to(mount) and len(mount.parts) >= len(best.parts):
            best, name = mount, after.split(" ")[0]
    return FileSystem(name)


def _unescaped(text: str) -> str:
    """Return a path as it is: the kernel writes spaces, tabs, line ends and backslashes as octal numbers."""
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), os.fsencode(text)))
