"""One installation, update or rollback in a small process of its own, for the fault harness to interrupt.

    python operation.py PACKAGES install|apply|rollback FOLDER BUNDLE|UPDATE|NAME [naive|no-fsync]

The steps are the project's own; only what checks a bundle is a short one, so that the process starts in some tenth of a
second. ``PACKAGES`` is where ``cryptography`` lies, since Python's own search for packages is left out. ``naive``
copies over the old version where it lies, as people do by hand; ``no-fsync`` never flushes.
"""

import encodings.cp437
import fcntl
import json
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from publicai_edge import digest
from publicai_edge.bundle import bag
from publicai_edge.bundle.delta.container import open_update
from publicai_edge.bundle.delta.rebuild import UpdateSource
from publicai_edge.bundle.install import operation
from publicai_edge.bundle.install.layout import Identity, named
from publicai_edge.bundle.install.staging import FolderSource
from publicai_edge.errors import BundleError, PublicAIError
from publicai_edge.progress import Silent

# What the operation would load later: a fault in reading the program itself is none of the operation's.
LOADED = (encodings.cp437, fcntl)
BEGIN = "/no/such/folder/publicai-edge-begins-here"


def check(root: Path) -> Identity:
    """Check every byte against the manifests, as ``verify`` does."""
    listed: dict[str, str] = {}
    try:
        for name in (bag.TAG_MANIFEST, bag.PAYLOAD_MANIFEST):
            listed |= bag.parse_manifest((root / name).read_bytes(), name)
        present = {
            (Path(folder) / name).relative_to(root).as_posix() for folder, _, names in os.walk(root) for name in names
        }
        if present - bag.UNLISTED != set(listed):
            raise BundleError(f"{root} has other files than it lists.")
        if changed := [path for path, sha256 in listed.items() if digest.of_file(root / path) != sha256]:
            raise BundleError(f"{root} was changed: {changed}.")
        value = json.loads((root / "bundle.json").read_bytes())
        tag = digest.of_file(root / bag.TAG_MANIFEST)
    except OSError as error:
        raise BundleError(f"Cannot read {root}: {error}.") from error
    return Identity(value["name"], value["version"], value["release"], tag)


def foresee(root: Path | None) -> Identity | None:
    """Say what a bundle is before it is copied, by its ``bundle.json``."""
    if root is None:
        return None
    try:
        value = json.loads((root / "bundle.json").read_bytes())
        tag = digest.of_file(root / bag.TAG_MANIFEST)
    except OSError as error:
        raise BundleError(f"Cannot read {root}: {error}.") from error
    return Identity(value["name"], value["version"], value["release"], tag)


def naive(source: Path, folder: Path) -> None:
    """Copy the new version over the old one."""
    target = folder / check(source).name / "current"
    shutil.copytree(source, target.resolve(), dirs_exist_ok=True)


def apply(update: Path, folder: Path, rules: operation.Rules) -> None:
    """Update what is installed by an update."""
    with open_update(update) as opened:
        name = opened.update.old.name
    operation.install(UpdateSource.open(update, named(folder, name).in_use()), folder, rules, Silent())


def run(action: str, folder: Path, what: str, broken: str = "") -> int:
    """Run an operation; return its exit code, and say on stderr why it failed."""
    try:
        rules = operation.Rules(check, foresee)
        if action == "rollback":
            operation.rollback(what, folder, rules, Silent())
        elif action == "apply":
            apply(Path(what), folder, rules)
        elif broken == "naive":
            naive(Path(what), folder)
        else:
            operation.install(FolderSource(Path(what)), folder, rules, Silent())
    except PublicAIError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def main(packages: str, action: str, folder: str, what: str, broken: str = "") -> int:
    """Mark where the operation begins, run it, and acknowledge it."""
    sys.path.append(packages)
    digest.Sha256().hexdigest()  # loads what computes it: see above
    if broken == "no-fsync":
        os.fsync = lambda _handle: None  # type: ignore[assignment]
    with suppress(OSError):
        os.mkdir(BEGIN)  # noqa: PTH102 - it fails, and is seen in the system-call log
    code = run(action, Path(folder), what, broken)
    if code == 0:
        os.write(1, b"done\n")
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
