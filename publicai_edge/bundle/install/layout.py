"""Where the parts of an installed bundle lie.

::

    FOLDER/
      .publicai-edge-staging/  a bundle on its way in; kept after an interruption, so that the next run goes on
      .publicai-edge-trash/    what is being removed, by a number and the name it had
      .made                    the folders that were made for FOLDER, so that the last removal unmakes them
      NAME/
        versions/2-1.1.0/  a whole bundle; RELEASE-VERSION, with ~2 where that name was taken
        current            link to the version in use: the only thing that decides which it is
        previous           link to the one before it
        highest            the highest release ever installed, and the digest of its tag manifest
        log                what was done and when, a line of JSON each, only ever appended to

Invariant: a name below ``versions/`` is a bundle that was copied, checked and flushed as a whole. Links are relative,
so the folder can be moved.
"""

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from publicai_edge import digest
from publicai_edge.bundle import bag
from publicai_edge.bundle.install import durable
from publicai_edge.errors import BundleError, NotFoundError

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_VERSION = re.compile(r"\d{1,9}\.\d{1,9}\.\d{1,9}")
_ENTRY = re.compile(r"(\d{1,18})-(\d{1,9}\.\d{1,9}\.\d{1,9})(~\d+)?")
_LONGEST_NAME = 100
FOLDER_VARIABLE = "PUBLICAI_EDGE_FOLDER"
# Names that nobody else has: what lies under them is removed, also where FOLDER is one that others use.
STAGING, TRASH, MADE = ".publicai-edge-staging", ".publicai-edge-trash", ".made"
BEFORE, NEW = ".before-", ".new-"
MARKS = (BEFORE, NEW)


@dataclass(frozen=True)
class Identity:
    """What a checked bundle says it is.

    Attributes:
        name, version, release: as in bundle.json.
        tag: SHA-256 of its tag manifest, which names its whole content.
        signers: whose signatures hold; empty where none was asked for.
    """

    name: str
    version: str
    release: int
    tag: str
    signers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """See that name, version and release can be parts of a path, whoever wrote them."""
        good = len(self.name) <= _LONGEST_NAME and _NAME.fullmatch(self.name) and _VERSION.fullmatch(self.version)
        if not (good and 0 < self.release < 10**18):
            raise BundleError(
                f"bundle.json names the bundle {self.name[:80]!r}, version {self.version[:40]!r}, release "
                f"{self.release}; expected lower-case letters, digits, hyphens; three numbers; a number from 1 on.",
                hint="Ask the bundle's steward for one that this program's `build` made.",
            )

    @property
    def entry(self) -> str:
        """Name of its folder below ``versions/``."""
        return f"{self.release}-{self.version}"


@dataclass(frozen=True)
class Layout:
    """The places of one bundle, by its name."""

    folder: Path
    name: str

    @property
    def home(self) -> Path:
        """The bundle's own folder."""
        return self.folder / self.name

    @property
    def versions(self) -> Path:
        """Folder of the versions."""
        return self.home / "versions"

    @property
    def current(self) -> Path:
        """Link to the version in use."""
        return self.home / "current"

    @property
    def previous(self) -> Path:
        """Link to the version before it."""
        return self.home / "previous"

    @property
    def log(self) -> Path:
        """The record of what was done."""
        return self.home / "log"

    @property
    def highest(self) -> Path:
        """The memory of the highest release."""
        return self.home / "highest"

    def pending(self, entry: str) -> Path:
        """Link that becomes ``previous`` once ``current`` is ``entry``; see :mod:`.switch`."""
        return self.home / f"{BEFORE}{entry}"

    def entry_of(self, link: Path) -> str | None:
        """Return the version that a link names, or None where there is no such link or version.

        Raises:
            HostError: that cannot be told.
        """
        with durable.errors("read", link):
            try:
                target = str(link.readlink())
            except (FileNotFoundError, NotADirectoryError):
                return None
            folder, _, entry = target.partition("/")
            if folder != "versions" or not _ENTRY.fullmatch(entry) or not (self.versions / entry).is_dir():
                return None
            return entry

    def holds_nothing_else(self) -> bool:
        """Say whether there is a folder of the bundle, with nothing in it but what an installation puts there.

        FOLDER may be one in which other programs have theirs, and keep their versions below ``versions/`` as well.
        """
        if not is_name(self.name) or not self.versions.is_dir() or self.home.is_symlink():
            return False
        own = {place.name for place in (self.versions, self.current, self.previous, self.log, self.highest)}
        strange = [name for name in durable.names(self.home) if name not in own and not name.startswith(MARKS)]
        return not strange and len(self.entries()) == len(durable.names(self.versions))

    def in_use(self) -> Path:
        """Return the folder of the version in use, by its own name, so that a later switch does not change it."""
        return self.versions / (self.entry_of(self.current) or "none")

    def entries(self) -> list[str]:
        """Return the names below ``versions/``, sorted."""
        return [name for name in durable.names(self.versions) if _ENTRY.fullmatch(name)]

    def free_entry(self, identity: Identity) -> str:
        """Return a name below ``versions/`` that is not taken."""
        taken, name, count = set(self.entries()), identity.entry, 1
        while name in taken:
            count += 1
            name = f"{identity.entry}~{count}"
        return name


