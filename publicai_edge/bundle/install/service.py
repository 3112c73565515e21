"""Starting an installed bundle with the machine: putting its unit where systemd looks, and taking it away again."""

import os
import shutil
import subprocess
from pathlib import Path

from publicai_edge.bundle.install import durable, unit
from publicai_edge.bundle.install.layout import Layout
from publicai_edge.bundle.install.unit import Scope
from publicai_edge.errors import HostError
from publicai_edge.progress import Progress

_SYSTEM_UNITS = Path("/etc/systemd/system")
_RUNNING = Path("/run/systemd/system")


def default_scope() -> Scope:
    """Return the system's manager for root, the user's own for everybody else."""
    return "system" if os.geteuid() == 0 else "user"


def units_folder(scope: Scope) -> Path:
    """Return the folder that the units lie in."""
    if scope == "system":
        return _SYSTEM_UNITS
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"


def install(layout: Layout, scope: Scope, progress: Progress, port: int | None = None) -> Path:
    """Write the unit, and start it now and with the machine where systemd runs; return its place.

    Raises:
        HostError: there is no permission, somebody else's unit has that name, or systemd refuses it.
    """
    place = units_folder(scope) / unit.name_of(layout)
    _refuse_foreign(place, layout)
    durable.make_folder(place.parent)
    durable.write_file(place, unit.text(layout, unit.program_of(layout), scope, port).encode())
    if not _systemd_runs():
        progress.warn(f"systemd is not running here: {place} is written, and started by nothing.")
        return place
    _systemctl(scope, "daemon-reload")
    _systemctl(scope, "enable", "--now", place.name)
    if scope == "user":
        progress.say("It starts when you log in; `loginctl enable-linger` lets it start with the machine.")
    return place


def remove(layout: Layout, scope: Scope, progress: Progress) -> Path | None:
    """Stop the service and remove its unit and the links to it; None where there was none.

    Raises:
        HostError: there is no permission.
    """
    folder = units_folder(scope)
    if (place := _unit_of(layout, scope)) is None:
        return None
    if _systemd_runs():
        try:
            _systemctl(scope, "disable", "--now", place.name)
        except HostError as error:
            progress.warn(error.message)
    with durable.errors("remove", place):
        for link in folder.glob(f"*.wants/{place.name}"):
            link.unlink()
            if not any(link.parent.iterdir()):
                link.parent.rmdir()
        overrides = folder / f"{place.name}.d"
        if overrides.is_dir():
            shutil.rmtree(overrides)
        place.unlink()
    if _systemd_runs():
        _systemctl(scope, "daemon-reload")
    return place


def restart_hint(layout: Layout, scope: Scope) -> str | None:
    """Return how a running service is brought to the version now in use; None where there is no service."""
    if _unit_of(layout, scope) is None:
        return None
    return f"systemctl {'--user ' if scope == 'user' else ''}restart {unit.name_of(layout)}"


def _unit_of(layout: Layout, scope: Scope) -> Path | None:
    """Return the place of the bundle's unit; None where there is none, or that of a bundle in another folder."""
    place = units_folder(scope) / unit.name_of(layout)
    return place if unit.bundle_of(_text(place) or "") == layout.current else None


def _refuse_foreign(place: Path, layout: Layout) -> None:
    """See that nothing is lost when a unit is written: there is none, or the one that was written for this bundle."""
    if (found := _text(place)) is None or (served := unit.bundle_of(found)) == layout.current:
        return
    if served is None:
        raise HostError(
            f"{place} is there, and publicai-edge did not write it; it is left as it is.",
            hint=f"See what it does: `systemctl cat {place.name}`. Move it away and run the same command again, or "
            "take over what you need of --print.",
            path=str(place),
        )
    raise HostError(
        f"{place} is there for the bundle in {served.parent}, and not for the one in {layout.home}.",
        hint=f"`publicai-edge service remove {layout.name} --to {served.parent.parent}` takes it away.",
        path=str(place),
    )


def _text(place: Path) -> str | None:
    """Return the text of a unit: none of a link (a masked unit is one) or a folder, None where nothing is there."""
    with durable.errors("read", place):
        if not os.path.lexists(place):
            return None
        return place.read_text("utf-8", "surrogateescape") if place.is_file() and not place.is_symlink() else ""


def _systemd_runs() -> bool:
    return _RUNNING.is_dir() and shutil.which("systemctl") is not None


def _systemctl(scope: Scope, *words: str) -> None:
    command = ["systemctl", *(["--user"] if scope == "user" else []), *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise HostError(
            f"`{' '.join(command)}` failed: {done.stderr.strip()[-500:]}",
            hint="Run it yourself to see why; `journalctl -xe` has more.",
        )
