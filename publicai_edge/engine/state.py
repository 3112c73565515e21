"""A sequence's keys and values, in memory and in a file: the tokens they stand for, and what llama.cpp writes of them.

A file is mapped and not read, and its pages are given back after each use: a kiosk with many services in many languages
does not hold them all. Whether a file is whole is for its digest to say.

llama.cpp writes one part for each stream of a context (see :mod:`.llama`), empty for those that the sequence is not in:
after its own mark and the sequence's number come the number of streams, then the parts. A file has one stream; zeros
behind it stand for the empty parts of the others, so that a state is made fit for a context by writing the number of
its streams over the one.
"""

import contextlib
import ctypes
import mmap
import struct
from collections.abc import Sequence
from pathlib import Path

MOST_STREAMS = 64
_FORM = b"publicai-edge llama state 1\n"
_HEADER = struct.Struct("<QQ")  # tokens, bytes of the state
_NUMBER = struct.Struct("<I")
_STREAMS_AT = 2 * _NUMBER.size
EMPTY_STREAM = _NUMBER.size  # bytes that stand for a stream with nothing in it, all zero


class State:
    """Bytes of one sequence's state, fit for one context.

    Args:
        buffer: writable memory that holds them.
        offset: where they begin in it.
        size: how many they are.
        streams: the number of streams to write into them; None where it is there.
    """

    def __init__(self, buffer: bytearray | mmap.mmap, offset: int, size: int, streams: int | None = None) -> None:
        self._buffer = buffer
        self._offset = offset
        self._streams = streams
        self.size = size

    @property
    def pointer(self) -> "ctypes.Array[ctypes.c_uint8]":
        """The bytes, for a native call."""
        if self._streams is not None:
            _NUMBER.pack_into(self._buffer, self._offset + _STREAMS_AT, self._streams)
        return (ctypes.c_uint8 * self.size).from_buffer(self._buffer, self._offset)

    def release(self) -> None:
        """Give the memory of a mapped file back to the system, until the bytes are wanted again."""
        if isinstance(self._buffer, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            with contextlib.suppress(OSError):
                self._buffer.madvise(mmap.MADV_DONTNEED)  # what was written into the copy is lost as well


def write(path: Path, tokens: Sequence[int], data: bytes | bytearray) -> None:
    """Write a state that a context with one stream gave."""
    with path.open("wb") as stream:
        stream.write(_FORM + _HEADER.pack(len(tokens), len(data)))
        stream.write(struct.pack(f"<{len(tokens)}i", *tokens))
        stream.write(data)
        stream.write(bytes(_NUMBER.size * (MOST_STREAMS - 1)))


def read(path: Path, capacity: int, streams: int) -> tuple[list[int], State] | None:
    """Map a state of up to ``capacity`` tokens for a context with so many streams; None when the file is not one."""
    try:
        with path.open("rb") as stream:
            buffer = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
    except (OSError, ValueError):  # an empty file cannot be mapped
        return None
    start = len(_FORM) + _HEADER.size
    if len(buffer) < start or buffer[: len(_FORM)] != _FORM:
        return None
    count, size = _HEADER.unpack_from(buffer, len(_FORM))
    end = start + 4 * count
    whole = len(buffer) == end + size + _NUMBER.size * (MOST_STREAMS - 1) and size > _STREAMS_AT
    if count > capacity or not whole or _NUMBER.unpack_from(buffer, end + _STREAMS_AT) != (1,):
        return None
    tokens = list(struct.unpack_from(f"<{count}i", buffer, start))
    return tokens, State(buffer, end, size + _NUMBER.size * (streams - 1), streams)
