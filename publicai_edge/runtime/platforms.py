"""The machines that a runtime can be made for, and what each is called by the tools involved."""

import platform
import sys
from dataclasses import dataclass

from publicai_edge.errors import RecipeError

PROGRAM = "publicai-edge"


@dataclass(frozen=True)
class Platform:
    """A kind of machine.

    Attributes:
        name: as in ``data/runtime/NAME/`` of a bundle.
        debian: Debian's name of the architecture.
        machine: the kernel's and Python's name of it, also in the names of wheels.
        triple: the compiler's.
    """

    name: str
    debian: str
    machine: str
    triple: str


LINUX = {
    item.name: item
    for item in (
        Platform("linux-x86_64", "amd64", "x86_64", "x86_64-linux-gnu"),
        Platform("linux-aarch64", "arm64", "aarch64", "aarch64-linux-gnu"),
    )
}
"""What one Linux laptop makes."""

FOREIGN = ("windows-x86_64", "macos-aarch64", "macos-x86_64")
"""What only a machine of that kind makes; the file it exports can be imported and packed anywhere."""

NAMES = (*LINUX, *FOREIGN)


def check(name: str) -> str:
    """Return ``name`` if there is such a platform.

    Raises:
        RecipeError: there is none.
    """
    if name not in NAMES:
        raise RecipeError(f"There is no platform {name!r}.", hint=f"The platforms are: {', '.join(NAMES)}.")
    return name


def here() -> str:
    """Return the name of this machine's platform, whether or not it is one of :data:`NAMES`."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    system = {"darwin": "macos", "win32": "windows"}.get(sys.platform, sys.platform)
    return f"{system}-{machine}"


def program_file(name: str) -> str:
    """Return the name of the program's file on a platform."""
    return f"{PROGRAM}.exe" if name.startswith("windows-") else PROGRAM
