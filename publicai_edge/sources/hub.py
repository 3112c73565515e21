"""``hf:``: files of a model or data set on the Hugging Face hub, or on a server of its shape (``HF_ENDPOINT``).

As in the hub's own addresses, a model is ``ORGANISATION/NAME`` and a data set ``datasets/ORGANISATION/NAME``: the hub
keeps that word for itself (https://huggingface.co/datasets), so no organisation can be called so.

The hub's library resolves the revision, lists the files with their digests, knows the token and reads its own
cache. The bytes come through this project's downloader: from version 1.18 on the library no longer continues
an interrupted download in a later run (huggingface/huggingface_hub#4306, #4196), and going through its cache
would keep a model of gigabytes twice. A file that cache already has is linked from there, not fetched.

Only calls that versions 0.36 to 2.x share are used.
"""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from publicai_edge import atomic
from publicai_edge.errors import IntegrityError, RecipeError
from publicai_edge.recipe.lock import Pin
from publicai_edge.sources import hub_api, listing
from publicai_edge.sources.download import Target
from publicai_edge.sources.intake import Intake, refuse_name
from publicai_edge.sources.request import Job
from publicai_edge.sources.wanted import Hashes, Wanted

FORM = "hf:ORGANISATION/REPOSITORY[/PATH/FILE or /FOLDER/] (hf:datasets/… for a data set)"
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")


@dataclass(frozen=True)
class HubSource:
    """A repository and a path in it; an empty path or one that ends with ``/`` is a folder.

    ``repository`` is written as in the hub's addresses: a data set's begins with ``datasets/``.
    """

    repository: str
    path: str

    @property
    def folder(self) -> bool:
        """Whether more than a single file is asked for."""
        return listing.wants_folder(self.path)

    @property
    def named(self) -> str:
        """What messages call the repository."""
        return hub_api.named(self.repository)


@dataclass(frozen=True)
class File:
    """One file at a commit: its key in the pin, its name in the repository, and what it must be."""

    repository: str
    commit: str
    key: str
    name: str
    wanted: Wanted


def parse(source: str) -> HubSource:
    """Read ``hf:[datasets/]ORGANISATION/REPOSITORY/PATH``.

    Raises:
        RecipeError: it is not of that form.
        ModelError: its name is a pickle's.
    """
    address = source.removeprefix("hf:")
    kind = hub_api.DATASETS if address.startswith(hub_api.DATASETS) else ""
    organisation, _, rest = address.removeprefix(kind).partition("/")
    repository, _, inner = rest.partition("/")
    if not _is_name(organisation) or not _is_name(repository):
        raise RecipeError(
            f"{source!r} does not name a repository.",
            hint=f"Expected {FORM}, like hf:HuggingFaceTB/SmolLM2-135M-Instruct/model.safetensors.",
        )
    path = listing.check_path(inner, source)
    refuse_name(source, path)
    return HubSource(f"{kind}{organisation}/{repository}", path)


def _is_name(part: str) -> bool:
    # The hub's own rules; its library answers a breach with a bare ValueError.
    return bool(_NAME.fullmatch(part)) and not any(bad in part for bad in ("--", "..")) and part[-4:] != ".git"


def listed(source: HubSource, job: Job, endpoint: str | None) -> tuple[list[File], hub_api.HubApi]:
    """Return the files of what the pin names, or of what the revision means now; and what to ask for them."""
    api = hub_api.HubApi(source.repository, job.downloader.patience, endpoint)
    return _pinned(source, job.pin) or _resolved(source, job, api), api


def fetch(source: HubSource, job: Job, endpoint: str | None) -> Pin:
    """Fetch what the pin names, or resolve the revision first."""
    files, api = listed(source, job, endpoint)
    intake = Intake(job)
    kept = intake.want({file.key: file.name for file in files})
    for file in files:
        if file.key in kept and not _at_hand(job, intake, file):
            url = api.url(file.commit, file.name)
            target = Target(url, file.key, file.wanted, api.headers, api.explain)
            job.downloader.into(intake, file.key, target)
    return job.pinned(files[0].commit, None, intake.files())


