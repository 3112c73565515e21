"""``https:``: one file at an address. Without a digest, the first fetch tells the one it saw and pins it."""

from dataclasses import dataclass

import httpx

from publicai_edge.errors import RecipeError
from publicai_edge.recipe.lock import Pin
from publicai_edge.sources import http
from publicai_edge.sources.download import Target
from publicai_edge.sources.intake import Intake, refuse_name
from publicai_edge.sources.request import Job
from publicai_edge.sources.wanted import Wanted

FORM = "https://HOST/PATH/FILE"


@dataclass(frozen=True)
class WebSource:
    """A file's address and its base name."""

    url: str
    name: str
    folder = False


def parse(source: str) -> WebSource:
    """Read ``https://HOST/PATH/FILE``.

    Raises:
        RecipeError: it is not of that form, names a folder, or carries credentials.
        ModelError: its name is a pickle's.
    """
    try:
        url = httpx.URL(source)
    except httpx.InvalidURL as error:
        raise RecipeError(f"{source!r} is not an address: {error}.", hint=f"Expected {FORM}.") from error
    if url.scheme != "https" or not url.host:
        raise RecipeError(f"{source!r} is not an https: address.", hint=f"Expected {FORM}.")
    if url.userinfo:
        raise RecipeError(
            f"The address at {url.host} carries a user name or password, which would end up in the lock file.",
            hint="Put them into ~/.netrc and take them out of the recipe.",
        )
    name = url.path.rsplit("/", 1)[-1]
    if not name or name in {".", ".."} or "\\" in name or ":" in name or url.fragment:
        raise RecipeError(
            f"{source!r} does not name one file.",
            hint=f"Expected {FORM}; an https: address cannot be a folder. Use hf:, pypi: or npm: for one.",
        )
    refuse_name(source, name)
    return WebSource(source, name)


def fetch(source: WebSource, job: Job) -> Pin:
    """Download the file."""
    wanted = Wanted.blob(job.pin.files.only()) if job.pin else Wanted(job.request.sha256)
    intake = Intake(job)
    target = Target(source.url, source.name, wanted, {}, http.explain, http.netrc())
    job.downloader.into(intake, source.name, target)
    files = intake.files()
    if not wanted.sha256:
        job.progress.say(
            f"{source.name} from {http.shown(source.url)} has sha256 {files.only().sha256}; it is pinned "
            "from now on. "
            "Compare it with what the publisher states."
        )
    return job.pinned(None, None, files)
