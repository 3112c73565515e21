"""The folder of installations as a whole: its lock, its room, and what earlier runs left in it."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from publicai_edge.bundle import lock
from publicai_edge.bundle.install import durable, staging
from publicai_edge.bundle.install.layout import MADE, Layout, tag_of
from publicai_edge.bundle.install.switch import finish
from publicai_edge.errors import HostError
from publicai_edge.progress import Progress

_MARGIN = 4 << 20


def make(folder: Path) -> None:
    """Make the folder of installations, and write down what had to be made, so that it can be unmade."""
    if made := durable.make_folder(folder, durable.FOLDER_MODE):
        durable.write_file(folder / MADE, json.dumps([str(place) for place in made]).encode())


def leave_nothing(folder: Path) -> None:
    """Remove the folders that were made for installations, once nothing is in them."""
    with suppress(OSError, ValueError, HostError):
        if any(name != MADE for name in durable.names(folder)):
            return
        made = [Path(place) for place in json.loads((folder / MADE).read_bytes())]
        (folder / MADE).unlink()
        for place in sorted(made, key=lambda item: -len(item.parts)):
            place.rmdir()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder against other runs."""
    if sys.platform == "win32":
        raise HostError(
            "Bundles can be installed on Linux and macOS only: Windows lets administrators alone make links.",
            hint="Copy the bundle's folder to the disk and check it with `publicai-edge verify`; see the how-to.",
        )
    busy = HostError(
        f"Another install, update or removal is at work in {folder}.",
        hint="Wait until it has ended, and run the command again.",
    )
    with durable.errors("work in", folder), lock.held(folder, busy):
        yield


def require_space(folder: Path, needed: int) -> None:
    with durable.errors("look at", folder):
        found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    if free < needed + _MARGIN:
        raise HostError(
            f"The bundle needs {needed / 1e6:,.1f} MB in {folder}, and {free / 1e6:,.1f} MB are free.",
            hint="Free some space, or install to another disk with --to.",
            path=str(folder),
            needed=needed,
            free=free,
        )


def size_of(root: Path) -> int:
    """Return the bytes of the files below a folder."""
    return sum((Path(place) / name).lstat().st_size for place, _, names in os.walk(root) for name in names)


def tidy(folder: Path, tag: str | None) -> None:
    """Finish what earlier runs were interrupted in; a checked version that did not come into use is staged again."""
    staging.clear(folder)
    for name in durable.names(folder):
        layout = Layout(folder, name)
        if layout.entry_of(layout.current) is None and not layout.holds_nothing_else():
            continue
        finish(layout)
        _drop_unused(layout, tag)
        if layout.entry_of(layout.current) is None and not layout.entries():
            staging.trash(folder, layout.home)
    staging.clear(folder)


def _drop_unused(layout: Layout, tag: str | None) -> None:
    used = {layout.entry_of(layout.current), layout.entry_of(layout.previous)}
    for entry in layout.entries():
        place, staged = layout.versions / entry, staging.staging_folder(layout.folder)
        if entry in used:
            continue
        if tag is not None and tag_of(place) == tag and not staged.exists():
            durable.move(place, staged)
        else:
            staging.trash(layout.folder, place)


def prune(layout: Layout, progress: Progress) -> None:
    """Remove versions that are neither in use nor the one before; what fails here is done by the next run."""
    try:
        _drop_unused(layout, None)
        staging.clear(layout.folder)
    except HostError as error:
        progress.warn(f"{error.message} It is removed by the next install.")
