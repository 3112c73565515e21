"""Adds a document in a process that ends itself, as a power cut would, at the call given.

``python -m tests.knowledge.added.killed FOLDER CALL``: the call is counted over all that flush, rename or remove
something. It prints how many calls there were when it comes to the end.
"""

import itertools
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from publicai_edge import atomic
from publicai_edge.knowledge.added.shelf import ORIGINAL, Ready, Shelf

calls = itertools.count(1)
made = [0]


def counted(call: Callable[..., Any], last: int) -> Callable[..., Any]:
    def counting(*given: Any, **named: Any) -> Any:
        made[0] = next(calls)
        if made[0] == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*given, **named)

    return counting


def main(folder: Path, last: int) -> None:
    for module, name in ((os, "fsync"), (Path, "rename"), (Path, "replace"), (Path, "unlink"), (Path, "mkdir")):
        setattr(module, name, counted(getattr(module, name), last))
    shelf = Shelf(folder)
    shelf.load()
    shelf.check()
    shelf.sweep()
    incoming = shelf.incoming()
    (incoming / ORIGINAL).write_bytes(b"The new document.")
    document = shelf.take_in(incoming, "new.txt")
    ready = Ready(folder / f"index-{shelf.catalog.generation + 1}.sqlite", shelf.catalog.generation + 1)
    with atomic.replacing(ready.path) as place:  # what the child process writes, by the same call
        place.write_bytes(b"index of two")
    shelf.commit(shelf.catalog.with_added(replace(document, title="New", passages=1), ready.generation))
    print(made[0])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
