"""Busy neighbours: programs that take cores while something is measured, as a browser on a kiosk does."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# It ends when its stdin does, that is, when whoever started it is gone, however that happens.
_PROGRAM = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
while True:
    pass
"""


@contextmanager
def busy(cores: int) -> Iterator[None]:
    """Keep so many cores busy while the block runs."""
    running = [subprocess.Popen([sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE) for _ in range(cores)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.communicate()
