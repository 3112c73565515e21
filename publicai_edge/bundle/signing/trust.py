"""The keys that this machine trusts: who may vouch for a bundle here.

One file a key, NAME.pub in PEM, in two folders: the system's, which an administrator writes, and the user's. Both
count. A file that is there and cannot be read as a key is an error and not a key less: leaving it out quietly could
turn a machine that demands a signature into one that demands none.
"""

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from publicai_edge.bundle.signing import keys as public_keys
from publicai_edge.bundle.signing.keys import PublicKey
from publicai_edge.errors import SignatureError

CONFIG_VARIABLE = "PUBLICAI_EDGE_CONFIG"
FOLDER = "trusted-keys"
SUFFIX = ".pub"
Scope = Literal["system", "user", "given"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class TrustedKey:
    """A key that may vouch for bundles, under the name its signatures are shown with.

    ``scope`` says whose folder it is from; "given" is one that was named for this run alone.
    """

    name: str
    key: PublicKey
    place: Path
    scope: Scope = "given"

    @property
    def fingerprint(self) -> str:
        """``sha256:`` and 64 hex characters."""
        return self.key.fingerprint

    @staticmethod
    def from_file(place: Path) -> "TrustedKey":
        """Return the key in a file, called after the file.

        Raises:
            SignatureError: it holds none.
        """
        return TrustedKey(place.name.removesuffix(SUFFIX), public_keys.read_file(place), place)

    def to_json(self) -> dict[str, str]:
        """Return plain data for ``--json``."""
        return {"name": self.name, "fingerprint": self.fingerprint, "scope": self.scope, "path": str(self.place)}


class TrustStore:
    """The trusted keys of this machine and user.

    Args:
        user: the user's folder; by default ``PUBLICAI_EDGE_CONFIG`` or the platform's configuration folder.
        system: the system's folder; by default the platform's.
    """

    def __init__(self, user: Path | None = None, system: Path | None = None) -> None:
        self.user = user or _user_folder()
        self.system = system or _system_folder()

    def keys(self) -> tuple[TrustedKey, ...]:
        """Return every trusted key once, the system's first, each folder's by name.

        Raises:
            SignatureError: a file in a folder is not a key, or a folder cannot be read.
        """
        found: dict[str, TrustedKey] = {}
        for key in (*self._in(self.system, "system"), *self._in(self.user, "user")):
            found.setdefault(key.fingerprint, key)
        return tuple(found.values())

    def add(self, place: Path, name: str, scope: Literal["system", "user"] = "user") -> TrustedKey:
        """Trust the key in the file ``place`` from now on.

        Raises:
            SignatureError: it is no public key, its name is taken or unfit, or it is trusted already.
            HostError: the folder cannot be written to.
        """
        if not _NAME.fullmatch(name):
            raise SignatureError(
                f"{name!r} cannot be the name of a key: expected 1 to 64 letters, digits, dots, hyphens and "
                "underscores, the first of them a letter or a digit.",
                hint="Name it after who signs with it, such as --name hill-street-library.",
            )
        key = public_keys.read_file(place)
        for known in self.keys():
            if known.fingerprint == key.fingerprint:
                raise SignatureError(
                    f"The key in {place} is trusted already, as {known.name}.", hint="Nothing has to be done."
                )
            if known.name.casefold() == name.casefold():
                raise SignatureError(
                    f"Another key is trusted as {known.name}: {known.fingerprint}.",
                    hint=f"Choose another name, or `publicai-edge trust remove {known.name}` first.",
                )
        from publicai_edge import atomic

        target = (self.system if scope == "system" else self.user) / f"{name}{SUFFIX}"
        atomic.write_bytes(target, key.pem)
        return TrustedKey(name, key, target, scope)

    def remove(self, name: str) -> TrustedKey:
        """Trust a key no longer.

        Args:
            name: its name, or its fingerprint.

        Raises:
            SignatureError: no key is called so.
            HostError: there is no permission.
        """
        from publicai_edge import atomic

        known = self.keys()
        chosen = next((key for key in known if name in {key.name, key.fingerprint}), None)
        if chosen is None:
            names = ", ".join(key.name for key in known) or "none"
            raise SignatureError(
                f"No key is trusted as {name!r}; trusted are: {names}.", hint="`publicai-edge trust list` shows them."
            )
        # The same key may lie in both folders: it goes from both, or it would still be trusted.
        for scope, folder in (("system", self.system), ("user", self.user)):
            for key in self._in(folder, scope):  # type: ignore[arg-type]
                if key.fingerprint == chosen.fingerprint:
                    with atomic.host_errors("remove", key.place):
                        key.place.unlink()
                        atomic.fsync_path(folder)
        return chosen

    @staticmethod
    def _in(folder: Path, scope: Scope) -> Iterator[TrustedKey]:
        try:
            names = sorted(entry.name for entry in os.scandir(folder))
        except FileNotFoundError:
            return
        except OSError as error:
            raise SignatureError(f"The trusted keys in {folder} cannot be read: {error.strerror}.") from error
        for name in names:
            if name.endswith(SUFFIX) and not name.startswith("."):
                place = folder / name
                yield TrustedKey(name.removesuffix(SUFFIX), public_keys.read_file(place), place, scope)


def _user_folder() -> Path:
    if chosen := os.environ.get(CONFIG_VARIABLE):
        return Path(chosen).expanduser() / FOLDER
    import platformdirs

    return Path(platformdirs.user_config_dir("publicai-edge")) / FOLDER


def _system_folder() -> Path:
    if sys.platform.startswith("linux"):
        return Path("/etc/publicai-edge") / FOLDER
    import platformdirs

    return Path(platformdirs.site_config_dir("publicai-edge")) / FOLDER
