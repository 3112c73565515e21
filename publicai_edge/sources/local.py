"""``file:``: a file or folder on this machine, copied into the store and hashed while it is copied.

A pinned file is still compared, so that an edited model does not pass for the pinned one; the store remembers
digests by path, size and time, so that this reads nothing twice. When the file is gone, the pin is enough.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from publicai_edge import atomic
from publicai_edge.errors import NotFoundError, RecipeError
from publicai_edge.recipe.lock import Pin
from publicai_edge.sources import listing
from publicai_edge.sources.intake import Intake, refuse_name
from publicai_edge.sources.request import Job

FORM = "file:PATH (relative to the recipe, or absolute)"


@dataclass(frozen=True)
class LocalSource:
    """A path, whether it was written as a folder, or is one, and the folder a relative path starts at."""

    path: Path
    folder: bool
    base: Path


def parse(source: str, base: Path) -> LocalSource:
    """Read ``file:PATH``; a relative path starts at ``base``.

    Raises:
        RecipeError: there is no path.
        ModelError: its name is a pickle's.
    """
    text = source.removeprefix("file:")
    if text.startswith("//"):
        text = text[2:]  # file:///absolute, as browsers write it
    if not text or "\0" in text:
        raise RecipeError(f"{source!r} names no file.", hint=f"Expected {FORM}.")
    refuse_name(source, text)
    path = base / Path(text).expanduser()
    return LocalSource(path, text.endswith("/") or path.is_dir(), base)


def check(source: LocalSource) -> None:
    """See that it is there, and a folder where it was written as one.

    Raises:
        NotFoundError: it is not.
    """
    if not source.path.exists():
        raise _missing(source)
    if source.folder and not source.path.is_dir():
        raise NotFoundError(f"{source.path} is a file, not a folder.", hint="Take the trailing / away.")


def files(source: LocalSource, only: Sequence[str] = ()) -> dict[str, Path]:
    """Return the file, or every file of the folder that is not hidden and matches ``only``, by its path there.

    Raises:
        NotFoundError: it is not there.
    """
    check(source)
    paths = _listed(source.path) if source.folder else {source.path.name: source.path}
    names = listing.choose(paths, "" if source.folder else source.path.name, str(source.path), only)
    return {key: paths[name] for key, name in names.items()}


def fetch(source: LocalSource, job: Job) -> Pin:
    """Copy the file, or every file of the folder that is not hidden.

    Raises:
        NotFoundError: it is not there.
    """
    if not source.path.exists() and job.pin and job.store.has_all(job.pin.files):
        return job.pin
    paths = files(source, job.request.only)
    intake = Intake(job)
    kept = intake.want({key: key for key in paths})
    total = sum(paths[key].stat().st_size for key in kept)
    with job.progress.task(f"Reading {source.path.name}", total=total, unit="bytes") as task:
        for key in kept:
            if intake.admits(key, paths[key]):
                intake.known(key, job.store.add_copy(paths[key], task.advance))
    return job.pinned(None, None, intake.files())


def _listed(folder: Path) -> dict[str, Path]:
    # Links to files are followed: a folder of the hub's cache is made of them. Links to folders are not.
    found = {}
    with atomic.host_errors("read", folder):
        for place, _, names in os.walk(folder, onerror=_refuse):
            for name in names:
                path = Path(place, name)
                if path.is_file():
                    found[path.relative_to(folder).as_posix()] = path
    return found


def _refuse(error: OSError) -> None:
    raise error


def _missing(source: LocalSource) -> NotFoundError:
    parent = source.path.parent
    names = [entry.name for entry in parent.iterdir()] if parent.is_dir() else []
    try:
        listing.choose(names, source.path.name, str(parent))
    except NotFoundError as error:
        near = "" if names else f"There is no folder {parent} either. "
        near = f"{error.hint} " if error.facts.get("nearest") else near
        return NotFoundError(
            f"There is no file or folder {source.path.absolute()}.",
            hint=f"{near}A relative file: path starts at {source.base.absolute()}.",
            path=str(source.path),
        )
    return NotFoundError(f"{source.path} is a link that leads nowhere.", path=str(source.path))
