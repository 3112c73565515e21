"""Looking at a source without fetching it: its files with their sizes, and what is read of them.

What the store or this machine has is read there. On a server, files are read by ranges (:class:`RemoteFile`), also the
members of a wheel, whose list lies at the end of the archive. A tarball has no list, and would have to be read whole.
"""

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import urlsplit
from urllib.request import url2pathname

from publicai_edge.recipe.lock import Pin
from publicai_edge.sources import http, hub, listing, local, package, pypi, web
from publicai_edge.sources.archive import open_wheel
from publicai_edge.sources.remote_file import Explain, RemoteFile
from publicai_edge.sources.request import Job
from publicai_edge.store import Store

_BUFFER = 1 << 16


@dataclass(frozen=True)
class Entry:
    """A file of a source: its bytes, and how to read them."""

    size: int
    open: Callable[[], BinaryIO]


class Peek:
    """A source that was looked at.

    Attributes:
        files: by their paths in the source, as fetching it would name them.
        download: bytes that fetching it would move over the network; 0 for what is here already.
    """

    def __init__(self, files: Mapping[str, Entry], download: int, remotes: list[RemoteFile] | None = None) -> None:
        self.files = dict(files)
        self.download = download
        self._remotes = remotes if remotes is not None else []

    @property
    def transferred(self) -> int:
        """Bytes that looking has moved over the network so far."""
        return sum(remote.transferred for remote in self._remotes)


def stored(pin: Pin, store: Store) -> Peek:
    """Return a source whose files are all in the store."""
    return Peek({name: _here(store.path(blob)) for name, blob in pin.files}, 0)


def here(source: local.LocalSource, job: Job) -> Peek:
    """Return a file or folder of this machine.

    Raises:
        NotFoundError: it is not there.
    """
    return Peek({key: _here(path) for key, path in local.files(source, job.request.only).items()}, 0)


@contextmanager
def remote(source: hub.HubSource | pypi.PypiSource | web.WebSource, job: Job, endpoint: str | None) -> Iterator[Peek]:
    """Yield a source on a server; its files can be read until the context ends.

    Raises:
        SourceError: it does not exist, may not be read, or not in part; see :class:`RemoteFile`. A wheel that is
            damaged or hostile is told as the context ends.
    """
    with ExitStack() as stack:
        reader = _Reader(stack, job)
        match source:
            case hub.HubSource():
                yield _hub(source, job, endpoint, reader)
            case web.WebSource():
                found = reader.open(source.url, {}, http.explain, netrc=True)
                yield Peek({source.name: Entry(found.size, lambda: _buffered(found))}, found.size, reader.remotes)
            case pypi.PypiSource():
                yield _wheel(pypi.resolve(source), source.path, job, reader, stack)


class _Reader:
    """Opens remote files with one client."""

    def __init__(self, stack: ExitStack, job: Job) -> None:
        self.remotes: list[RemoteFile] = []
        self._client = stack.enter_context(http.client())
        self._patience = job.downloader.patience

    def open(self, url: str, headers: Mapping[str, str], explain: Explain, *, netrc: bool = False) -> RemoteFile:
        auth = http.netrc() if netrc else None
        found = RemoteFile(self._client, url, headers=headers, auth=auth, explain=explain, patience=self._patience)
        self.remotes.append(found)
        return found


def _hub(source: hub.HubSource, job: Job, endpoint: str | None, reader: _Reader) -> Peek:
    files = {}
    listed, api = hub.listed(source, job, endpoint)
    for file in listed:

        def opened(url: str = api.url(file.commit, file.name)) -> BinaryIO:
            return _buffered(reader.open(url, api.headers, api.explain))

        files[file.key] = Entry(file.wanted.size or 0, opened)
    missing = [file for file in listed if job.downloader.stored(file.wanted.sha256) is None]
    return Peek(files, sum(file.wanted.size or 0 for file in missing), reader.remotes)


def _wheel(found: package.Package, path: str, job: Job, reader: _Reader, stack: ExitStack) -> Peek:
    parts = urlsplit(found.url)
    if parts.scheme == "file":
        place = Path(url2pathname(parts.path))
        stream: BinaryIO = stack.enter_context(place.open("rb"))
        size = place.stat().st_size
    else:
        whole = reader.open(found.url, {}, http.explain, netrc=True)
        stream, size = _buffered(whole), whole.size
    archive = stack.enter_context(open_wheel(stream, found.label, size))
    kept = listing.choose(archive.sizes, path, found.label, job.request.only)
    files = {}
    for key, name in kept.items():

        def opened(name: str = name) -> BinaryIO:
            return stack.enter_context(archive.open(name))

        files[key] = Entry(archive.sizes[name], opened)
    return Peek(files, size, reader.remotes)


def _here(path: Path) -> Entry:
    return Entry(path.stat().st_size, lambda: path.open("rb"))


def _buffered(found: RemoteFile) -> BinaryIO:
    found.seek(0)
    return cast("BinaryIO", io.BufferedReader(found, _BUFFER))
