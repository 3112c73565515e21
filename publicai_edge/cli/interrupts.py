"""Ctrl-C before a verb runs and after it: one line and code 130, as within it.

While modules are imported there is nothing to clean up, and a ``KeyboardInterrupt`` would end as a traceback through
somebody's import, or be taken for a missing module. So the process ends at once then. While a verb runs, Ctrl-C is the
exception that it is everywhere in Python: what runs is ended in order, and what is done is kept.

Invariants: only small modules of the standard library are imported here, for they come before it works; where SIGINT is
ignored (``nohup``, a shell's background job), it stays ignored.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130
_WORDS = b"\nError: Interrupted.\nNext: Run the same command again; what is done is kept.\n"


def end_at_once() -> None:
    """From now on, Ctrl-C ends this process with one line; to be called in the main thread."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


@contextmanager
def as_exceptions() -> Iterator[None]:
    """Within the block, Ctrl-C is a ``KeyboardInterrupt``, if :func:`end_at_once` was called before it."""
    if signal.getsignal(signal.SIGINT) is not _end:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, _end)


def _end(_number: int, _frame: FrameType | None) -> None:
    os.write(2, _WORDS)  # not through sys.stderr: its lock may be held where the signal came
    os._exit(INTERRUPTED)
