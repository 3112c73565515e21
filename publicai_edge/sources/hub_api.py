"""What is asked of the hub's library: revisions, listings, tokens, its cache; and refusals in plain words."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx

from publicai_edge.errors import AccessError, HostError, NotFoundError, OfflineError, PublicAIError, SourceError
from publicai_edge.sources import http
from publicai_edge.sources.retry import RETRIED, Patience, retry_after
from publicai_edge.sources.wanted import Wanted

_T = TypeVar("_T")
DATASETS = "datasets/"
"""What a data set's address has before its name."""
_API_TIMEOUT = 30.0


class HubApi:
    """One repository on the hub, or on the server that ``endpoint`` names."""

    def __init__(self, repository: str, patience: Patience, endpoint: str | None) -> None:
        try:
            import huggingface_hub
            from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]
        except ModuleNotFoundError as error:  # a kiosk does without it
            raise HostError(
                f"Sources of kind hf: need {error.name}, which is not installed.",
                hint="pip install huggingface-hub",
            ) from error

        self.repository = repository
        self._id, self._type = _id_and_type(repository)
        self._patience = patience
        self._hub = huggingface_hub.HfApi(endpoint=endpoint)
        self.endpoint: str = self._hub.endpoint
        self.headers: dict[str, str] = build_hf_headers(library_name="publicai-edge")

    def url(self, commit: str, name: str) -> str:
        """Return the address of a file at a commit."""
        import huggingface_hub

        return huggingface_hub.hf_hub_url(self._id, name, repo_type=self._type, revision=commit, endpoint=self.endpoint)

    def resolve(self, revision: str | None) -> tuple[str, dict[str, Wanted]]:
        """Return the commit that a revision (default: ``main``) means now, and its files with size and digest.

        Raises:
            PublicAIError: see :meth:`explain`; :class:`OfflineError` when the hub cannot be reached.
        """
        info = self._ask(
            lambda: self._hub.repo_info(
                self._id, repo_type=self._type, revision=revision, files_metadata=True, timeout=_API_TIMEOUT
            ),
            revision,
        )
        if not info.sha:
            raise SourceError(f"{self.endpoint} did not say which commit {named(self.repository)} is at.")
        return info.sha, {item.rfilename: _wanted(item) for item in info.siblings or ()}

    def _ask(self, call: Callable[[], _T], revision: str | None) -> _T:
        """Call the library, again where that may help."""
        from huggingface_hub.errors import HfHubHTTPError

        failures = 0
        while True:
            failures += 1
            try:
                return call()
            except HfHubHTTPError as error:
                status, headers = _response_of(error)
                if status not in RETRIED:
                    raise self._explained(status, headers, self.endpoint, revision) from error
                asked = retry_after(headers.get("Retry-After"))
                pause = self._patience.wait(failures, asked)
                if failures >= self._patience.tries or pause is None:
                    raise self._busy(status, asked) from error
            except _transport_errors() as error:
                pause = self._patience.wait(failures, None)
                if failures >= self._patience.reach_tries or pause is None:
                    raise self._unreachable(error) from error
            time.sleep(pause)

    def explain(self, status: int, headers: Mapping[str, str], url: str) -> PublicAIError:
        """Return the error for a refused download, from its status and the hub's ``X-Error-Code``."""
        return self._explained(status, headers, url, None)

    def _explained(self, status: int, headers: Mapping[str, str], url: str, revision: str | None) -> PublicAIError:
        code, repository, name = headers.get("X-Error-Code"), self.repository, named(self.repository)
        page = f"{self.endpoint}/{repository}"
        login = "Log in with `hf auth login`, or set HF_TOKEN to a token that may read it"
        if code == "GatedRepo":
            return AccessError(
                f"{name} is gated: its publisher wants its licence accepted before anyone may download it.",
                hint=f"Accept the licence at {page} with your account. {login}, then run the same command again.",
                repository=repository,
            )
        if code == "RevisionNotFound":
            return NotFoundError(
                f"{name} has no revision {revision or 'of the commit that is pinned'!r}.",
                hint=f"Branches, tags and commits are listed at {page}/commits.",
                repository=repository,
            )
        if code == "EntryNotFound":
            return NotFoundError(
                f"{http.shown(url)} does not exist.", hint=f"Files are listed at {page}/tree/main.", url=url
            )
        if status == 401 or (status == 403 and code != "RepoNotFound"):  # noqa: PLR2004 - HTTP statuses
            # The hub answers 401 for what does not exist as well as for what is private, so as not to tell.
            return AccessError(
                f"{name} is private, or does not exist, or the token may not read it (HTTP {status}).",
                hint=f"Check the name at {page}. {login}, then run the same command again.",
                repository=repository,
                status=status,
            )
        if code == "RepoNotFound" or status == 404:  # noqa: PLR2004
            return NotFoundError(
                f"There is no repository {name} at {self.endpoint}.",
                hint=f"Check the name. If it is private: {login[0].lower()}{login[1:]}.",
                repository=repository,
            )
        said = f": {message}" if (message := headers.get("X-Error-Message")) else "."
        return SourceError(f"{http.shown(url)} answered HTTP {status}{said}", status=status)

    def _busy(self, status: int, asked: float | None) -> SourceError:
        wait = f" and asks to wait {asked:,.0f} s" if asked else ""
        hint = "Try again later."
        if status == 429:  # noqa: PLR2004
            hint = "Too many requests came from this address; logged-in users (`hf auth login`) may send more. " + hint
        return SourceError(f"{self.endpoint} answered HTTP {status} again and again{wait}.", hint=hint, status=status)

    def _unreachable(self, error: Exception) -> PublicAIError:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return SourceError(
                f"The certificate of {self.endpoint} is not trusted.",
                hint="Behind an institution's proxy, point SSL_CERT_FILE and REQUESTS_CA_BUNDLE to its "
                "certificate authority's file.",
            )
        return OfflineError(
            f"{named(self.repository)} is not in the cache, and {self.endpoint} cannot be reached.",
            hint="Connect to the network (HTTPS_PROXY names a proxy, HF_ENDPOINT a mirror) and run the same "
            "command "
            "again.",
            repository=self.repository,
        )


