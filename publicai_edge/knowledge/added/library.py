"""A bundle's documents and what was added to it, searched as one; the catalog says what of it is shown.

Invariants: nothing is written here; what is wrong with the additions never keeps the bundle's own documents from being
searched.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from publicai_edge.engine.embedder import Embedder
from publicai_edge.errors import BundleError
from publicai_edge.knowledge.added.catalog import Added, Catalog
from publicai_edge.knowledge.added.shelf import Shelf
from publicai_edge.search import KnowledgeBase
from publicai_edge.search.combined import CombinedBase, LastVector, Listed, Shown, listed


@dataclass(frozen=True)
class AddedIndex:
    """An index of additions that is open, and the documents in it."""

    base: KnowledgeBase
    sources: frozenset[str]


class AddedLibrary:
    """What patrons search: a bundle's index, and beside it the one of a shelf.

    Args:
        shelf: what was added.
        bundle_index: the bundle's own index.
        embedding: the folder of the bundle's search model.

    Attributes:
        combined: both indexes behind the interface of one.
        embedder: the bundle's search model.

    Raises:
        BundleError: the bundle's own index cannot be opened.
        ModelError: its search model is broken.
    """

    def __init__(self, shelf: Shelf, bundle_index: Path, embedding: Path) -> None:
        self._shelf = shelf
        self._bundle_index = bundle_index
        self.embedder = Embedder.open(embedding)
        self._vectors = LastVector(self.embedder)
        self.combined = CombinedBase(self._open(bundle_index), self._vectors)
        self._added: AddedIndex | None = None

    @functools.cached_property
    def own(self) -> dict[str, Listed]:
        """The bundle's documents by source: read when staff first come, not when the kiosk opens."""
        return {item.source: item for item in listed(self._bundle_index)}

    @property
    def is_stale(self) -> bool:
        """Whether the index holds documents that the catalog no longer names at all."""
        kept = {item.source for item in self._shelf.catalog.kept}
        return self._added is not None and not self._added.sources <= kept

    def load(self) -> None:
        """Read the catalog, and search by it from now on.

        Raises:
            BundleError: the catalog is damaged; or the index is missing, damaged or of another search model, and what
                was added is not searched until another is made.
            HostError: the folder cannot be read.
        """
        seen = self._shelf.load()
        try:
            index = self.open_index(self._shelf.index) if seen.kept else None
        except BundleError:
            if self._shelf.load().generation == seen.generation:
                self.use(None)
                raise
            index = self.open_index(self._shelf.index)  # a kiosk has just written another one
        self.use(index)

    def open_index(self, path: Path) -> AddedIndex:
        """Open an index of additions.

        Raises:
            BundleError: it is missing, damaged or of another search model.
        """
        base = self._open(path)
        try:
            return AddedIndex(base, frozenset(item.source for item in listed(path)))
        except BaseException:
            base.close()
            raise

    def use(self, index: AddedIndex | None) -> None:
        """Search this index of additions from now on; the one before is closed."""
        self._added = index
        self.show()

    def show(self) -> None:
        """Search by what the catalog says; an index may hold more, kept so that a removal is taken back at once."""
        catalog, added = self._shelf.catalog, self._added
        hidden = frozenset(catalog.hidden)
        if added:
            hidden |= added.sources - {item.source for item in catalog.added}
        self.combined.show(Shown(added.base if added else None, catalog.generation, hidden))

    def shown_by(self, catalog: Catalog) -> set[str]:
        """Return the documents that are searched by what a catalog says, by their sources."""
        return (self.own.keys() - set(catalog.hidden)) | {item.source for item in catalog.added}

    def twin(self, document: Added, texts: Sequence[str]) -> Listed | None:
        """Return a document of the bundle that says the same as an added one, passage for passage."""
        alike = [
            item for item in self.own.values() if (item.title, item.passages) == (document.title, document.passages)
        ]
        return next(
            (item for item in alike if [found.text for found in self.combined.document(item.source)] == list(texts)),
            None,
        )

    def _open(self, path: Path) -> KnowledgeBase:
        return KnowledgeBase.open(path, cast("Embedder", self._vectors))
