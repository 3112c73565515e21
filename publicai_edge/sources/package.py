"""What ``pypi:`` and ``npm:`` share: a published package is resolved, downloaded, and some of it taken.

The user's own client resolves (its index, mirror, proxy and login settings apply); this project's downloader
fetches, because it resumes. Where the client knows a login or a certificate that the downloader does not, the
client fetches too.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from publicai_edge import atomic
from publicai_edge.errors import AccessError, IntegrityError, OfflineError
from publicai_edge.recipe.lock import Pin
from publicai_edge.sources import http
from publicai_edge.sources.archive import Archive, take
from publicai_edge.sources.download import Target
from publicai_edge.sources.intake import Intake
from publicai_edge.sources.request import Job
from publicai_edge.sources.wanted import Hashes, Wanted

Open = Callable[[Path, str], AbstractContextManager[Archive]]


@dataclass(frozen=True)
class Package:
    """A resolved package: how messages call it, its version, its address and the digest its index states."""

    label: str
    version: str
    url: str
    wanted: Wanted
    open: Open
    download: Callable[[Path], Path]
    """Let the client itself fetch the package into a folder."""


def fetch(package: Package, path: str, job: Job) -> Pin:
    """Fetch the package and take what ``path`` asks for.

    Raises:
        IntegrityError: the package is not the pinned one.
    """
    wanted = _pinned(package, job)
    parts = urlsplit(package.url)
    if parts.scheme == "file":
        place = Path(url2pathname(parts.path))
        return _take(package, place, _hashed(package, place, wanted), path, job)
    target = Target(package.url, package.label, wanted, {}, http.explain, http.netrc())
    try:
        with job.downloader.archive(target) as (place, sha256):
            return _take(package, place, sha256, path, job)
    except (AccessError, OfflineError, http.UntrustedError) as error:
        job.progress.say(f"{error.message} The package's own client is asked to fetch it instead.")
    return fetch_by_client(package, path, job)


def fetch_by_client(package: Package, path: str, job: Job) -> Pin:
    """Let the package's own client fetch it, and take what ``path`` asks for.

    Raises:
        IntegrityError: the package is not the pinned one.
    """
    wanted = _pinned(package, job)
    with job.store.scratch() as folder:
        place = package.download(folder)
        return _take(package, place, _hashed(package, place, wanted), path, job)


def _take(package: Package, place: Path, sha256: str, path: str, job: Job) -> Pin:
    intake = Intake(job)
    with package.open(place, package.label) as archive:
        take(archive, path, job, intake, package.label)
    return job.pinned(package.version, sha256, intake.files())


def _pinned(package: Package, job: Job) -> Wanted:
    pinned = job.pin.archive if job.pin else None
    if pinned is None:
        return package.wanted
    if package.wanted.sha256 and package.wanted.sha256 != pinned:
        raise _changed(package, pinned, package.wanted.sha256)
    return Wanted(pinned, package.wanted.size, package.wanted.other)


def _hashed(package: Package, place: Path, wanted: Wanted) -> str:
    hashes = Hashes(wanted)
    with atomic.host_errors("read", place):
        hashes.update_from(place, lambda _: None)
    if wrong := hashes.mismatch():
        raise _changed(package, wrong.expected, wrong.found)
    return hashes.sha256


def _changed(package: Package, expected: str, found: str) -> IntegrityError:
    return IntegrityError(
        f"{package.label} is not the package that was pinned: expected digest {expected}, found {found}.",
        hint="A package index never changes a published file: another mirror, or a build for another platform, may be "
        "in use. If the change is meant, run the same command with --update-lock.",
        file=package.label,
        expected=expected,
        found=found,
    )
