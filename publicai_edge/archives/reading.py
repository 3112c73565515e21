"""What zips and tars have in common: members, bounds, and streams that never give more than was stated."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

Kind = Literal["file", "folder", "other"]

PIECE = 1 << 20


@dataclass(frozen=True)
class Limits:
    """How much an archive may hold.

    ``ratio`` bounds bombs: weights compress little, text perhaps 20 to 1, and deflate itself reaches 1,000 to 1. Below
    ``free_bytes`` a high ratio harms nobody.
    """

    members: int = 100_000
    ratio: int = 200
    free_bytes: int = 16 << 20
    total_bytes: int = 1 << 40

    def bytes_for(self, packed: int) -> int:
        """Return how many bytes an archive of ``packed`` bytes may unpack to."""
        return min(self.total_bytes, self.free_bytes + packed * self.ratio)

    def check(self, members: int, unpacked: int, packed: int) -> None:
        """Raise ValueError when an archive holds too much."""
        if members > self.members:
            raise ValueError(f"it has more than {self.members:,} members")
        if unpacked > self.total_bytes:
            raise ValueError(f"it would unpack to more than {self.total_bytes:,} bytes")
        if unpacked > self.bytes_for(packed):
            raise ValueError(f"it would unpack to more than {self.ratio} times its size")


@dataclass(frozen=True)
class Member:
    """One entry as the archive states it: nothing about ``name`` has been checked yet; ``size`` is never negative.

    ``kind`` is "other" for links, devices, pipes, sparse files and whatever else is neither a plain file nor a folder.
    """

    name: str
    size: int
    kind: Kind
    executable: bool = False


class Content(Protocol):
    """One member's bytes."""

    def read(self, size: int, /) -> bytes:
        """Return 1 to ``size`` bytes, or nothing at the end; raises ValueError at damage."""
        ...


class Archive(Protocol):
    """An opened archive: all its members, and the content of those that are plain files."""

    members: tuple[Member, ...]

    def read(self, wanted: set[str]) -> Iterator[tuple[Member, Content]]:
        """Yield the wanted files, each readable until the next; raises ValueError at damage."""
        ...