def fetch_cached(source: HubSource, job: Job) -> Pin | None:
    """Return what the store and the hub library's cache have between them, without network; None if not all.

    Without a pin only a single file can be answered: the cache does not know if it holds all of a folder.
    """
    files = _pinned(source, job.pin)
    if not files and not source.folder:
        place = hub_api.cached_file(source.repository, source.path, job.request.revision or "main")
        if place:
            commit, key = hub_api.commit_of(place, source.path), source.path.rpartition("/")[2]
            files = [File(source.repository, commit, key, source.path, Wanted(job.request.sha256))]
    intake = Intake(job)
    if not files or not all(_at_hand(job, intake, file) for file in files):
        return None
    return job.pinned(files[0].commit, None, intake.files())


def _pinned(source: HubSource, pin: Pin | None) -> list[File]:
    if pin is None or pin.revision is None:
        return []
    folder = (source.path if source.folder else source.path.rpartition("/")[0]).rstrip("/")
    return [
        File(source.repository, pin.revision, key, f"{folder}/{key}".lstrip("/"), Wanted.blob(blob))
        for key, blob in pin.files
    ]


def _resolved(source: HubSource, job: Job, api: hub_api.HubApi) -> list[File]:
    commit, known = api.resolve(job.request.revision)
    names = listing.choose(known, source.path, f"{source.named} at {commit[:12]}", job.request.only)
    if not source.folder and job.request.sha256:
        _check_early(source, job.request.sha256, known[source.path])
    return [File(source.repository, commit, key, name, known[name]) for key, name in names.items()]


def _check_early(source: HubSource, wanted: str, listed: Wanted) -> None:
    """Refuse a file whose digest, as the hub lists it, is not the recipe's, before gigabytes of it arrive."""
    if listed.sha256 and listed.sha256 != wanted:
        raise IntegrityError(
            f"{source.path} of {source.named} is not what was asked for: expected sha256 {wanted}, and "
            f"the hub lists {listed.sha256}.",
            hint="Compare with what its publisher states; if the new one is meant, update sha256 in the recipe.",
            file=source.path,
            expected=wanted,
            found=listed.sha256,
        )


def _at_hand(job: Job, intake: Intake, file: File) -> bool:
    """Take a file that the store or the hub library's cache has already; return whether there was one."""
    if blob := job.downloader.stored(file.wanted.sha256):
        intake.known(file.key, blob)
        return True
    place = hub_api.cached_file(file.repository, file.name, file.commit)
    return place is not None and _take_cached(job, intake, file, place.resolve())


def _take_cached(job: Job, intake: Intake, file: File, place: Path) -> bool:
    """Take a file of the hub library's cache; one that is damaged there is left alone and fetched instead."""
    with job.store.scratch() as folder, atomic.host_errors("read", place):
        mine = folder / "file"
        if not _linked(place, mine):
            atomic.require_space(folder, place.stat().st_size, f"Copying {file.key}")
            shutil.copyfile(place, mine)
        hashes = Hashes(file.wanted)
        with job.progress.task(f"Reading {file.key}", total=mine.stat().st_size, unit="bytes") as task:
            hashes.update_from(mine, task.advance)
        if hashes.mismatch():
            return False
        intake.accept(file.key, mine, hashes.sha256)
    return True


def _linked(place: Path, mine: Path) -> bool:
    """Make a hard link where one can be made.

    The hub's library replaces and deletes its files and never writes into them, so both names can share one
    file, which becomes read-only. Windows cannot delete a read-only file: there it is a copy.
    """
    if os.name == "nt":
        return False
    try:
        os.link(place, mine)
    except OSError:
        return False
    return True
