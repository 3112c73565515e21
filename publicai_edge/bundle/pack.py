"""Write a bundle folder from what the stages made.

Invariants: the same inputs give the same bytes (no times, no paths, sorted lists, fixed modes); the folder appears
under its name only when it is complete, and replaces an older one in one step; files come from the store with the
digests they already have, so nothing is hashed a second time.
"""

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from publicai_edge import atomic, digest
from publicai_edge.artifact import Blob
from publicai_edge.bundle import bag
from publicai_edge.bundle import manifest as bundle_manifest
from publicai_edge.bundle.manifest import Manifest
from publicai_edge.bundle.signing import names as signature_names
from publicai_edge.errors import BundleError, HostError
from publicai_edge.progress import Progress
from publicai_edge.store import Store

_COPY_CHUNK = 4 << 20
_RECORD = "pack"


@dataclass(frozen=True)
class Content:
    """What goes into a bundle: payload files by path with where their bytes lie, and small tag files as bytes."""

    manifest: Manifest
    payload: Mapping[str, tuple[Blob, Path]]
    tags: Mapping[str, bytes]


def check(parent: Path, folder_name: str) -> None:
    """See that a bundle can be written into ``parent``, before hours go into it.

    Raises:
        HostError: a file stands in the way, or there is no permission.
        BundleError: something that is not a bundle stands in the way.
    """
    atomic.check_folder(parent)
    _refuse_foreign(parent / folder_name)


def write(content: Content, parent: Path, store: Store, progress: Progress) -> tuple[Path, bool]:
    """Write the bundle into ``parent/NAME-VERSION``.

    Returns:
        The folder, and whether anything was written: a bundle that is already there, untouched since this program
        wrote it (by its tag files, and every file's size and time), is left alone.

    Raises:
        HostError: no room or no permission.
        BundleError: something that is not a bundle stands in the way.
    """
    tags = _tag_files(content)
    target = parent / content.manifest.folder_name
    if parent.is_dir():
        atomic.sweep(parent)
    if _is_current(target, tags, store):
        return target, False
    _refuse_foreign(target)
    total = sum(blob.size for blob, _ in content.payload.values())
    with atomic.host_errors("write", parent):
        parent.mkdir(parents=True, exist_ok=True)
    atomic.require_space(parent, total + (1 << 20), f"The bundle {target.name}")
    with atomic.temporary_folder(parent) as folder, atomic.host_errors("write", target):
        staged = folder / target.name
        _fill(staged, content, tags, total, progress)
        _swap(staged, target, folder)
    store.write_record(_RECORD, _record_key(target, tags), {"stamps": _stamps(target)})
    return target, True


def _tag_files(content: Content) -> dict[str, bytes]:
    manifest = content.manifest
    payload = {path: blob for path, (blob, _) in content.payload.items()}
    fields = {
        "Source-Organization": manifest.steward.name,
        "Contact-Email" if "@" in manifest.steward.contact else "Contact-Name": manifest.steward.contact,
        "External-Identifier": f"{manifest.folder_name} release {manifest.release}",
        "External-Description": bundle_manifest.word(manifest.title, manifest.languages[0]),
        "Bag-Software-Agent": manifest.built_by,
    }
    tags = {
        **content.tags,
        bag.DECLARATION: bag.declaration(),
        bag.INFO: bag.info(fields, payload),
        bag.PAYLOAD_MANIFEST: bag.manifest(payload),
        bundle_manifest.FILE_NAME: manifest.to_bytes(),
    }
    blobs = {name: Blob(digest.of_bytes(data), len(data)) for name, data in tags.items()}
    return {**tags, bag.TAG_MANIFEST: bag.manifest(blobs)}


def _is_current(target: Path, tags: Mapping[str, bytes], store: Store) -> bool:
    """Say whether the bundle is there as this program wrote it; whether its bytes still hold is for ``verify``."""
    record = store.record(_RECORD, _record_key(target, tags))
    try:
        return record is not None and record["stamps"] == _stamps(target)
    except OSError:
        return False


