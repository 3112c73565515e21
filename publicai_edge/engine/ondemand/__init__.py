"""Models that are loaded when somebody needs them, in a process of its own, and let go when nobody has for a while.

:mod:`.client` is the kiosk's side: it starts the process, asks it, and ends it. :mod:`.server` is the process's.

A request is a line of JSON that says in ``bytes`` how many bytes follow it. So is an answer, and behind those there is
:data:`END`, so that one that was cut short is not taken for whole. Both are read without a buffer that would keep them.
"""

from typing import IO

END = b"\n"


def read_line(stream: IO[bytes]) -> bytes:
    """Return what a stream without a buffer has up to the end of a line; less at its end."""
    line = b""
    while not line.endswith(b"\n") and (piece := stream.read(1)):
        line += piece
    return line


def read_bytes(stream: IO[bytes], count: int) -> bytearray:
    """Return so many bytes of a stream without a buffer; what is missing at its end is zeros."""
    data = bytearray(count)
    view, at = memoryview(data), 0
    while at < count and (got := stream.readinto(view[at:])):  # type: ignore[attr-defined]
        at += got
    view.release()
    return data
