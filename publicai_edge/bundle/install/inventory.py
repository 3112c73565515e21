"""What is installed in a folder."""

from pathlib import Path
from typing import Any

from publicai_edge.bundle.install import ground, history, staging
from publicai_edge.bundle.install.layout import Layout, installed_names, release_of, tag_of, version_of


def installed(folder: Path) -> list[dict[str, Any]]:
    """Return every installed bundle: its version, the one before, the highest release, and its log's last line."""
    return [_described(Layout(folder.absolute(), name)) for name in installed_names(folder)]


def interrupted_in(folder: Path) -> tuple[str | None, int] | None:
    """Return what an interrupted installation has left: the bundle's name, where that is known, and the bytes."""
    staged = staging.staging_folder(folder.absolute())
    return (staging.name_of_staged(folder.absolute()), ground.size_of(staged)) if staged.is_dir() else None


def _described(layout: Layout) -> dict[str, Any]:
    current, previous = layout.entry_of(layout.current), layout.entry_of(layout.previous)
    log = history.read(layout)
    return {
        "name": layout.name,
        "version": version_of(current or ""),
        "release": release_of(current or "0"),
        "previous": version_of(previous) if previous else None,
        "highest_release": history.highest(layout).release,
        "path": str(layout.current),
        "tag_manifest": tag_of(layout.current),
        "last": log[-1] if log else None,
    }
