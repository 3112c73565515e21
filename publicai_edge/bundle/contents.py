"""Every file of a bundle, as it lies: found without following a link, and read once.

Invariants: what is hashed is a regular file, opened without following a link in its place; a file that is to be parsed
is parsed from the very bytes that were hashed, never read again.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import BinaryIO, cast

from publicai_edge import digest
from publicai_edge.artifact import Blob
from publicai_edge.bundle.signing import names
from publicai_edge.errors import BundleError
from publicai_edge.host import usable_cores
from publicai_edge.progress import Progress

MOST_KEPT = 16 << 20
"""Most bytes of a file that is read into memory to be parsed."""

# A pipe that is put in a file's place after the listing must not be waited for: hence without blocking.
_OPEN = os.O_RDONLY
for _name in ("O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "O_BINARY"):
    _OPEN |= getattr(os, _name, 0)


@dataclass(frozen=True)
class Listing:
    """What lies in a bundle's folder.

    Attributes:
        files: size in bytes of every regular file, by relative POSIX path.
        strange: links, devices, sockets and whatever else is neither a file nor a folder.
        folders: relative paths of all folders but the root.
    """

    files: Mapping[str, int]
    strange: frozenset[str]
    folders: frozenset[str]

    @property
    def git(self) -> list[str]:
        """What belongs to git, by its name."""
        return sorted(path for path in (*self.files, *self.strange, *self.folders) if names.is_git(path))


def what_to_give(place: Path) -> str:
    """Return what to do next where ``place`` is no bundle."""
    if (place / "START-HERE.html").is_file():
        return "It was one, and a part of it is missing: copy the bundle again from where it came."
    if place.suffix == ".toml":
        return f"That is a recipe: `publicai-edge build {place}` makes the bundle, and prints its folder."
    first = "Unpack it, and give" if place.suffix == ".zip" else "Give"
    return f"{first} the bundle's folder, the one that holds START-HERE.html."


def look(root: Path) -> Listing:
    """List a bundle's folder.

    Raises:
        BundleError: it is not a folder, or a part of it cannot be read.
    """
    if not root.is_dir():
        found = "is a file; a bundle is a folder" if root.exists() else "is not there: there is no folder of that name"
        raise BundleError(f"{root} {found}.", hint=what_to_give(root))
    files: dict[str, int] = {}
    strange: set[str] = set()
    folders: set[str] = set()
    waiting = [""]
    while waiting:
        base = waiting.pop()
        try:
            with os.scandir(root / base) as entries:
                for entry in entries:
                    path = f"{base}{entry.name}"
                    about = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(about.st_mode):
                        folders.add(path)
                        waiting.append(f"{path}/")
                    elif stat.S_ISREG(about.st_mode):
                        files[path] = about.st_size
                    else:
                        strange.add(path)
        except OSError as error:
            raise BundleError(f"Cannot read {root / base}: {error.strerror}.") from error
    return Listing(files, frozenset(strange), frozenset(folders))


def read(root: Path, path: str, most: int = MOST_KEPT) -> bytes:
    """Return a file's bytes.

    Raises:
        BundleError: it cannot be read, is no regular file, or holds more than ``most`` bytes.
    """
    pieces, left = [], most + 1
    with _opened(root, path) as stream:
        while left and (piece := stream.read(left)):
            pieces.append(piece)
            left -= len(piece)
    data = b"".join(pieces)
    if len(data) > most:
        raise BundleError(f"{path} in {root} has more than {most:,} bytes; no bundle's has.", changed=[path])
    return data


def hash_all(root: Path, sizes: Mapping[str, int], progress: Progress) -> dict[str, Blob]:
    """Return digest and size of each of these files, hashed on all cores; the hash releases the interpreter's lock.

    Args:
        root: the bundle's folder.
        sizes: the files, with their sizes as listed.
        progress: told the bytes.

    Raises:
        BundleError: one cannot be read.
    """
    # The largest first, so that no core waits for a straggler.
    order = sorted(sizes, key=lambda path: -sizes[path])
    stopped = Event()
    with (
        progress.task("Checking every file", total=sum(sizes.values()), unit="bytes") as task,
        ThreadPoolExecutor(usable_cores()) as pool,
    ):

        def advance(amount: int) -> None:
            if stopped.is_set():
                raise InterruptedError
            task.advance(amount)

        try:
            return dict(zip(order, pool.map(lambda path: _hashed(root, path, advance), order), strict=True))
        except BaseException:
            stopped.set()  # Ctrl-C does not wait for the end of a file of gigabytes
            raise


def _hashed(root: Path, path: str, advance: Callable[[int], None]) -> Blob:
    size = 0

    def count(amount: int) -> None:
        nonlocal size
        size += amount
        advance(amount)

    with _opened(root, path) as stream:
        return Blob(digest.of_stream(stream, count), size)


@contextmanager
def _opened(root: Path, path: str) -> Iterator[BinaryIO]:
    place = root / path
    try:
        with cast(BinaryIO, os.fdopen(os.open(place, _OPEN), "rb", buffering=0)) as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise BundleError(f"{place} is no regular file any more.", changed=[path])
            yield stream
    except OSError as error:
        raise BundleError(f"Cannot read {place}: {error.strerror}.") from error


def shown(paths: Iterable[str]) -> list[str]:
    """Return paths in a form that can be printed and put into JSON: names need not be UTF-8."""
    return sorted(path.encode("utf-8", "backslashreplace").decode() for path in paths)
