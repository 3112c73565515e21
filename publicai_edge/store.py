"""The content-addressed store: the laptop's cache of everything fetched and made.

Layout below the root (``--cache``, ``PUBLICAI_EDGE_CACHE``, or the user's cache folder)::

    objects/ab/abcd…   a file named by its SHA-256, read-only
    steps/STAGE/KEY    the record of a finished stage: its outputs by digest
    kept/STAGE/KEY/    what a long stage has found out piece by piece, so that it goes on after it was ended
    partial/           downloads in progress, kept for resuming
    hashes/            digests of local files by path, size and time, so that none is hashed twice
    work/              scratch folders of running stages

Invariants: an object appears under its name only when it is complete; nothing that exists is ever rewritten;
losing any file of the store costs time, never correctness. Every object carries the same, impossible time of change
(:data:`_STAMP`), so that one that was written to since does not count as there: that costs a look, where hashing it
again would cost reading it.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from publicai_edge import atomic, digest
from publicai_edge.artifact import Blob, FileSet
from publicai_edge.errors import NotFoundError

CACHE_VARIABLE = "PUBLICAI_EDGE_CACHE"
_STAMP = 1  # a second after the epoch


def default_root() -> Path:
    """Return the store's root: the environment's, or the platform's user cache folder."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("publicai-edge"))


class Store:
    """A folder of objects named by digest, and of records that refer to them."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.partial = self.root / "partial"
        self.work = self.root / "work"

    def path(self, blob: Blob) -> Path:
        """Return where an object lies, or would lie."""
        return self.root / "objects" / blob.sha256[:2] / blob.sha256

    def has(self, blob: Blob) -> bool:
        """Say whether an object is there: of its size, and not written to since it was stored."""
        try:
            stat = self.path(blob).stat()
        except OSError:
            return False
        return stat.st_size == blob.size and int(stat.st_mtime) == _STAMP

    def has_all(self, files: FileSet) -> bool:
        """Say whether every file of a set is there."""
        return all(self.has(blob) for _, blob in files)

    def adopt(self, source: Path, sha256: str | None = None) -> Blob:
        """Move a finished file of this file system into the store and return its name.

        Args:
            source: the file; it is gone afterwards.
            sha256: its digest when the caller hashed it while writing, so that it is not read again.
        """
        with atomic.host_errors("store", source):
            blob = Blob(sha256 or digest.of_file(source), source.stat().st_size)
            target = self.path(blob)
            if self.has(blob):
                source.unlink()
                return blob
            target.parent.mkdir(parents=True, exist_ok=True)
            atomic.fsync_path(source)
            source.chmod(0o444)
            os.utime(source, (_STAMP, _STAMP))
            source.replace(target)
        return blob

    def add_bytes(self, data: bytes) -> Blob:
        """Store ``data`` and return its name."""
        blob = Blob(digest.of_bytes(data), len(data))
        if not self.has(blob):
            atomic.write_bytes(self.path(blob), data)
            os.utime(self.path(blob), (_STAMP, _STAMP))
        return blob

    def add_copy(self, source: Path, advance: Callable[[int], None] | None = None) -> Blob:
        """Store a copy of a local file, hashing it once; a file seen before, unchanged, is not read again."""
        known = self._remembered(source)
        if known and self.has(known):
            return known
        import hashlib

        with self.scratch() as folder:
            target = folder / "copy"
            state = hashlib.sha256()
            with atomic.host_errors("read", source):
                before = source.stat()
            # What is full or forbidden here is the store; a generator's own errors name the source.
            with atomic.host_errors(f"copy {source.name} to", self.root), target.open("wb") as writer:
                for piece in _pieces(source):
                    state.update(piece)
                    writer.write(piece)
                    if advance:
                        advance(len(piece))
            blob = self.adopt(target, state.hexdigest())
        self._remember(source, before, blob)
        return blob

    def adopt_tree(self, folder: Path) -> FileSet:
        """Move every file below ``folder`` into the store and return the set."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return FileSet({path.relative_to(folder).as_posix(): self.adopt(path) for path in paths})

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield a scratch folder on the store's file system."""
        atomic.sweep(self.work) if self.work.exists() else None
        with atomic.temporary_folder(self.work) as folder:
            yield folder

    def checkout(self, files: FileSet, folder: Path) -> None:
        """Lay a set out as a folder of names for tools that want one; hard links where they can be made.

        The files are read-only views of the store: never hand this folder to something that writes into it.
        """
        for path, blob in files:
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(self.path(blob), target)
            except OSError:
                shutil.copyfile(self.path(blob), target)

    def export(self, files: FileSet, folder: Path) -> None:
        """Copy a set into a folder of the user's, each file whole or not at all.

        Raises:
            HostError: no room or no permission.
        """
        atomic.require_space(folder, files.size, f"Copying {len(files)} file(s)")
        for path, blob in files:
            target = folder / path
            with atomic.host_errors("write", target):
                target.parent.mkdir(parents=True, exist_ok=True)
                with atomic.temporary_folder(target.parent) as work:
                    shutil.copyfile(self.path(blob), work / "copy")
                    (work / "copy").replace(target)

    def record(self, stage: str, key: str) -> dict[str, Any] | None:
        """Return the record of a finished stage, or None."""
        place = self._record_path(stage, key)
        try:
            loaded: dict[str, Any] = json.loads(place.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (ValueError, UnicodeDecodeError):
            place.unlink(missing_ok=True)  # a damaged record costs one rerun
            return None
        return loaded

    def write_record(self, stage: str, key: str, value: dict[str, Any]) -> None:
        """Write the record of a finished stage."""
        data = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).encode()
        atomic.write_bytes(self._record_path(stage, key), data)

    def kept(self, stage: str, key: str) -> Path:
        """Return the folder where a long stage keeps what it found out so far; it may not be there yet."""
        return self.root / "kept" / stage / digest.check(key)

    def read_bytes(self, blob: Blob) -> bytes:
        """Return an object's content.

        Raises:
            NotFoundError: the store does not hold it.
        """
        try:
            return self.path(blob).read_bytes()
        except FileNotFoundError as error:
            raise NotFoundError(
                f"The cache at {self.root} has lost object sha256:{blob.sha256}.",
                hint="Run the same command again; it is fetched or made anew.",
            ) from error

    def _record_path(self, stage: str, key: str) -> Path:
        return self.root / "steps" / stage / f"{digest.check(key)}.json"

    def _hash_record(self, source: Path) -> Path:
        return self.root / "hashes" / digest.of_bytes(str(source.absolute()).encode())

    def _remembered(self, source: Path) -> Blob | None:
        try:
            saved = json.loads(self._hash_record(source).read_text("utf-8"))
            stat = source.stat()
        except (OSError, ValueError):
            return None
        if saved["stamp"] != _stamp(stat):
            return None
        return Blob(saved["sha256"], stat.st_size)

    def _remember(self, source: Path, stat: os.stat_result, blob: Blob) -> None:
        data = json.dumps({"stamp": _stamp(stat), "sha256": blob.sha256}).encode()
        atomic.write_bytes(self._hash_record(source), data)


def _pieces(source: Path) -> Iterator[bytes]:
    with atomic.host_errors("read", source), source.open("rb") as reader:
        while piece := reader.read(digest.CHUNK):
            yield piece


def _stamp(stat: os.stat_result) -> list[int]:
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_dev]
