"""Debian folders: a compiler's workshop, the libraries that are linked against, and the Python that is frozen.

They are laid out by mmdebstrap without being installed (``--variant=extract``): no script of a package is run, so the
folder of another architecture is made as fast as one's own. Whatever Linux the laptop runs, the same compiler, the same
C library and the same Python make the runtime.

Invariant: a folder appears under its name only when it is complete.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from publicai_edge import atomic, digest
from publicai_edge.errors import HostError
from publicai_edge.progress import Progress
from publicai_edge.runtime import compilers, work
from publicai_edge.runtime.platforms import Platform

APT_LINE = "sudo apt-get install mmdebstrap debian-archive-keyring util-linux qemu-user-static binfmt-support"
_BINFMT = Path("/proc/sys/fs/binfmt_misc")


@dataclass(frozen=True)
class Root:
    """A Debian folder to lay out: which release, of which architecture, with which packages."""

    suite: str
    architecture: str
    packages: tuple[str, ...]

    @property
    def key(self) -> str:
        """What it is kept under."""
        sha256 = digest.of_json([self.suite, self.architecture, self.packages])
        return f"{self.suite}-{self.architecture}-{sha256[:12]}"


def workshop() -> Root:
    """Return the folder with the compilers, for this machine's own processor; it compiles for every platform."""
    from publicai_edge.runtime.platforms import LINUX, here

    architecture = LINUX[here()].debian
    packages = ("dash", "coreutils", *compilers.packages(architecture), "cmake", "ninja-build")
    return Root("bookworm", architecture, packages)


def libraries(platform: Platform) -> Root:
    """Return the folder that llama.cpp is linked against: an old C library, which newer ones stand in for."""
    return Root("bullseye", platform.debian, ("libc6-dev", "libstdc++-10-dev", "linux-libc-dev", "libexpat1"))


def python(platform: Platform) -> Root:
    """Return the folder with the Python that becomes part of the runtime."""
    packages = ("dash", "bash", "coreutils", "libc-bin", "python3.11", "libpython3.11", "binutils")
    return Root("bookworm", platform.debian, packages)


def check_tools(platform: Platform) -> None:
    """See that this machine can make a runtime for ``platform``, before anything is fetched.

    Raises:
        HostError: a program, the emulator or the right to use them is missing.
    """
    missing = [name for name in ("mmdebstrap", "unshare", "setpriv") if shutil.which(name) is None]
    if missing:
        raise HostError(
            f"Making a runtime needs {', '.join(missing)}, not found on this machine.",
            hint=f"On Debian and Ubuntu: {APT_LINE}",
            missing=missing,
        )
    if os.geteuid() != 0:
        raise HostError(
            "Making a runtime lays out Debian folders and works inside of them, which only root may do.",
            hint="Run the same command with sudo; `runtime export` then gives you one file for `runtime import`.",
        )
    if platform.machine != os.uname().machine and not (_BINFMT / f"qemu-{platform.machine}").exists():
        raise HostError(
            f"Programs for {platform.machine} cannot be run on this machine.",
            hint=f"On Debian and Ubuntu: {APT_LINE}. If they are installed: "
            "sudo mount -t binfmt_misc none /proc/sys/fs/binfmt_misc && sudo update-binfmts --enable",
        )


def lay_out(root: Root, folder: Path, archive: Callable[[], str], progress: Progress) -> Path:
    """Return the folder of ``root`` below ``folder``, laid out if it is not there yet.

    Args:
        root: which one.
        folder: where such folders are kept.
        archive: tells the address of Debian's archive; asked only where packages have to be fetched.
        progress: where it is shown.

    Raises:
        HostError: mmdebstrap fails; the end of its log is quoted.
    """
    target = folder / root.key
    if target.is_dir():
        return target
    with atomic.temporary_folder(folder) as scratch:
        place = scratch / "root"
        source = f"deb {archive()} {root.suite} main"
        include = f"--include={','.join(root.packages)}"
        options = ["--variant=extract", "--mode=root", f"--architectures={root.architecture}", include]
        label = f"Laying out Debian {root.suite} for {root.architecture}"
        work.run(["mmdebstrap", *options, root.suite, str(place), source], label, folder, progress)
        make_links_relative(place)
        with atomic.host_errors("keep", target):
            place.rename(target)
    return target


def make_links_relative(root: Path) -> None:
    """Let absolute links below ``root`` lead to places below it also for who looks from outside, as linkers do."""
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            place = Path(folder) / name
            if place.is_symlink() and (aim := str(place.readlink())).startswith("/"):
                place.unlink()
                place.symlink_to(os.path.relpath(f"{root}{aim}", folder))


def mirror() -> str:
    """Return the address of Debian's archive that this machine's apt uses.

    Raises:
        HostError: its apt knows none, as on Ubuntu.
    """
    import subprocess

    command = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(CODENAME) $(REPO_URI)", "Created-By: Packages"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = [line.split() for line in done.stdout.splitlines()]
    except FileNotFoundError:
        lines = []
    for line in lines:
        if len(line) == 3 and line[0] == "Debian" and "-" not in line[1]:  # noqa: PLR2004 - the three fields above
            return line[2].rstrip("/")
    raise HostError(
        "This machine's apt knows no archive of Debian to take packages from.",
        hint="Name one with --mirror, such as the nearest of those listed on debian.org/mirror/list.",
    )
