"""The systemd unit of an installed bundle, as text.

It names the link ``current`` and never a version, so that an update or a rollback is in use from the next start. The
service has a user of its own that exists while it runs, sees the system read-only and homes not at all, speaks to this
machine alone, and may neither make memory executable nor swap what visitors typed. ``systemd-analyze security`` scores
the unit for the system under 2.0. A user's own service manager may not set up most of that: it gets what it may.
"""

import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from publicai_edge.bundle.install.layout import Layout

Scope = Literal["system", "user"]
_HOMES = ("/home", "/root", "/run/user")
_MARK = "# Written by publicai-edge; "
_CONDITION = "ConditionPathExists="

_ANYWHERE = """\
NoNewPrivileges=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
UMask=0077
LimitCORE=0
"""
_SYSTEM = """\
DynamicUser=yes
ProtectSystem=strict
PrivateTmp=yes
PrivateMounts=yes
PrivateDevices=yes
PrivateUsers=yes
PrivateIPC=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
CapabilityBoundingSet=
AmbientCapabilities=
KeyringMode=private
RemoveIPC=yes
IPAddressDeny=any
IPAddressAllow=localhost
MemorySwapMax=0
"""


@dataclass(frozen=True)
class Program:
    """What starts the kiosk: the command before the verb, and the folders it lies in."""

    command: tuple[str, ...]
    folders: tuple[Path, ...] = ()


def program_of(layout: Layout) -> Program:
    """Return the program that the bundle carries for this machine, by way of the link; else the one that runs now."""
    machine = platform.machine().lower().replace("amd64", "x86_64").replace("arm64", "aarch64")
    carried = layout.current / "data" / "runtime" / f"linux-{machine}" / "publicai-edge"
    if carried.is_file():
        return Program((str(carried),))
    if getattr(sys, "frozen", False):
        return Program((sys.executable,), (Path(sys.executable).parent,))
    package = Path(__file__).parents[2]  # elsewhere than the interpreter where it was installed with `pip install -e`
    return Program((sys.executable, "-m", "publicai_edge"), (Path(sys.prefix), Path(sys.base_prefix), package))


def name_of(layout: Layout) -> str:
    """Return the unit's name."""
    return f"publicai-edge-{layout.name}.service"


def text(layout: Layout, program: Program, scope: Scope, port: int | None = None) -> str:
    """Return the unit that serves an installed bundle."""
    words = [*program.command, "serve", str(layout.current), *(["--port", str(port)] if port is not None else [])]
    hardening = _ANYWHERE + (_SYSTEM + _homes(layout, program) if scope == "system" else "")
    target = "multi-user.target" if scope == "system" else "default.target"
    return (
        f"{_MARK}`publicai-edge service remove {layout.name}` takes it away.\n"
        "[Unit]\n"
        f"Description=publicai-edge kiosk {layout.name}\n"
        f"{_CONDITION}{_escaped(str(layout.current))}\n\n"
        "[Service]\n"
        "Type=exec\n"
        f"ExecStart={' '.join(map(_quoted, words))}\n"
        "Restart=on-failure\n"
        "RestartSec=2\n"
        "Environment=HOME=/tmp PYTHONDONTWRITEBYTECODE=1\n"
        f"{_state(layout, scope)}"
        f"{hardening}\n"
        "[Install]\n"
        f"WantedBy={target}\n"
    )


def bundle_of(found: str) -> Path | None:
    """Return the link ``current`` that the text of a unit serves; None where this program did not write it.

    Its first line tells who wrote it. A unit that only names the bundle may be the administrator's own.
    """
    lines = found.splitlines()
    if not lines or not lines[0].startswith(_MARK):
        return None
    served = (line.removeprefix(_CONDITION) for line in lines if line.startswith(_CONDITION))
    return next((Path(path.replace("%%", "%")) for path in served), None)


def _state(layout: Layout, scope: Scope) -> str:
    """Return where the service keeps what staff add: the one place it may write to, apart from every version."""
    name = f"publicai-edge-{layout.name}"
    if scope == "system":
        return f"StateDirectory={name}\nStateDirectoryMode=0700\nEnvironment=PUBLICAI_EDGE_DOCUMENTS=%S/{name}\n"
    return f"Environment=PUBLICAI_EDGE_DOCUMENTS=%h/.local/state/{name}\n"


def _homes(layout: Layout, program: Program) -> str:
    """Return how homes are hidden: wholly, but for the folders of the bundle and the program where they lie in one."""
    needed = [place for place in (layout.home, *program.folders) if _in_a_home(place)]
    if not needed:
        return "ProtectHome=yes\n"
    shown = " ".join(_quoted(str(place)) for place in dict.fromkeys(needed))
    return f"ProtectHome=tmpfs\nBindReadOnlyPaths={shown}\n"


def _in_a_home(place: Path) -> bool:
    return any(place.is_relative_to(home) for home in _HOMES)


def _escaped(word: str) -> str:
    return word.replace("%", "%%")


def _quoted(word: str) -> str:
    """Return a word as systemd reads it back: percent, dollar, quotes and backslashes mean themselves."""
    plain = _escaped(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{plain}"' if any(mark in plain for mark in " \t\"'\\;") else plain
