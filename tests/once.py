"""Folders that take long to make, made by one process while the others that want them wait."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import filelock


def made_once(folder: Path, make: Callable[[Path], Path]) -> Path:
    """Return a folder that ``make`` makes in a scratch folder if it is not there; other test runs wait for it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder.parent / f"{folder.name}.lock"):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                make(Path(scratch)).rename(folder)
    return folder
