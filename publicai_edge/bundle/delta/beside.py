"""A new bundle folder beside the old one, put together from it and an update."""

from collections.abc import Callable
from pathlib import Path

from publicai_edge import atomic
from publicai_edge.bundle.install import durable, ground
from publicai_edge.bundle.install.layout import Identity
from publicai_edge.bundle.install.staging import Source
from publicai_edge.errors import BundleError
from publicai_edge.progress import Progress


def write_beside(source: Source, parent: Path, check: Callable[[Path], Identity], progress: Progress) -> Path:
    """Write the bundle of ``source`` into ``parent/NAME-VERSION``; an interrupted run is gone on with by the next.

    Raises:
        BundleError: it does not pass the check, or a folder of that name is there.
        HostError: no room, no permission, or another run is at work there.
    """
    with ground.locked(parent):
        staged = parent / f".unfinished-{source.tag}"
        atomic.require_space(parent, source.size(), "The new bundle")
        try:
            source.fill(staged, progress)
            durable.sync_tree(staged)
            target = parent / _name(check(staged), parent)
        except BundleError:
            atomic.remove_tree(staged)
            raise
        durable.move(staged, target)
    return target


def _name(identity: Identity, parent: Path) -> str:
    name = f"{identity.name}-{identity.version}"
    if (parent / name).exists():
        raise BundleError(f"{parent / name} is there already; it is left as it is.", hint="Move it away and try again.")
    return name
