"""The values that pass between stages: files named by digest.

Invariants: a :class:`FileSet` path is relative, POSIX, without ``.`` or ``..`` parts; equal file sets have equal
digests, whatever machine or folder they come from.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from publicai_edge import digest


def check_relative(path: str) -> str:
    """Return ``path`` if it is a plain relative POSIX path.

    Raises:
        ValueError: it is absolute, empty, or climbs out.
    """
    pure = PurePosixPath(path)
    bad = not path or pure.is_absolute() or "\\" in path or "\0" in path or ":" in path.split("/", maxsplit=1)[0]
    if bad or any(part in {"..", "."} for part in path.split("/")) or str(pure) != path:
        raise ValueError(f"not a plain relative path: {path!r}")
    return path


@dataclass(frozen=True, order=True)
class Blob:
    """One file's content: its SHA-256 in hex and its size in bytes."""

    sha256: str
    size: int

    def __post_init__(self) -> None:
        digest.check(self.sha256)
        if not isinstance(self.size, int) or self.size < 0:
            raise ValueError(f"not a size in bytes: {self.size!r:.40}")


@dataclass(frozen=True)
class FileSet:
    """A small tree of files: relative path to content."""

    files: Mapping[str, Blob]

    def __post_init__(self) -> None:
        for path in self.files:
            check_relative(path)

    def __iter__(self) -> Iterator[tuple[str, Blob]]:
        return iter(sorted(self.files.items()))

    def __len__(self) -> int:
        return len(self.files)

    @property
    def size(self) -> int:
        """Sum of the files' sizes, in bytes."""
        return sum(blob.size for blob in self.files.values())

    @property
    def sha256(self) -> str:
        """Digest of the whole set: of its paths, sizes and digests."""
        return digest.of_json(self.to_json())

    def only(self) -> Blob:
        """Return the single file of a one-file set."""
        (blob,) = self.files.values()
        return blob

    def prefixed(self, prefix: str) -> "FileSet":
        """Return the same files below the folder ``prefix``."""
        return FileSet({f"{prefix}/{path}": blob for path, blob in self.files.items()})

    def to_json(self) -> dict[str, Any]:
        """Return ``{path: {"sha256": …, "size": …}}``, sorted."""
        return {path: {"sha256": blob.sha256, "size": blob.size} for path, blob in self}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "FileSet":
        """Read what :meth:`to_json` wrote."""
        return FileSet({path: Blob(item["sha256"], item["size"]) for path, item in data.items()})
