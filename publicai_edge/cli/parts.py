"""What `serve` and `ask` are put together from: the engine and the documents of a bundle."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from publicai_edge.bundle.open import Bundle
from publicai_edge.engine.client import WorkerEngine
from publicai_edge.kiosk.library import Documents
from publicai_edge.knowledge.zim.check import require_installed

if TYPE_CHECKING:
    from publicai_edge.engine.embedder import Embedder
    from publicai_edge.search import KnowledgeBase


def engine(
    bundle: Bundle, threads: int | None, slots: int | None = None, gpu_layers: int | None = None
) -> WorkerEngine:
    """Return the bundle's engine, not started yet; what is not given is as the bundle says."""
    config = replace(bundle.engine_config(threads=threads), gpu_layers=gpu_layers)
    return WorkerEngine(config if slots is None else replace(config, slots=slots))


def documents(bundle: Bundle) -> Callable[[], Documents] | None:
    """Return what opens the bundle's documents, or None where it has none.

    Raises:
        HostError: it has ZIM files, and what reads them is not installed.
    """
    index, embedding, info = bundle.knowledge_path, bundle.embedding_path, bundle.manifest.knowledge
    if index is None or embedding is None or info is None:
        return None
    for path in bundle.zim_paths:
        require_installed(path.name)

    def open_documents() -> Documents:
        from publicai_edge.engine.embedder import Embedder
        from publicai_edge.search import KnowledgeBase

        embedder = Embedder.open(embedding)
        base = KnowledgeBase.open(index, embedder)
        return _beside(base, bundle, embedder) if info.zim else base

    return open_documents


def _beside(base: "KnowledgeBase", bundle: Bundle, embedder: "Embedder") -> Documents:
    """Return the documents and the ZIM files together."""
    from publicai_edge.knowledge.zim.library import ZimLibrary
    from publicai_edge.search.several import Place, Several

    info = bundle.manifest.knowledge
    places: list[Place] = [base]
    try:
        for item, path in zip(info.zim if info else (), bundle.zim_paths, strict=True):
            places.append(ZimLibrary.open(path, item.name, embedder, info.passage_words if info else 0))
    except BaseException:
        Several(places).close()
        raise
    return Several(places)