def _record_key(target: Path, tags: Mapping[str, bytes]) -> str:
    return digest.of_json([str(target.absolute()), digest.of_bytes(tags[bag.TAG_MANIFEST])])


def _stamps(target: Path) -> dict[str, list[int]]:
    found = {}
    for path in files_below(target):
        if path in signature_names.FILES:  # a bundle that was signed since is as it was written, and keeps them
            continue
        stat = (target / path).lstat()
        found[path] = [stat.st_size, stat.st_mtime_ns]
    return found


def files_below(root: Path) -> list[str]:
    """Return the relative POSIX paths of everything below ``root`` that is not a folder, sorted."""
    found = []
    for folder, _, names in os.walk(root):
        base = Path(folder)
        found += [(base / name).relative_to(root).as_posix() for name in names]
    return sorted(found)


def _refuse_foreign(target: Path) -> None:
    if target.is_dir() and ((target / bundle_manifest.FILE_NAME).exists() or not any(target.iterdir())):
        return
    if target.exists():
        raise BundleError(
            f"{target} exists and is not a bundle; it is left as it is.",
            hint="Move it away, or choose another folder with --output.",
        )


def _fill(staged: Path, content: Content, tags: Mapping[str, bytes], total: int, progress: Progress) -> None:
    staged.mkdir()
    with progress.task("Writing the bundle", total=total, unit="bytes") as task:
        for path, (blob, source) in sorted(content.payload.items()):
            place = staged / path
            place.parent.mkdir(parents=True, exist_ok=True)
            with source.open("rb") as reader, place.open("wb") as writer:
                while piece := reader.read(_COPY_CHUNK):
                    writer.write(piece)
                    task.advance(len(piece))
                writer.flush()
                os.fsync(writer.fileno())
            if place.stat().st_size != blob.size:
                raise HostError(
                    f"The cache's copy of {path} has {place.stat().st_size:,} bytes instead of {blob.size:,}.",
                    hint="Run the same command again; it is made anew.",
                )
            place.chmod(bag.mode_of(path))
    for name, data in tags.items():
        atomic.write_bytes(staged / name, data)
        (staged / name).chmod(bag.mode_of(name))
    for folder, _, _ in os.walk(staged):
        Path(folder).chmod(0o755)
        atomic.fsync_path(Path(folder))


def _swap(staged: Path, target: Path, scratch: Path) -> None:
    """Put ``staged`` in the place of ``target``, which may exist."""
    if not target.exists():
        staged.rename(target)
    elif not _exchange(staged, target):
        # Systems without an atomic exchange have a moment with no bundle; the old one is kept until then.
        aside = Path(tempfile.mkdtemp(dir=scratch)) / "old"
        target.rename(aside)
        staged.rename(target)
    atomic.fsync_path(target.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step (Linux ``renameat2`` with RENAME_EXCHANGE); False where there is none."""
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    at_cwd, exchange = -100, 2
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    return bool(libc.renameat2(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), exchange) == 0)


def write_zip(bundle: Path, target: Path, progress: Progress) -> Path:
    """Write ``bundle`` as a ZIP archive whose bytes depend on its content alone.

    Entries are stored, not compressed: weights do not compress, and a stored file unpacks at the stick's speed.
    """
    import zipfile

    paths = files_below(bundle)
    total = sum((bundle / path).stat().st_size for path in paths)
    atomic.require_space(target.parent, total, target.name)
    with (
        atomic.replacing(target) as temporary,
        progress.task(f"Writing {target.name}", total=total, unit="bytes") as task,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
    ):
        for path in paths:
            entry = zipfile.ZipInfo(f"{bundle.name}/{path}", date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = (stat.S_IFREG | bag.mode_of(path)) << 16
            entry.create_system = 3
            entry.file_size = (bundle / path).stat().st_size
            with (bundle / path).open("rb") as reader, archive.open(entry, "w", force_zip64=True) as out:
                shutil.copyfileobj(reader, out, _COPY_CHUNK)
            task.advance(entry.file_size)
    return target
