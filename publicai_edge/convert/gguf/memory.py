"""Less resident memory for a process of many large libraries; for a child process made for one piece of work.

Measured on SmolLM2-135M: torch, transformers and its tokenizer take 400 MB before a weight is read.
"""

import ctypes
import gc
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from publicai_edge import host

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # glibc's malloc.h
_BLOCK_BYTES = 64 << 10
_PAGE_OUT = 21  # MADV_PAGEOUT of Linux's mman.h
_POLL_SECONDS = 0.02


def be_thrifty() -> None:
    """Set this process up; must come before torch and transformers are imported.

    One heap instead of one a thread, large blocks that go back when freed, one thread, and a transformers that does
    not load its models: only its tokenizers and configurations are used.
    """
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", USE_TORCH="0", TRANSFORMERS_NO_ADVISORY_WARNINGS="1")
    if mallopt := getattr(_libc(), "mallopt", None):
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _BLOCK_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _BLOCK_BYTES)


def give_back() -> None:
    """Free what is garbage, and return freed memory to the system."""
    gc.collect()
    _trim()


def _trim() -> None:
    if trim := getattr(_libc(), "malloc_trim", None):
        trim(0)


@contextmanager
def released_pages(weights: Sequence[Path], every: Callable[[], None]) -> Iterator[None]:
    """Give pages of mapped files back while work runs, and call ``every`` about fifty times a second.

    Code of libraries is dropped and mapped again where it is needed; it is never written to. Of the files
    ``weights`` pages are reclaimed, which keeps those that were written to (they are mapped copy-on-write). Nothing
    can be lost either way. Where the system has no such calls, nothing is given back.
    """
    stop = threading.Event()
    names = {str(path.resolve()) for path in weights}

    def loop() -> None:
        while not stop.wait(_POLL_SECONDS):
            _release(names)
            _trim()
            every()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        every()


def _release(weights: set[str]) -> None:
    def choose(permissions: str, name: str) -> int | None:
        if permissions == "r-xp" and ".so" in name:
            return host.MADV_DONTNEED
        return _PAGE_OUT if name in weights else None

    host.advise_mapped(choose)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
