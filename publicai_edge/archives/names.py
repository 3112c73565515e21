"""Which names from elsewhere may become paths here: one rule for archives, repositories and bundles.

A name is judged by what the strictest of the usual file systems makes of it (Linux, FAT32 and NTFS, macOS), because a
bundle travels between them: what is one file here must not be another there.

Invariants: a name that passes stays below the folder it is joined to, on each of them; of names that pass together, no
two are one file on any of them.
"""

import re
import unicodedata
from collections.abc import Iterable

from publicai_edge.artifact import check_relative

MAX_BYTES = 4096
"""The longest path that Linux takes, in bytes of UTF-8."""

MAX_PART_BYTES = 255
"""The longest name of one file or folder that Linux takes, in bytes of UTF-8."""

MAX_DEPTH = 40

# Reserved or not allowed on Windows (Microsoft, "Naming Files, Paths, and Namespaces"); a colon also opens a file's
# second stream there.
_FORBIDDEN = re.compile(r'[<>:"|?*\\]')
_DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\..*)?", re.IGNORECASE)
# They turn the order of the letters on the screen, so that a name is not what it seems.
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")


def check(name: str) -> str:
    """Return ``name`` if it is a plain relative path on every usual file system.

    Raises:
        ValueError: it is not; the message says why, and quotes no more than the name's beginning.
    """
    shown = repr(name[:120])
    if len(name) > MAX_BYTES or len(name.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise ValueError(f"a name of more than {MAX_BYTES:,} bytes: {shown}")
    if any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in name) or _TURNING.search(name):
        raise ValueError(f"a name with control characters, or in no known encoding: {shown}")
    if found := _FORBIDDEN.search(name):
        raise ValueError(f"a name with {found[0]!r}, which not every system takes: {shown}")
    check_relative(name)
    parts = name.split("/")
    if len(parts) > MAX_DEPTH:
        raise ValueError(f"a name more than {MAX_DEPTH} folders deep: {shown}")
    for part in parts:
        if len(part.encode()) > MAX_PART_BYTES:
            raise ValueError(f"a file or folder whose name has more than {MAX_PART_BYTES} bytes: {shown}")
        if part[-1] in ". " or part[0] == " " or _DEVICE.fullmatch(part):
            raise ValueError(f"a name that Windows takes for another: {shown}")
    return name


def folded(name: str) -> str:
    """Return what names that a file system may take for the same have in common: case and composition do not count."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def check_together(names: Iterable[str]) -> None:
    """See that no two names are one file, and none is both a file and a folder, on any usual file system.

    Raises:
        ValueError: two of them are; both are named.
    """
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    for name in names:
        key = folded(name)
        if key in files:
            raise ValueError(f"both {files[key][:120]!r} and {name[:120]!r}, which are one file on some systems")
        files[key] = name
        parts = name.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth])
            if (other := folders.setdefault(folded(folder), folder)) != folder:
                raise ValueError(f"both {other[:120]!r} and {folder[:120]!r}, which are one folder on some systems")
    if both := sorted(files.keys() & folders.keys()):
        raise ValueError(f"{files[both[0]][:120]!r} as a file and as a folder")
