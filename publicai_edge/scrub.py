"""Overwriting memory that was freed, so that what a patron typed does not stay in it.

Freeing memory leaves what was in it until something else is put there. Two allocators are at work in a Python process,
and each is dealt with in its own way:

- The C library's is told to overwrite what is freed (glibc's ``M_PERTURB``, see mallopt(3)). It does so for all but
  the few pieces that each thread keeps at hand, and the thread's stack: see :func:`scrub_thread`.
- Python's own takes pieces of up to 512 bytes from blocks that it keeps, and these from arenas that it asks the system
  for (Objects/obmalloc.c). :func:`scrub` asks for pieces of every size, filled with zeros, until none can be free that
  was used before, and lets go of them again.

Invariant: only memory that nobody uses is written to. What is still referred to stays, so this comes after everything
was dropped.
"""

import ctypes
import gc
import mmap
import pickle
import sys
from functools import cache
from pathlib import Path

_M_PERTURB, _BYTE = -6, 0xA5
_STEP, _LARGEST = 16, 512  # sizes of Python's small pieces
_BATCH_BYTES = 512 << 10  # of blocks, of which any size may be made
_FREE_BLOCKS_BYTES = (8 << 20, 64 << 20)  # at least, and at most; a kiosk's web process has 2 to 6 MB after a visit
_ARENAS_BYTES = 2 << 20  # by which the process grows when it has no free block left: of two arenas
_FREE_PIECES_BYTES = 256 << 10  # of one size, in blocks that are in use
_AT_HAND, _LARGEST_AT_HAND = 8, 1040  # glibc keeps 7 of a size and thread
_DEPTH = 400  # calls within calls, of which each writes some 200 bytes of the stack


def overwrite_what_is_freed() -> bool:
    """Have the C library overwrite what is freed from now on; return whether it does (glibc only)."""
    mallopt = getattr(_libc(), "mallopt", None)
    return bool(mallopt and mallopt(_M_PERTURB, _BYTE))


def scrub() -> None:
    """Overwrite what is free in Python's memory, and in this thread's; takes 10 ms, and 1 ms for each MB over 8."""
    gc.collect()
    overhead = sys.getsizeof(b"")
    # Blocks of which nothing is in use first: whatever is asked for afterwards comes from blocks in use.
    least, most = _FREE_BLOCKS_BYTES
    blocks, before = [], _address_space_bytes()
    for filled in range(0, most, _BATCH_BYTES):
        if filled >= least and _address_space_bytes() - before >= _ARENAS_BYTES:
            break
        blocks.append([bytes(_LARGEST - overhead) for _ in range(_BATCH_BYTES // _LARGEST)])
    for size in range(_LARGEST - _STEP, overhead, -_STEP):
        pieces = [bytes(size - overhead) for _ in range(_FREE_PIECES_BYTES // size)]
        pieces.clear()
    smaller = [float(number) for number in range(_FREE_PIECES_BYTES // 32)]
    smallest = [object() for _ in range(_FREE_PIECES_BYTES // 16)]
    del blocks, smaller, smallest
    scrub_thread()


def scrub_thread() -> None:
    """Overwrite what the calling thread has let go: its stack, and the pieces that it keeps of the C library's."""
    nested: list[object] = []
    for _ in range(_DEPTH):
        nested = [nested]
    pickle.dumps(nested)  # native code that calls itself
    libc = _libc()
    if not hasattr(libc, "malloc_usable_size"):
        return
    held = []
    for size in range(24, _LARGEST_AT_HAND, _STEP):
        for _ in range(_AT_HAND):
            if place := libc.malloc(size):
                ctypes.memset(place, 0, size)
                held.append(place)
    for place in held:
        libc.free(place)


def _address_space_bytes() -> int:
    """Return how much address space the process has; 0 where Linux does not tell."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[0]) * mmap.PAGESIZE
    except OSError:
        return 0


@cache
def _libc() -> ctypes.CDLL:
    if sys.platform == "win32":
        return ctypes.CDLL("msvcrt")
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
    libc.free.restype, libc.free.argtypes = None, (ctypes.c_void_p,)
    return libc