def default_folder() -> Path:
    """Return the folder of installations: the one whose bundle's own program runs now, else the machine's or user's."""
    if own := _of_running_program():
        return own
    if chosen := os.environ.get(FOLDER_VARIABLE):
        return Path(chosen).expanduser()
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/opt/publicai-edge")
    import platformdirs

    return Path(platformdirs.user_data_dir("publicai-edge"))


def _of_running_program(program: Path | None = None) -> Path | None:
    """Return the FOLDER of a program that lies in FOLDER/NAME/versions/ENTRY/data/runtime/, or None."""
    if program is None:
        if not getattr(sys, "frozen", False):
            return None
        program = Path(sys.executable).resolve()
    for place in program.parents:
        layout = Layout(place.parent.parent, place.parent.name)
        if place.name == "versions" and layout.entry_of(layout.current):
            return layout.folder
    return None


def release_of(entry: str) -> int:
    """Return the release number of a name below ``versions/``."""
    return int(entry.partition("-")[0])


def version_of(entry: str) -> str:
    """Return the version of a name below ``versions/``."""
    return entry.partition("-")[2].partition("~")[0]


def tag_of(bundle: Path) -> str | None:
    """Return the SHA-256 of a bundle's tag manifest, or None where there is none.

    Raises:
        HostError: it is there and cannot be read.
        BundleError: it is no regular file.
    """
    place = bundle / bag.TAG_MANIFEST
    with durable.errors("read", place):
        try:
            place.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        with durable.old_file(place) as (handle, _), os.fdopen(handle, "rb", closefd=False) as stream:
            return digest.of_stream(stream)


def is_name(name: str) -> bool:
    """Say whether a bundle may be called so."""
    return _NAME.fullmatch(name) is not None


def named(folder: Path, name: str) -> Layout:
    """Return the places of an installed bundle.

    Raises:
        NotFoundError: none of that name is installed in ``folder``.
    """
    layout = Layout(folder, name)
    if not is_name(name) or layout.entry_of(layout.current) is None:
        there = ", ".join(installed_names(folder)) or "none"
        raise NotFoundError(
            f"No bundle called {name!r} is installed in {folder}; there: {there}.",
            hint="`publicai-edge installed` lists them; another folder is given with --to.",
        )
    return layout


def is_begun(layout: Layout) -> bool:
    """Say whether there is a bundle that never came into use, since its first installation was interrupted."""
    if not is_name(layout.name) or not layout.versions.is_dir() or durable.names(layout.home) != [layout.versions.name]:
        return False  # another program's folder may be called so
    there = durable.names(layout.versions)
    return bool(there) and there == layout.entries() and all(tag_of(layout.versions / entry) for entry in there)


def installed_names(folder: Path) -> list[str]:
    """Return the names of the bundles installed in ``folder``."""
    layouts = [Layout(folder, name) for name in durable.names(folder) if is_name(name)]
    return [layout.name for layout in layouts if layout.entry_of(layout.current)]
