"""Write an update from one bundle to the next."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from publicai_edge import atomic, digest
from publicai_edge.artifact import Blob
from publicai_edge.bundle import bag
from publicai_edge.bundle.delta import document
from publicai_edge.bundle.delta.compare import pieces
from publicai_edge.bundle.delta.container import member_of, open_update
from publicai_edge.bundle.delta.document import End, Entry, Update
from publicai_edge.bundle.install.staging import files_of
from publicai_edge.bundle.verify import Verification, verify
from publicai_edge.errors import BundleError
from publicai_edge.progress import Progress, Task

_PIECE = 1 << 20
_WORTH = 0.9
_STORED_FROM = 64 << 20  # weights do not compress, and deflating gigabytes to find that out takes minutes
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Written:
    """What an update holds: its file and size, the size of the whole new bundle, and how the files come about.

    ``releases`` are the old bundle's number and the new one's.
    """

    path: Path
    size: int
    full: int
    kept: int
    patched: int
    whole: int
    releases: tuple[int, int]

    @property
    def worth_it(self) -> bool:
        """Whether the update is clearly smaller than a full copy."""
        return self.size < _WORTH * self.full


def write(old: Path, new: Path, target: Path, progress: Progress) -> Written:
    """Write what turns the bundle ``old`` into ``new`` to the ZIP file ``target``.

    Both are checked first: an update that leads to a damaged bundle, or builds on one, helps nobody. The same two
    bundles give the same bytes.

    Raises:
        BundleError: one is not whole, or they are not two versions of one bundle.
        HostError: the file cannot be written.
    """
    before, after = verify(old, progress), verify(new, progress)
    if before.manifest.name != after.manifest.name:
        raise BundleError(
            f"{old} is the bundle {before.manifest.name}, and {new} is {after.manifest.name}.",
            hint="An update leads from one version of a bundle to another of the same name.",
        )
    ends = _end(before), _end(after)
    if ends[0].tag == ends[1].tag:
        raise BundleError(
            f"{old} and {new} have the same content, to the byte.",
            hint="There is nothing to update. Where only the signatures are new, bring the bundle itself; else change "
            "the recipe or its documents, raise `release`, and build again.",
        )
    blobs = dict(after.blobs)
    for path in files_of(new):
        if path not in blobs:  # signatures, which no manifest lists
            blobs[path] = Blob(digest.of_file(new / path), (new / path).stat().st_size)
    entries = _entries(old, new, before.blobs, blobs, progress)
    update = Update(*ends, entries)
    size = _write_zip(update, new, target, progress)
    ways = ["whole" if item.source is None else "kept" if item.pieces is None else "patched" for item in entries]
    full = sum(blob.size for blob in blobs.values())
    kept, patched, whole = (ways.count(way) for way in ("kept", "patched", "whole"))
    return Written(target, size, full, kept, patched, whole, (before.manifest.release, after.manifest.release))


def _end(found: Verification) -> End:
    manifest = found.manifest
    return End(found.blobs[bag.TAG_MANIFEST].sha256, manifest.name, manifest.version, manifest.release)


def _entries(
    old: Path, new: Path, before: Mapping[str, Blob], after: dict[str, Blob], progress: Progress
) -> tuple[Entry, ...]:
    by_digest = {blob.sha256: path for path, blob in sorted(before.items(), reverse=True)}
    changed = [path for path, blob in after.items() if blob.sha256 not in by_digest and path in before]
    total = sum(after[path].size + before[path].size for path in changed)
    entries = []
    with progress.task("Comparing what changed", total=total, unit="bytes") as task:
        for path, blob in sorted(after.items()):
            made = Entry(path, blob.size, blob.sha256)
            if (source := by_digest.get(blob.sha256)) is not None:
                made = Entry(path, blob.size, blob.sha256, source)
            elif path in before and (found := pieces(old / path, new / path, task)) is not None:
                made = Entry(path, blob.size, blob.sha256, path, found)
            entries.append(made)
    return tuple(entries)


def _write_zip(update: Update, new: Path, target: Path, progress: Progress) -> int:
    carried = sum(entry.carried for entry in update.entries)
    atomic.require_space(target.parent, carried, target.name)
    with atomic.replacing(target) as temporary:
        with (
            progress.task(f"Writing {target.name}", total=carried, unit="bytes") as task,
            zipfile.ZipFile(temporary, "w") as archive,
        ):
            archive.writestr(_member(document.FILE_NAME, 0), update.to_bytes(), zipfile.ZIP_DEFLATED, 9)
            for entry in update.entries:
                if name := member_of(entry):
                    _carry(archive, name, entry, new / entry.path, task)
        _see_taken(temporary, new)
    return target.stat().st_size


def _see_taken(update: Path, new: Path) -> None:
    """See that ``apply`` would open it: a name, or how far a file shrinks, may be against the rules for archives."""
    try:
        with open_update(update):
            pass
    except BundleError as error:
        raise BundleError(
            f"No update can carry {new}. {error.message}",
            hint="Bring the whole bundle instead, with `publicai-edge copy` or `build --zip`.",
        ) from error


def _carry(archive: zipfile.ZipFile, name: str, entry: Entry, source: Path, task: Task) -> None:
    with source.open("rb") as reader, archive.open(_member(name, entry.carried), "w", force_zip64=True) as writer:
        at = 0
        for start, length in entry.pieces or ((-1, entry.size),):
            if start < 0:
                reader.seek(at)
                left = length
                while left:
                    if not (piece := reader.read(min(left, _PIECE))):
                        raise BundleError(f"{source} was changed while it was read.", hint="Run the command again.")
                    writer.write(piece)
                    task.advance(len(piece))
                    left -= len(piece)
            at += length


def _member(name: str, size: int) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _EPOCH)
    member.compress_type = zipfile.ZIP_STORED if size >= _STORED_FROM else zipfile.ZIP_DEFLATED
    member.external_attr = 0o100644 << 16
    member.create_system = 3
    return member
