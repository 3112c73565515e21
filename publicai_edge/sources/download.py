"""The one downloader of this project: resumes, checks, waits, and lets no second process spoil its partial.

Used for every scheme that goes over HTTP. Invariants: a file leaves here only when its size and digest are
the wanted ones; memory does not grow with the file; bytes that have arrived are not asked for again, in this
run or a later one, unless they turn out wrong; a connection that began encrypted never continues in the
clear.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock
import httpx

from publicai_edge import atomic
from publicai_edge.artifact import Blob
from publicai_edge.errors import IntegrityError, OfflineError, PublicAIError, SourceError
from publicai_edge.progress import Progress, Task
from publicai_edge.sources import http
from publicai_edge.sources.intake import Intake
from publicai_edge.sources.partial import Partial
from publicai_edge.sources.retry import RETRIED, Patience, retry_after
from publicai_edge.sources.wanted import Mismatch, Wanted
from publicai_edge.store import Store

Explain = Callable[[int, Mapping[str, str], str], PublicAIError]
_PARTIAL_CONTENT, _RANGE_NOT_SATISFIABLE, _ERRORS = 206, 416, 400


class Interrupted(Exception):  # noqa: N818 - not an error yet: it says why an attempt ended
    """An attempt ended early; a later one may go on. ``asked`` is what Retry-After said, in seconds."""

    def __init__(self, why: str, *, reached: bool, asked: float | None = None) -> None:
        super().__init__(why)
        self.reached = reached
        self.asked = asked


@dataclass(frozen=True)
class Target:
    """One file to download: its address, its name in messages, what is known of it, who explains refusals."""

    url: str
    label: str
    wanted: Wanted
    headers: Mapping[str, str]
    explain: Explain
    auth: httpx.Auth | None = None


class Downloader:
    """Downloads into a store's ``partial/`` folder."""

    def __init__(self, store: Store, progress: Progress, patience: Patience) -> None:
        self.patience = patience
        self._store = store
        self._progress = progress
        self._kept: dict[str, Partial] | None = None

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Keep packages until the block ends: one that is asked for again in it is not fetched again."""
        self._kept = {}
        try:
            yield
        finally:
            kept, self._kept = self._kept, None
            for partial in kept.values():
                partial.remove()

    def into(self, intake: Intake, key: str, target: Target) -> None:
        """Bring one file into the store by way of ``intake``; one that is there already is not fetched."""
        with self._exclusive(target):
            if blob := self.stored(target.wanted.sha256):
                intake.known(key, blob)
                return
            partial = self._complete(target)
            intake.accept(key, partial.path, partial.sha256)
            partial.remove()

    @contextmanager
    def archive(self, target: Target) -> Iterator[tuple[Path, str]]:
        """Yield a downloaded package and its SHA-256; it is deleted when the caller is done."""
        key = target.wanted.key(target.url)
        with self._exclusive(target):
            known = (self._kept or {}).get(key)
            partial = known if known and known.path.is_file() else self._complete(target)
            done = False
            try:
                yield partial.path, partial.sha256
                done = True
            finally:
                # Kept when, say, a misspelt member was asked for; but only what a digest has shown to be
                # right.
                if done and self._kept is not None and target.wanted.certain:
                    self._kept[key] = partial
                elif done or not target.wanted.certain:
                    partial.remove()

    def stored(self, sha256: str | None) -> Blob | None:
        """Return the object of that digest if the store has it already, from wherever it came."""
        if sha256 is None:
            return None
        try:
            return Blob(sha256, self._store.path(Blob(sha256, 0)).stat().st_size)
        except OSError:
            return None

    @contextmanager
    def _exclusive(self, target: Target) -> Iterator[None]:
        place = self._store.partial / f"{target.wanted.key(target.url)}.lock"
        with atomic.host_errors("write", place):
            place.parent.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(place)
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                self._progress.say(f"Another process is fetching {target.label}; waiting for it.")
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _complete(self, target: Target) -> Partial:
        partial = Partial(self._store.partial, target.wanted.key(target.url), target.wanted)
        with (
            partial,
            http.client() as client,
            self._progress.task(f"Fetching {target.label}", total=target.wanted.size, unit="bytes") as task,
        ):
            partial.take_up(task.advance)
            self._fill(partial, target, client, task)
            if partial.resumed and partial.mismatch():
                # What an earlier run or another server left was wrong: once more, from nothing.
                task.advance(-partial.size)
                partial.restart()
                self._fill(partial, target, client, task)
        if wrong := partial.mismatch():
            partial.remove()
            raise _mismatched(target, wrong)
        return partial

    def _fill(self, partial: Partial, target: Target, client: httpx.Client, task: Task) -> None:
        """Attempt until the body is complete; give up after too many attempts that brought nothing new."""
        if target.wanted.certain and partial.size == target.wanted.size:
            return
        failures, best, reached = 0, partial.size, False
        while True:
            try:
                self._attempt(partial, target, client, task)
            except Interrupted as problem:
                reached = reached or problem.reached
                failures = 0 if partial.size > best else failures + 1
                best = max(best, partial.size)
                pause = self.patience.wait(failures, problem.asked)
                limit = self.patience.tries if reached else self.patience.reach_tries
                if failures >= limit or pause is None:
                    raise self._given_up(target, problem, partial, reached) from problem
                time.sleep(pause)
            else:
                return

    def _attempt(self, partial: Partial, target: Target, client: httpx.Client, task: Task) -> None:
        headers = {**target.headers, "Accept-Encoding": "identity"}
        if partial.size:
            partial.resumed = True
            headers["Range"] = f"bytes={partial.size}-"
            if not target.wanted.certain and partial.validator:
                headers["If-Range"] = partial.validator
        try:
            with http.stream(client, target.url, headers, target.auth) as response:
                self._receive(response, partial, target, task)
        except httpx.TransportError as error:
            http.refuse_certificate(error, target.url)
            reached = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError)
            raise Interrupted(http.reason(error), reached=reached) from error

    def _receive(self, response: httpx.Response, partial: Partial, target: Target, task: Task) -> None:
        if response.status_code == _RANGE_NOT_SATISFIABLE and partial.size:
            if http.total_of(response) == partial.size:
                return  # it was complete already
            task.advance(-partial.size)
            partial.restart()
            raise Interrupted("the server has less than was fetched before", reached=True)
        if response.status_code in RETRIED:
            asked = retry_after(response.headers.get("Retry-After"))
            raise Interrupted(f"the server answered {response.status_code}", reached=True, asked=asked)
        if response.status_code >= _ERRORS:
            raise target.explain(response.status_code, response.headers, target.url)
        if partial.size and (response.status_code != _PARTIAL_CONTENT or http.start_of(response) != partial.size):
            task.advance(-partial.size)
            partial.restart()
            if response.status_code == _PARTIAL_CONTENT:
                raise Interrupted("the server sent another part than was asked for", reached=True)
        self._expect(response, partial, target, task)
        if not target.wanted.certain:
            partial.remember(http.validator_of(response))
        for piece in response.iter_raw():
            partial.append(piece)
            task.advance(len(piece))
            if target.wanted.size is not None and partial.size > target.wanted.size:
                return  # too long: the check that follows names both sizes

    def _expect(self, response: httpx.Response, partial: Partial, target: Target, task: Task) -> None:
        total = http.total_of(response)
        if total is None:
            return
        if target.wanted.size is not None and total != target.wanted.size:
            raise _mismatched(target, Mismatch("size", f"{target.wanted.size:,} bytes", f"{total:,} bytes"))
        task.set_total(total)
        atomic.require_space(self._store.partial, total - partial.size, f"Fetching {target.label}")

    def _given_up(self, target: Target, problem: Interrupted, partial: Partial, reached: bool) -> SourceError:
        where = http.shown(target.url)
        if not reached:
            return OfflineError(
                f"{target.label} is not in the cache, and {where} cannot be reached: {problem}.",
                hint="Connect to the network (HTTPS_PROXY names a proxy) and run the same command again.",
                file=target.label,
            )
        kept = f" {partial.size / 1e6:,.1f} MB have arrived and are kept." if partial.size else ""
        asked = f" It asks to wait {problem.asked:,.0f} s." if problem.asked else ""
        return SourceError(
            f"Fetching {target.label} from {where} failed again and again: {problem}.{asked}{kept}",
            hint="Run the same command again later; it continues where it stopped.",
            file=target.label,
        )


def _mismatched(target: Target, wrong: Mismatch) -> IntegrityError:
    return IntegrityError(
        f"{target.label} is not what was asked for: expected {wrong.what} {wrong.expected}, found {wrong.found} "
        f"(from {http.shown(target.url)}).",
        hint="The file was changed at its source, or damaged on the way. Compare with what its publisher states; if "
        "the change is meant, update sha256 in the recipe, or run the same command with --update-lock.",
        file=target.label,
        expected=wrong.expected,
        found=wrong.found,
    )
