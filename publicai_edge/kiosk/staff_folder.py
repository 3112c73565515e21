"""The folder of what staff add, as one running kiosk has it: opened, searched, held for changes, kept in order.

Invariants: a change is on the disk before it is searched by; what cannot be read, opened or written costs that one
change, never the bundle's own documents; two kiosks never change one folder.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from publicai_edge.bundle import lock
from publicai_edge.bundle.open import Bundle
from publicai_edge.errors import BundleError, HostError, PublicAIError
from publicai_edge.knowledge import ocr
from publicai_edge.knowledge.added.catalog import Catalog
from publicai_edge.knowledge.added.shelf import SCANNED_PAGES, Ready, Shelf
from publicai_edge.knowledge.extractor import Limits
from publicai_edge.progress import Progress, Silent

if TYPE_CHECKING:  # they bring the embedding runtime; the page must be up before that is loaded
    from publicai_edge.knowledge.added.catalog import Added
    from publicai_edge.knowledge.added.library import AddedLibrary
    from publicai_edge.search.combined import CombinedBase

_LOG = logging.getLogger("publicai_edge.kiosk")


class RefusedError(Exception):
    """A change that cannot be made; ``code`` is the word the page has for it, ``values`` what it fills in."""

    def __init__(self, code: str, **values: Any) -> None:
        super().__init__(code)
        self.code = code
        self.values = values


class AddedFolder:
    """What was added to one bundle.

    Args:
        folder: where it is kept; made when there is something to keep.
        bundle: has documents and a search model; what its manifest says of scanned pages holds for additions, where
            what recognises them is installed.
        limits: what one document may cost.
        later: has something done in the one thread that writes indexes.

    Attributes:
        shelf: the folder on the disk.
        lock: held while the catalog and what is searched are exchanged.
        version: counts the changes of what is shown.
    """

    def __init__(
        self, folder: Path, bundle: Bundle, limits: Limits, later: Callable[[Callable[[], None]], None]
    ) -> None:
        self.shelf = Shelf(folder)
        self.lock = threading.RLock()
        self.version = 0
        self._bundle = bundle
        knowledge = bundle.manifest.knowledge
        scanned = knowledge is not None and knowledge.ocr and ocr.models() is not None
        self._limits = ocr.recognizing(limits, SCANNED_PAGES) if scanned else limits
        self._later = later
        self._opened = threading.Event()
        self._library: AddedLibrary | None = None
        self._lacks_index = False
        self._problem: PublicAIError | None = None
        self._held: contextlib.ExitStack | None = None
        self._told = ""

    @property
    def is_open(self) -> bool:
        """Whether the documents are there to be searched."""
        return self._library is not None

    @property
    def library(self) -> "AddedLibrary":
        """What is searched; only of use where :attr:`is_open`."""
        assert self._library is not None  # noqa: S101 - see above
        return self._library

    def open(self) -> "CombinedBase":
        """Open the bundle's documents and the additions; what is wrong with the latter is told on the staff page.

        Raises:
            BundleError: the bundle's own documents cannot be opened.
        """
        from publicai_edge.knowledge.added.library import AddedLibrary

        index, embedding = self._bundle.knowledge_path, self._bundle.embedding_path
        if index is None or embedding is None:
            raise BundleError("This bundle has no documents to add to.")
        try:
            library = AddedLibrary(self.shelf, index, embedding)
            with self.lock:
                self._library = library
                self._begin()
        finally:
            self._opened.set()
        return library.combined

    def _begin(self) -> None:
        try:
            self.shelf.load()
        except PublicAIError as error:
            self._problem = error
            _LOG.warning("%s", error.message)
        else:
            self._load()

    def _load(self) -> None:
        """Show what was added before; an index that does not fit this bundle's search model is made anew."""
        self.version += 1
        try:
            self.library.load()
            self._lacks_index = False
        except BundleError:
            _LOG.info("The added documents are indexed anew for this bundle.")
            self._lacks_index = True
        if self._lacks_index or self.library.is_stale or self.shelf.unnamed():
            self._later(self._mend)

    @contextlib.contextmanager
    def changing(self) -> Iterator[Catalog]:
        """Hold the catalog for a change.

        Raises:
            RefusedError: nothing can be changed here.
        """
        if not self._opened.is_set():
            raise RefusedError("not_ready")
        with self.lock:
            self._prepare()
            yield self.shelf.catalog

    def _prepare(self) -> None:
        """Take the folder for this kiosk alone, once, and tidy it.

        Raises:
            RefusedError: it cannot be read, written, or had.
        """
        if self._library is None:
            raise RefusedError("cannot", detail="The documents of this bundle cannot be opened.")
        if self._held is not None:
            return
        try:
            if self._problem:
                raise self._problem
            self.shelf.check()
            held = contextlib.ExitStack()
            busy = HostError(
                f"Another kiosk on this machine uses {self.shelf.folder}.",
                hint="Give this one a folder of its own with --documents-dir.",
            )
            with contextlib.suppress(OSError):
                held.enter_context(lock.held(self.shelf.folder, busy))
            seen = self.shelf.catalog
            if self.shelf.load() != seen:  # another kiosk had the folder meanwhile
                self._load()
            self.shelf.sweep()
            self._held = held
        except PublicAIError as error:
            if error.message != self._told:  # the page asks every few seconds
                _LOG.warning("Documents cannot be added: %s", error.message)
            self._told = error.message
            raise RefusedError("cannot", detail=error.message) from error

    def commit(self, changed: Catalog) -> None:
        """Make this the catalog, and search by it.

        Raises:
            RefusedError: the disk refuses; the old one stands.
        """
        try:
            self.shelf.commit(changed)
        except HostError as error:
            _LOG.warning("A change of the documents was not kept: %s", error.message)
            raise RefusedError("cannot", detail=error.message) from error
        self.library.show()
        self.version += 1

    # --- in the thread that writes indexes --------------------------------------------------------------------

    def build(self, progress: Progress, new: "Added | None" = None) -> Ready:
        """Write the next index: of all that the catalog names, and of ``new``; errors as :meth:`Shelf.build`."""
        embedding = self._bundle.embedding_path
        assert embedding is not None  # noqa: S101 - open() has looked
        return self.shelf.build(embedding, progress, new, self._limits)

    def erase_unnamed(self) -> None:
        """Remove from the disk what the catalog no longer names; from the index by writing another one.

        The files go first: the index may need their room.

        Raises:
            PublicAIError: it cannot be written or removed.
        """
        if not self.shelf.catalog.kept:
            self._renew_index()
        self.shelf.erase_unnamed()
        if self.library.is_stale:
            self._renew_index()
            self.shelf.erase_unnamed()

    def _renew_index(self) -> None:
        """Write the index anew, of what the catalog names, and search by it."""
        ready = self.build(Silent()) if self.shelf.catalog.kept else None
        with self.lock:
            index = self.library.open_index(ready.path) if ready else None
            if ready:
                self.shelf.commit(replace(self.shelf.catalog, generation=ready.generation))
            self.library.use(index)
            self.version += 1
            self._lacks_index = False

    def _mend(self) -> None:
        """Do what the end of the program cut off, or what another bundle asks for."""
        self._opened.wait()
        try:
            with self.changing() as catalog:
                count, lacking = len(catalog.added), self._lacks_index
            if lacking:
                self._renew_index()
                _LOG.info("The added documents are searched again: %d.", count)
            self.erase_unnamed()
        except RefusedError as error:
            _LOG.warning("The added documents are not put in order: %s", error.values.get("detail", error.code))
        except PublicAIError as error:
            _LOG.warning("The added documents are not put in order: %s", error.message)

    def close(self) -> None:
        """Leave the folder to others."""
        with self.lock:
            if self._held:
                self._held.close()
