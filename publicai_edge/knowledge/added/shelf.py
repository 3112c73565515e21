"""The folder of what was added to a bundle, and the changes of it that are safe at every moment.

::

    FOLDER/
      catalog.json        the one thing that decides what is added, removed and hidden
      index-3.sqlite      the index of the additions; the catalog names its number
      originals/ID/       a document as it was given, what the reader made of it, its vectors
      incoming/           uploads under way

Invariants: ``catalog.json`` is replaced last, in one step and flushed, so that after a kill or a power cut the old
state stands or the new one; whatever no catalog names is removed when the folder is used next. Files are named by
digest and by number, never as staff named them; what is removed is overwritten first.
"""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from publicai_edge import atomic, child, digest
from publicai_edge.erasing import erase
from publicai_edge.errors import HostError
from publicai_edge.knowledge.added import catalog as catalogs
from publicai_edge.knowledge.added.catalog import Added, Catalog
from publicai_edge.knowledge.extractor import Limits
from publicai_edge.progress import Progress

ORIGINAL = "original"
"""Name of a document's file in its folder."""
PASSAGE_WORDS = 120
"""As a recipe has it unless it says otherwise; a bundle does not say how its own documents were cut."""
LIMITS = Limits(seconds=120, file_bytes=100_000_000, characters=5_000_000, memory_bytes=1 << 30)
SCANNED_PAGES = 100
"""Most pages of a document that are recognised, where they are."""
MOST_DOCUMENTS = 100
FREE_BYTES = 300 << 20
"""What adding leaves free on the disk."""
_COPIES = 4  # a document, its text, its vectors, and its share of a second index, each about as large
_PIECE = 1 << 20


@dataclass(frozen=True)
class Ready:
    """An index of additions that is written but not in use yet, and the document that it was written for."""

    path: Path
    generation: int


class Shelf:
    """What was added to one bundle; changed from one thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.catalog = Catalog()

    @property
    def index(self) -> Path:
        """The index that the catalog names."""
        return self._index(self.catalog.generation)

    def load(self) -> Catalog:
        """Read the catalog; where there is none, nothing was ever added.

        Raises:
            BundleError: it is damaged, or of a newer program.
            HostError: it cannot be read.
        """
        place = self.folder / "catalog.json"
        with atomic.host_errors("read", place):
            try:
                data = place.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                data = None
        self.catalog = catalogs.parse(data, str(place)) if data is not None else Catalog()
        return self.catalog

    def check(self) -> None:
        """See that documents can be added here.

        Raises:
            HostError: nothing can be written in the folder, or this system cannot read documents within limits.
        """
        if sys.platform == "win32":
            raise HostError("Documents can be added on Linux and macOS only: on Windows, nothing limits their reader.")
        with atomic.host_errors("write to", self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass

    def sweep(self) -> None:
        """Remove what no catalog names: uploads and work that an end of the program cut off, and old indexes.

        Only while nothing is under way.

        Raises:
            HostError: the disk refuses.
        """
        with atomic.host_errors("tidy", self.folder):
            for place in self._places("incoming"):
                erase(place)
            atomic.sweep(self.folder)
        self.erase_unnamed()

    def unnamed(self) -> list[Path]:
        """Return documents and indexes that no catalog names; one that is being added is among them."""
        kept = {item.id for item in self.catalog.kept}
        current = self.index if kept else None
        documents = [place for place in self._places("originals") if place.name not in kept]
        return documents + [place for place in self.folder.glob("index-*.sqlite") if place != current]

    def erase_unnamed(self) -> None:
        """Overwrite and remove documents and indexes that no catalog names; only while none is being added.

        Raises:
            HostError: the disk refuses.
        """
        for place in self.unnamed():
            with atomic.host_errors("remove", place):
                erase(place)

    def free_bytes(self) -> int:
        """Return how many bytes may still be added."""
        place = next(item for item in (self.folder, *self.folder.absolute().parents) if item.exists())
        return max(0, (shutil.disk_usage(place).free - FREE_BYTES) // _COPIES)

    def incoming(self) -> Path:
        """Return a new, empty folder for a document on its way.

        Raises:
            HostError: it cannot be made.
        """
        place = self.folder / "incoming"
        with atomic.host_errors("write to", place):
            place.mkdir(parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(dir=place))

    def identify(self, incoming: Path) -> tuple[str, int]:
        """Return the SHA-256 and the size of a document that has arrived.

        Raises:
            HostError: it cannot be read.
        """
        state, place = digest.Sha256(), incoming / ORIGINAL
        with atomic.host_errors("read", place), place.open("rb") as stream:
            while piece := stream.read(_PIECE):
                state.update(piece)
            return state.hexdigest(), stream.tell()

    def take_in(self, incoming: Path, name: str) -> Added:
        """Give a document that has arrived its place; it is not in the catalog yet.

        Raises:
            HostError: the disk refuses.
        """
        sha256, size = self.identify(incoming)
        document = Added(sha256[:16], name, name, sha256, size, 0)
        place = self.place(document)
        with atomic.host_errors("write", place):
            place.parent.mkdir(parents=True, exist_ok=True)
            atomic.fsync_path(self.folder)
            if place.exists():  # the same content, removed before, or of a cut run
                atomic.remove_tree(incoming)
                return document
            atomic.fsync_path(incoming / ORIGINAL)
            atomic.fsync_path(incoming)
            incoming.rename(place)
            atomic.fsync_path(place.parent)
        return document

    def place(self, document: Added) -> Path:
        """Return the folder of a document."""
        return self.folder / "originals" / document.id

    def build(self, embedder: Path, progress: Progress, new: Added | None = None, limits: Limits = LIMITS) -> Ready:
        """Write the next index: of all that the catalog names, and of ``new``.

        Raises:
            DocumentError: ``new`` cannot be read.
            EngineError: the child crashed.
            HostError: the disk refuses.
        """
        generation = self.catalog.generation + 1
        documents = {item.source: item for item in self.catalog.kept}
        if new:
            documents = {key: item for key, item in documents.items() if item.id != new.id} | {new.source: new}
        out = self._index(generation)
        payload: dict[str, Any] = {
            "documents": [self._payload(item) for _, item in sorted(documents.items())],
            "new": new.source if new else None,
            "embedder": str(embedder.resolve()),
            "out": str(out.resolve()),
            "passage_words": PASSAGE_WORDS,
            "limits": asdict(limits),
        }
        target = "publicai_edge.knowledge.added.rebuild:rebuild"
        child.run(target, payload, what="index the added documents", progress=progress)
        return Ready(out, generation)

    def _payload(self, document: Added) -> Mapping[str, str]:
        return {"source": document.source, "name": document.name, "folder": str(self.place(document).resolve())}

    def commit(self, changed: Catalog) -> None:
        """Make this the catalog, at once and for good.

        Raises:
            HostError: the disk refuses; the old one stands.
        """
        atomic.write_bytes(self.folder / "catalog.json", changed.to_bytes())
        with atomic.host_errors("write", self.folder):
            atomic.fsync_path(self.folder.parent)
        self.catalog = changed

    def drop(self, document: Added) -> None:
        """Remove a document that did not come into the catalog."""
        if document.id not in {item.id for item in self.catalog.kept}:
            with contextlib.suppress(OSError):
                erase(self.place(document))

    def _index(self, generation: int) -> Path:
        return self.folder / f"index-{generation}.sqlite"

    def _places(self, name: str) -> list[Path]:
        folder = self.folder / name
        return list(folder.iterdir()) if folder.is_dir() else []
