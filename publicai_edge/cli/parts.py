"""What `serve` and `ask` are put together from: the engine and the documents of a bundle, with what staff added."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from publicai_edge.bundle.open import Bundle
from publicai_edge.engine.client import WorkerEngine
from publicai_edge.errors import BundleError, HostError, PublicAIError
from publicai_edge.kiosk.library import Documents
from publicai_edge.knowledge.zim.check import require_installed

if TYPE_CHECKING:
    from publicai_edge.engine.embedder import Embedder
    from publicai_edge.kiosk.staff_desk import Desk
    from publicai_edge.search.combined import CombinedBase
    from publicai_edge.search.several import Place


def engine(
    bundle: Bundle,
    threads: int | None,
    slots: int | None = None,
    gpu_layers: int | None = None,
    passages: Path | None = None,
) -> WorkerEngine:
    """Return the bundle's engine, not started yet; what is not given is as the bundle says.

    Args:
        bundle: the bundle.
        threads: most threads.
        slots: patrons answered at the same time.
        gpu_layers: layers on graphics processors.
        passages: where what was computed of passages is kept; without it, they are read for every question.
    """
    config = replace(bundle.engine_config(threads=threads, passages=passages), gpu_layers=gpu_layers)
    return WorkerEngine(config if slots is None else replace(config, slots=slots))


class WithAdditions(Protocol):
    """Opens a bundle's documents together with what was added to them."""

    @property
    def embedder(self) -> "Embedder | None":
        """The bundle's search model, once it is open."""
        ...

    def open(self) -> "CombinedBase":
        """Open them."""
        ...


def documents(bundle: Bundle, additions: WithAdditions | None = None) -> Callable[[], Documents] | None:
    """Return what opens the bundle's documents, or None where it has none.

    Args:
        bundle: what is served.
        additions: opens them with what staff added; None for the bundle's own alone.

    Raises:
        HostError: it has ZIM files, and what reads them is not installed.
    """
    index, embedding = bundle.knowledge_path, bundle.embedding_path
    if index is None or embedding is None:
        return None
    for path in bundle.zim_paths:
        require_installed(path.name)

    def open_documents() -> Documents:
        from publicai_edge.engine.embedder import Embedder
        from publicai_edge.search import KnowledgeBase
        from publicai_edge.search.several import Several

        base: Place
        if additions:
            base, embedder = additions.open(), additions.embedder
        else:
            embedder = Embedder.open(embedding)
            base = KnowledgeBase.open(index, embedder)
        try:
            zims = _zims(bundle, embedder) if embedder else ()
        except BaseException:
            base.close()
            raise
        return Several([base, *zims]) if zims else base

    return open_documents


def _zims(bundle: Bundle, embedder: "Embedder") -> "Sequence[Place]":
    """Open the bundle's ZIM files."""
    from publicai_edge.knowledge.zim.library import ZimLibrary
    from publicai_edge.search.several import Several

    knowledge = bundle.manifest.knowledge
    opened: list[ZimLibrary] = []
    try:
        for item, path in zip(knowledge.zim if knowledge else (), bundle.zim_paths, strict=True):
            words = knowledge.passage_words if knowledge else 0
            opened.append(ZimLibrary.open(path, item.name, embedder, words, language=item.language))
    except BaseException:
        Several(opened).close()
        raise
    return opened


def staff(bundle: Bundle, place: Path | None) -> "Desk | None":
    """Return what staff change the documents with, or None where the bundle has none.

    Args:
        bundle: what is served.
        place: the folder for what they add, where one was chosen.
    """
    if bundle.knowledge_path is None or bundle.embedding_path is None:
        return None
    from publicai_edge.kiosk.staff_desk import Desk
    from publicai_edge.kiosk.staff_place import place_of

    return Desk(place_of(bundle.manifest.name, place), bundle)


class ReadAdditions:
    """What staff added to a bundle, read by somebody who changes nothing of it.

    Args:
        bundle: what is asked.
        place: the folder of what they add, where one was chosen.
        warn: told why the additions are not searched, where they are not.
    """

    def __init__(self, bundle: Bundle, place: Path | None, warn: Callable[[str], None]) -> None:
        self._bundle = bundle
        self._place = place
        self._warn = warn
        self.embedder: Embedder | None = None

    def open(self) -> "CombinedBase":
        """Open the bundle's documents and the additions.

        Raises:
            BundleError: the bundle's own documents cannot be opened.
        """
        from publicai_edge.kiosk.staff_place import place_to_read
        from publicai_edge.knowledge.added.library import AddedLibrary
        from publicai_edge.knowledge.added.shelf import Shelf

        index, embedding = self._bundle.knowledge_path, self._bundle.embedding_path
        if index is None or embedding is None:
            raise BundleError("This bundle has no documents to add to.")
        place = place_to_read(self._bundle.manifest.name, self._place)
        library = AddedLibrary(Shelf(place / "documents"), index, embedding)
        self.embedder = library.embedder
        try:
            library.load()
        except PublicAIError as error:
            self._warn(f"What staff added is not searched: {error.message} {_NEXT.get(type(error), '')}".rstrip())
        return library.combined


_NEXT: dict[type[PublicAIError], str] = {
    BundleError: "Start the kiosk once: it makes the index of the additions anew where that is what is wrong.",
    HostError: "Ask as the user who runs the kiosk, with sudo for a service of the system.",
}
