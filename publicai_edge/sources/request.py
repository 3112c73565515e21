"""What a fetch is asked for, and what every scheme works with while it fetches."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from publicai_edge.artifact import FileSet
from publicai_edge.progress import Progress
from publicai_edge.recipe.lock import Pin
from publicai_edge.store import Store

if TYPE_CHECKING:
    from publicai_edge.sources.download import Downloader


@dataclass(frozen=True)
class Request:
    """One source of a recipe.

    ``source`` is ``hf:``, ``pypi:``, ``npm:``, ``https:`` or ``file:``; a trailing ``/`` asks for a whole
    folder. ``revision`` is a branch, tag or commit of an ``hf:`` repository. ``sha256`` is the wanted digest:
    of the file, or of the :class:`FileSet` for a folder. ``base`` is the folder ``file:`` is relative to.
    ``only`` names the files wanted of a folder, as patterns of their paths; empty means all of them.
    """

    source: str
    revision: str | None
    sha256: str | None
    base: Path
    only: tuple[str, ...] = ()

    @property
    def scheme(self) -> str:
        """The part before the colon."""
        return self.source.partition(":")[0]

    @property
    def rest(self) -> str:
        """The part after the colon."""
        return self.source.partition(":")[2]


@dataclass(frozen=True)
class Job:
    """A request under way, with the tools to fulfil it.

    ``pin`` is set only when it matches the request; ``folder`` says that more than a single file is asked
    for.
    """

    request: Request
    folder: bool
    pin: Pin | None
    store: Store
    progress: Progress
    downloader: "Downloader"

    def pinned(self, revision: str | None, archive: str | None, files: FileSet) -> Pin:
        """Return the pin that says what this request resolved to."""
        return Pin(self.request.source, revision, archive, files, self.request.revision)
