"""What `serve` and `ask` are put together from: the engine and the documents of a bundle."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from publicai_edge.bundle.open import Bundle
from publicai_edge.engine.client import WorkerEngine
from publicai_edge.kiosk.library import Documents

if TYPE_CHECKING:
    from publicai_edge.kiosk.staff_desk import Desk


def engine(
    bundle: Bundle, threads: int | None, slots: int | None = None, gpu_layers: int | None = None
) -> WorkerEngine:
    """Return the bundle's engine, not started yet; what is not given is as the bundle says."""
    config = replace(bundle.engine_config(threads=threads), gpu_layers=gpu_layers)
    return WorkerEngine(config if slots is None else replace(config, slots=slots))


def documents(bundle: Bundle) -> Callable[[], Documents] | None:
    """Return what opens the bundle's documents, or None where it has none."""
    index, embedding = bundle.knowledge_path, bundle.embedding_path
    if index is None or embedding is None:
        return None

    def open_documents() -> Documents:
        from publicai_edge.engine.embedder import Embedder
        from publicai_edge.search import KnowledgeBase

        return KnowledgeBase.open(index, Embedder.open(embedding))

    return open_documents


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
