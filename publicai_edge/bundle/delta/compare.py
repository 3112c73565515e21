"""Which pieces of an old file a new one can be made from."""

from collections.abc import Iterable
from pathlib import Path

from publicai_edge.bundle.delta.chunks import Chunk, average_of, chunks
from publicai_edge.progress import Task

Pieces = tuple[tuple[int, int], ...]
_WORTH = 0.9  # of its bytes: with more than that to carry, the file is carried whole


def pieces(old: Path, new: Path, task: Task) -> Pieces | None:
    """Return the new file as pieces of the old one and bytes to carry, or None where that does not pay.

    Pieces are (start, length) in the old file, or (-1, length) for bytes to carry; neighbours are joined.
    """
    size = new.stat().st_size
    average = average_of(size)
    known: dict[tuple[bytes, int], int] = {}
    for chunk in chunks(old, average, task):
        known.setdefault((chunk.digest, chunk.length), chunk.start)
    found = _joined(chunks(new, average, task), known)
    carried = sum(length for start, length in found if start < 0)
    return tuple(found) if carried <= _WORTH * size else None


def _joined(new: Iterable[Chunk], known: dict[tuple[bytes, int], int]) -> list[tuple[int, int]]:
    """Look chunks up. Of equal ones in the old file, the one that goes on where the last piece ended is as good."""
    found: list[tuple[int, int]] = []
    for chunk in new:
        start = known.get((chunk.digest, chunk.length), -1)
        if found:
            last, length = found[-1]
            if (start < 0 and last < 0) or (start >= 0 and last >= 0 and last + length == start):
                found[-1] = (last, length + chunk.length)
                continue
        found.append((start, chunk.length))
    return found