def named(repository: str) -> str:
    """Return how a message calls a repository: a model by its name alone, a data set as one."""
    repo_id, repo_type = _id_and_type(repository)
    return f"{repo_id} (data set)" if repo_type == "dataset" else repo_id


def _id_and_type(repository: str) -> tuple[str, str]:
    """Return what the library calls ``repo_id`` and ``repo_type``."""
    repo_id = repository.removeprefix(DATASETS)
    return repo_id, "model" if repo_id == repository else "dataset"


def cached_file(repository: str, name: str, revision: str) -> Path | None:
    """Return a file of the hub library's own cache, or None; asks no network."""
    try:
        import huggingface_hub
    except ModuleNotFoundError:
        return None  # no library, no cache of its own

    repo_id, repo_type = _id_and_type(repository)
    place = huggingface_hub.try_to_load_from_cache(repo_id, name, revision=revision, repo_type=repo_type)
    return Path(place) if isinstance(place, str) else None


def commit_of(place: Path, name: str) -> str:
    """Return the commit of a cached file: the folder of its snapshot."""
    return place.parents[name.count("/")].name


def _wanted(item: Any) -> Wanted:
    if item.lfs is not None:
        return Wanted(item.lfs.sha256, item.lfs.size)
    other = ("git", item.blob_id) if item.blob_id and item.size is not None else None
    return Wanted(None, item.size, other)


def _response_of(error: Any) -> tuple[int, Mapping[str, str]]:
    response = error.response
    return (response.status_code, response.headers) if response is not None else (0, {})


def _transport_errors() -> tuple[type[Exception], ...]:
    """Return what the library's HTTP client raises: OSError in 0.36, httpx's in 1.x, httpx2's in 2.x."""
    from huggingface_hub import utils

    own = getattr(utils, "httpx", None)
    return (OSError, httpx.HTTPError, *([own.HTTPError] if own else []))
