"""What is known of a file before it arrives, and the running digests that tell whether it did."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from publicai_edge import digest
from publicai_edge.artifact import Blob


@dataclass(frozen=True)
class Wanted:
    r"""What a file must be, as far as that is known.

    ``other`` is a digest in another algorithm, as (name, hex): what npm's registry states (``sha512``) and
    what the hub states for files outside LFS (``git``: SHA-1 over ``blob SIZE\0`` and the content).
    """

    sha256: str | None = None
    size: int | None = None
    other: tuple[str, str] | None = None

    @staticmethod
    def blob(blob: Blob) -> "Wanted":
        """Return what a pinned file must be."""
        return Wanted(blob.sha256, blob.size)

    @property
    def certain(self) -> bool:
        """Whether a digest will tell if the right bytes arrived."""
        return bool(self.sha256 or self.other)

    def key(self, url: str) -> str:
        """Return the name of the partial: the same content has the same, wherever it comes from."""
        return digest.of_json([self.sha256, self.other] if self.certain else url)


@dataclass(frozen=True)
class Mismatch:
    """In what a file differs from the wanted one."""

    what: str
    expected: str
    found: str


class Hashes:
    """SHA-256 of a growing file, and whatever else is needed to compare it with the wanted one."""

    def __init__(self, wanted: Wanted) -> None:
        self.size = 0
        self._wanted = wanted
        self._sha256 = hashlib.sha256()
        self._other = None
        match wanted.other:
            case ("git", _):
                self._other = hashlib.sha1(f"blob {wanted.size}\0".encode(), usedforsecurity=False)
            case (name, _):
                self._other = hashlib.new(name, usedforsecurity=False)

    def update(self, piece: bytes) -> None:
        """Take in the next bytes."""
        self._sha256.update(piece)
        if self._other:
            self._other.update(piece)
        self.size += len(piece)

    def update_from(self, path: Path, advance: Callable[[int], None]) -> None:
        """Take in the whole of a file."""
        with path.open("rb") as stream:
            while piece := stream.read(digest.CHUNK):
                self.update(piece)
                advance(len(piece))

    @property
    def sha256(self) -> str:
        """Digest of the bytes so far."""
        return self._sha256.hexdigest()

    def mismatch(self) -> Mismatch | None:
        """Return how the bytes differ from the wanted ones, or None."""
        wanted = self._wanted
        if wanted.sha256 and self.sha256 != wanted.sha256:
            return Mismatch("sha256", wanted.sha256, self.sha256)
        if wanted.other and self._other and self._other.hexdigest() != wanted.other[1]:
            name = "git blob id" if wanted.other[0] == "git" else wanted.other[0]
            return Mismatch(name, wanted.other[1], self._other.hexdigest())
        if wanted.size is not None and self.size != wanted.size:
            return Mismatch("size", f"{wanted.size:,} bytes", f"{self.size:,} bytes")
        return None
