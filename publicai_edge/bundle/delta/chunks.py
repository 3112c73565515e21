"""Cutting files where their content says so, so that an insertion moves the cuts along and leaves the pieces alike.

A cut lies behind each byte where a hash of the 32 bytes up to it has so many leading zeros: a gear hash (Xia et al.,
FastCDC, USENIX ATC 2016), computed for all positions at once by doubling its window five times.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from publicai_edge.progress import Task

WINDOW = 32
_SEGMENT = 4 << 20
_SMALL_FILE = 64 << 20


@dataclass(frozen=True)
class Chunk:
    """A piece of a file: where it starts, its length in bytes, and the digest of its content."""

    start: int
    length: int
    digest: bytes


def average_of(size: int) -> int:
    """Return the average length of a chunk, a power of two, for a file of ``size`` bytes."""
    return 1 << 9 if size <= _SMALL_FILE else 1 << 16


def chunks(path: Path, average: int, task: Task) -> Iterator[Chunk]:
    """Yield the chunks of a file in order; they cover it. No more of it is held than 4 MiB and a longest chunk.

    Args:
        path: the file.
        average: length to aim at, a power of two; none is shorter than a quarter of it or longer than four times it,
            but for the last.
        task: told the bytes.
    """
    import numpy as np

    table = _table()
    with path.open("rb") as stream:
        pending, start, tail = b"", 0, b""
        while piece := stream.read(_SEGMENT):
            task.advance(len(piece))
            cuts = _candidates(np.frombuffer(tail + piece, np.uint8), table, average, len(tail))
            data = pending + piece
            done = 0
            for end in _lengths([int(cut) + len(pending) for cut in cuts], len(data), average):
                yield Chunk(start + done, end - done, _digest(data[done:end]))
                done = end
            pending, start = data[done:], start + done
            tail = (tail + piece)[-(WINDOW - 1) :]
        if pending:
            yield Chunk(start, len(pending), _digest(pending))


def _candidates(values: Any, table: Any, average: int, skip: int) -> Any:
    """Return the positions behind which a cut may lie, counted from ``skip`` on."""
    import numpy as np

    state = table[values]
    shift = 1
    while shift < WINDOW:
        moved = np.zeros_like(state)
        moved[shift:] = state[:-shift] << np.uint32(shift)
        state = state + moved
        shift *= 2
    bits = average.bit_length() - 1
    places = np.nonzero(state >> np.uint32(32 - bits) == 0)[0] + 1
    return places[places > skip] - skip


def _lengths(cuts: list[int], size: int, average: int) -> Iterator[int]:
    """Choose cuts among the candidates, so that no chunk is too short or too long; the rest waits for more bytes."""
    least, most, last = average // 4, average * 4, 0
    for cut in [*cuts, size + 1]:
        while min(cut, size) - last > most:
            last += most
            yield last
        if cut <= size and cut - last >= least:
            last = cut
            yield last


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _table() -> Any:
    """Return 256 numbers of 32 bits without a pattern, the same for ever: old and new are cut on different machines."""
    import numpy as np

    return np.frombuffer(hashlib.shake_128(b"publicai-edge chunks 1").digest(1024), "<u4").astype(np.uint32)
