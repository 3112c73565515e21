"""The switch from one version to another: a single rename of the link ``current``.

``previous`` has to follow it, and two renames are two steps. So before the switch a link ``.before-ENTRY`` is laid down
that names the version now in use. After an interruption it tells what is left to do: where ``current`` is ENTRY
already, the switch has happened and the link becomes ``previous``; else it has not, and the link is removed. Rolling
back is the same switch.
"""

from publicai_edge.bundle.install import durable
from publicai_edge.bundle.install.layout import BEFORE, MARKS, Layout, tag_of
from publicai_edge.errors import HostError


def switch(layout: Layout, entry: str) -> None:
    """Make ``entry`` the version in use, and the one in use until now the previous one.

    Raises:
        HostError: the disk refused; the version in use is the old one or the new one.
    """
    before = layout.entry_of(layout.current)
    if before == entry:
        return
    if before is not None:
        durable.point(layout.pending(entry), f"versions/{before}")
    durable.point(layout.current, f"versions/{entry}")
    if (seen := tag_of(layout.current)) is None or seen != tag_of(layout.versions / entry):
        _back(layout, before)
        raise HostError(
            f"{layout.current} does not lead to {entry} after the switch; the switch was taken back.",
            hint="Run the same command again. If it fails in the same place, the disk may be failing.",
        )
    finish(layout)


def _back(layout: Layout, before: str | None) -> None:
    """Undo a switch that is not finished."""
    if before is not None:
        durable.point(layout.current, f"versions/{before}")
    else:
        with durable.errors("remove", layout.current):
            layout.current.unlink()
    finish(layout)


def finish(layout: Layout) -> None:
    """Complete or withdraw a switch that was interrupted; nothing where none was."""
    if not layout.home.is_dir():
        return
    with durable.errors("look at", layout.home):
        places = sorted(layout.home.iterdir())
    current = layout.entry_of(layout.current)
    for place in places:
        if place.name == f"{BEFORE}{current}":
            durable.move(place, layout.previous)
        elif place.name.startswith(MARKS):
            with durable.errors("remove", place):
                place.unlink()
