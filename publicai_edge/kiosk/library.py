"""The documents as the kiosk uses them: opened beside everything else, and searched off the event loop.

Invariants: the knowledge base is opened, searched and closed in one thread of its own, so that searching
never takes more than one core from the engine; a search that comes before it is open waits for it; no error
says what was searched for.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from publicai_edge.errors import BundleError, PublicAIError
from publicai_edge.scrub import scrub_thread

if TYPE_CHECKING:  # the real one brings the embedding runtime; the page must be up before that is loaded
    from publicai_edge.search import Hit, Passage


class Documents(Protocol):
    """What the kiosk needs of a knowledge base, as :class:`publicai_edge.search.KnowledgeBase` is one."""

    def search(self, question: str, *, top: int, min_relevance: float, language: str = "") -> "Sequence[Hit]":
        """Return the passages that answer a question, best first."""
        ...

    def document(self, source: str) -> "Sequence[Passage]":
        """Return a document's passages in reading order; empty when there is no such document."""
        ...

    def sources(self) -> Sequence[str]:
        """Return the documents whose passages can be listed."""
        ...


T = TypeVar("T")
State = Literal["closed", "opening", "ready", "failed"]


class Library:
    """A knowledge base that opens in the background."""

    def __init__(self, opener: Callable[[], Documents]) -> None:
        self._opener = opener
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="documents")
        self._opened: Future[Documents] | None = None

    @property
    def state(self) -> State:
        """How far it is."""
        if self._opened is None:
            return "closed"
        if not self._opened.done():
            return "opening"
        return "failed" if self._opened.cancelled() or self._opened.exception() else "ready"

    @property
    def failure(self) -> str | None:
        """Why the documents could not be opened, in words."""
        if self._opened is None or self.state != "failed" or self._opened.cancelled():
            return None
        error = self._opened.exception()
        return error.message if isinstance(error, PublicAIError) else type(error).__name__

    def start(self) -> None:
        """Begin to open the documents; returns at once."""
        if self._opened is None:
            self._opened = self._thread.submit(self._opener)

    async def search(self, question: str, *, top: int, min_relevance: float, language: str = "") -> "Sequence[Hit]":
        """Return the passages that answer a question.

        Raises:
            BundleError: the documents could not be opened or read.
        """
        return await self._call(
            lambda base: base.search(question, top=top, min_relevance=min_relevance, language=language)
        )

    async def document(self, source: str) -> "Sequence[Passage]":
        """Return a document's passages in reading order; empty when there is no such document.

        Raises:
            BundleError: the documents could not be opened or read.
        """
        return await self._call(lambda base: base.document(source))

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that read documents for this one, such as those of ZIM files."""
        return tuple(getattr(self._opened.result(), "pids", ())) if self.state == "ready" and self._opened else ()

    async def sources(self) -> Sequence[str]:
        """Return the documents whose passages can be listed.

        Raises:
            BundleError: the documents could not be opened or read.
        """
        return await self._call(lambda base: base.sources())

    def scrub(self) -> None:
        """Have the thread that searches, and processes that read for it, overwrite what they have let go."""
        with contextlib.suppress(RuntimeError):  # it has been let go
            self._thread.submit(self._scrub)

    def _scrub(self) -> None:
        if self.state == "ready" and self._opened and (others := getattr(self._opened.result(), "scrub", None)):
            others()
        scrub_thread()

    def close(self) -> None:
        """Let the documents go; a search under way is not waited for."""
        with contextlib.suppress(RuntimeError):
            self._thread.submit(self._close)
        self._thread.shutdown(wait=False)

    def _close(self) -> None:
        if self.state == "ready" and self._opened:
            end = getattr(self._opened.result(), "close", None)
            if end:
                end()

    async def _call(self, use: Callable[[Documents], T]) -> T:
        self.start()
        opened = self._opened
        assert opened is not None  # noqa: S101 - start() has set it
        try:
            return await asyncio.wrap_future(self._thread.submit(lambda: use(opened.result())))
        except PublicAIError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the patron gets one sentence
            # From None: what SQLite or the embedding model says may quote the question.
            raise BundleError(
                f"The documents of this bundle cannot be searched ({type(error).__name__}).",
                hint="Run `publicai-edge verify` on the bundle; it names every file that changed.",
            ) from None
