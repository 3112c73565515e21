"""One file that carries a runtime from the machine that made it to a laptop that packs it.

A plain tar: ``runtime.json`` first, then the files it lists, in their order, and nothing else. It is read by the rules
of :mod:`publicai_edge.archives`, and decides nothing: where its members are not those expected, one by one, by name,
kind and size, nothing is taken; so links, devices, other names and duplicates have no rule of their own to slip past.
"""

import hashlib
import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

from publicai_edge import archives, atomic
from publicai_edge.archives.reading import Archive, Content
from publicai_edge.errors import BundleError
from publicai_edge.progress import Progress, Task
from publicai_edge.runtime import manifest as runtime_manifest
from publicai_edge.runtime.manifest import RuntimeManifest
from publicai_edge.store import Store

SUFFIX = ".runtime.tar"
_BLOCK = 512
_MOST_MANIFEST = 4 << 20
_CHUNK = 1 << 20


def write(manifest: RuntimeManifest, store: Store, target: Path, progress: Progress) -> None:
    """Write ``target``; its bytes depend on the runtime alone.

    Raises:
        HostError: no room or no permission.
    """
    atomic.check_target(target)
    atomic.require_space(target.parent, manifest.size + (8 << 20), target.name)
    with (
        atomic.temporary_folder(target.parent) as work,
        atomic.host_errors("write", target),
        progress.task(f"Writing {target.name}", total=manifest.size, unit="bytes") as task,
    ):
        with (work / "tar").open("wb") as out:
            _put(out, runtime_manifest.FILE_NAME, io.BytesIO(manifest.to_bytes()), len(manifest.to_bytes()), Task())
            for path, blob in manifest.file_set:
                with store.path(blob).open("rb") as stream:
                    _put(out, path, stream, blob.size, task)
            out.write(b"\0" * (2 * _BLOCK))
        atomic.fsync_path(work / "tar")
        (work / "tar").replace(target)


def _put(out: IO[bytes], name: str, stream: IO[bytes], size: int, task: Task) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o755 if runtime_manifest.is_program(Path(name)) else 0o644
    out.write(entry.tobuf(tarfile.USTAR_FORMAT))
    while piece := stream.read(_CHUNK):
        out.write(piece)
        task.advance(len(piece))
    out.write(b"\0" * (-size % _BLOCK))


def read(source: Path, store: Store, progress: Progress) -> RuntimeManifest:
    """Bring the files of an exported runtime into the store.

    Raises:
        BundleError: it is damaged, hostile, or no such file.
        HostError: it cannot be read.
    """
    with atomic.host_errors("read", source), _damage(source), archives.opened_tar(source) as opened:
        found = _manifest(opened, source)
        stated = [(member.name, member.kind, member.size) for member in opened.members[1:]]
        if stated != [(path, "file", blob.size) for path, blob in found.file_set]:
            raise ValueError(f"its files are not those that its {runtime_manifest.FILE_NAME} lists, in their order")
        atomic.require_space(store.root, found.size, f"Importing {source.name}")
        with progress.task(f"Importing {source.name}", total=found.size, unit="bytes") as task:
            for member, content in opened.read(set(found.file_set.files)):
                _take(content, member.name, found.files[member.name].sha256, store, task)
    return found


def _manifest(opened: Archive, source: Path) -> RuntimeManifest:
    first = opened.members[0] if opened.members else None
    if first and first.name == runtime_manifest.FILE_NAME and first.size <= _MOST_MANIFEST:
        for _, content in opened.read({first.name}):
            data = b"".join(iter(partial(content.read, _CHUNK), b""))
            return runtime_manifest.parse(data, f"{source}: {runtime_manifest.FILE_NAME}")
    raise ValueError(f"it does not begin with {runtime_manifest.FILE_NAME}")


def _take(content: Content, path: str, sha256: str, store: Store, task: Task) -> None:
    with store.scratch() as folder:
        target, state = folder / "member", hashlib.sha256()
        with atomic.host_errors("write", target), target.open("wb") as writer:
            while piece := content.read(_CHUNK):
                state.update(piece)
                writer.write(piece)
                task.advance(len(piece))
        if state.hexdigest() != sha256:
            raise ValueError(f"{path} has sha256 {state.hexdigest()}; its manifest says {sha256}")
        store.adopt(target, sha256)


@contextmanager
def _damage(source: Path) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise BundleError(
            f"{source} is not a runtime as `publicai-edge runtime export` writes it: {error}.",
            hint="Copy it again from where it came. Nothing of it was used.",
            path=str(source),
        ) from error
