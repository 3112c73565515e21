"""Check a bundle: every byte is what the manifests say, and nothing is there that they do not list.

Verification raises or reports; there is no quiet False. Every file is read once. Files are hashed on all cores: the
hash releases the interpreter's lock.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from publicai_edge import digest
from publicai_edge.bundle import bag
from publicai_edge.bundle import manifest as bundle_manifest
from publicai_edge.bundle.manifest import Manifest
from publicai_edge.bundle.open import open_bundle
from publicai_edge.errors import BundleError
from publicai_edge.host import usable_cores
from publicai_edge.progress import Progress


@dataclass(frozen=True)
class Verification:
    """A bundle that holds: its manifest, and the files and bytes checked."""

    manifest: Manifest
    files: int
    bytes: int


def verify(root: Path, progress: Progress) -> Verification:
    """Check the bundle at ``root``.

    Raises:
        BundleError: anything was changed, is missing or was added; ``facts`` lists every file of each kind.
    """
    listed = _listed(root)
    present = _present(root)
    added = sorted(present - set(listed) - bag.UNLISTED)
    missing = sorted(set(listed) - present)
    check = sorted(set(listed) & present)
    changed = _changed(root, {path: listed[path] for path in check}, progress)
    if changed or missing or added:
        raise _differs(root, changed, missing, added)
    bundle = open_bundle(root)
    _agree(bundle.manifest, listed)
    size = sum((root / path).stat().st_size for path in check)
    return Verification(bundle.manifest, len(check), size)


def _listed(root: Path) -> dict[str, str]:
    """Return every file the manifests list with its digest; the payload manifest is itself listed."""
    listed: dict[str, str] = {}
    for name in (bag.TAG_MANIFEST, bag.PAYLOAD_MANIFEST):
        try:
            data = (root / name).read_bytes()
        except FileNotFoundError as error:
            what = f"{root} has no {name}" if root.is_dir() else f"There is no folder {root}"
            raise BundleError(
                f"{what}: not a bundle, or not a whole one.",
                hint="Give the folder that holds START-HERE.html, or copy the bundle again.",
                missing=[name],
            ) from error
        except NotADirectoryError as error:
            raise BundleError(f"{root} is a file; a bundle is a folder.") from error
        listed |= bag.parse_manifest(data, name)
    return listed


def _present(root: Path) -> set[str]:
    found: set[str] = set()
    for folder, names, files in os.walk(root):
        base = Path(folder)
        for name in list(names):
            # A link to a folder would bring in files from elsewhere: it counts as a file that was added.
            if (base / name).is_symlink():
                files.append(name)
                names.remove(name)
        found |= {(base / name).relative_to(root).as_posix() for name in files}
    return found


def _changed(root: Path, expected: dict[str, str], progress: Progress) -> list[str]:
    total = sum((root / path).lstat().st_size for path in expected)
    # The largest first, so that no core waits for a straggler.
    order = sorted(expected, key=lambda path: -(root / path).lstat().st_size)
    with progress.task("Checking every file", total=total, unit="bytes") as task:

        def differs(path: str) -> bool:
            place = root / path
            if place.is_symlink() or not place.is_file():
                return True
            try:
                return digest.of_file(place, task.advance) != expected[path]
            except OSError as error:
                raise BundleError(f"Cannot read {place}: {error.strerror}.") from error

        with ThreadPoolExecutor(usable_cores()) as pool:
            results = list(pool.map(differs, order))
    return sorted(path for path, bad in zip(order, results, strict=True) if bad)


def _differs(root: Path, changed: list[str], missing: list[str], added: list[str]) -> BundleError:
    lines = []
    for what, paths in (("changed", changed), ("missing", missing), ("added", added)):
        for path in paths:
            # Nothing but the signature vouches for the tag manifest, so a tag file's line there may be what changed.
            tag = what == "changed" and not path.startswith(bag.PAYLOAD)
            lines.append(f"  {what}: {path}" + (f" (or its line in {bag.TAG_MANIFEST})" if tag else ""))
    count = len(changed) + len(missing) + len(added)
    return BundleError(
        f"The bundle {root} is not what was built; {count} file(s) differ:\n" + "\n".join(lines),
        hint="Do not use it. Copy the bundle again from where it came; if it differs again, ask its steward.",
        changed=changed,
        missing=missing,
        added=added,
    )


def _agree(manifest: Manifest, listed: dict[str, str]) -> None:
    """See that bundle.json speaks of the model that is really here."""
    model = manifest.model
    for path, sha256 in {model.file: model.sha256, **model.parts}.items():
        recorded = digest.check(sha256)
        if listed.get(path) != recorded:
            raise BundleError(
                f"{bundle_manifest.FILE_NAME} names model sha256:{recorded[:12]}…, and the manifest lists "
                f"{listed.get(path, 'none')[:12]}… for {path}.",
                hint="The bundle was put together from two different ones. Ask its steward for a whole one.",
            )
