"""How fast a bundle finds passages: its embedding model and its search, one round in a process of its own.

``embed`` is texts a second, each of about a passage's length, one text a run, as the kiosk and the build do it.
``search`` is seconds from a question to its passages, the question's vector included.
"""

import time
from pathlib import Path
from typing import Any

from publicai_edge import child
from publicai_edge.bench.speed import Samples
from publicai_edge.progress import Progress, Silent

_TEXT = "The library is open from Monday to Thursday from nine until seven, and on Saturday from ten until four. " * 4
_TEXTS, _SEARCHES = 16, 10
_QUESTIONS = (
    "When are you open?",
    "Is there a lift?",
    "How do I get a card?",
    "Where can I print?",
    "Who can help me?",
)


def measure(bundle: Path) -> Samples:
    """Measure one round in a child process.

    Raises:
        BundleError: the bundle is not whole.
    """
    result = child.run(f"{__name__}:_measure", {"bundle": str(bundle)}, what="measure the search", progress=Silent())
    return Samples(**result.value)


def _measure(payload: dict[str, Any], _progress: Progress) -> dict[str, Any]:
    from publicai_edge.bundle.open import open_bundle
    from publicai_edge.engine.embedder import Embedder
    from publicai_edge.search import KnowledgeBase

    bundle = open_bundle(Path(payload["bundle"]))
    index, folder = bundle.knowledge_path, bundle.embedding_path
    if index is None or folder is None:
        raise RuntimeError("a bundle without documents was to be measured with them")
    embedder = Embedder.open(folder)
    knowledge = KnowledgeBase.open(index, embedder)
    manifest = bundle.manifest.knowledge
    top, relevance = (manifest.top, manifest.min_relevance) if manifest else (3, 0.0)
    embedder.encode([_TEXT], "passage")

    def embed() -> float:
        started = time.perf_counter()
        for number in range(_TEXTS):
            embedder.encode([f"{number}. {_TEXT}"], "passage")
        return _TEXTS / (time.perf_counter() - started)

    def search() -> float:
        started = time.perf_counter()
        for number in range(_SEARCHES):
            knowledge.search(_QUESTIONS[number % len(_QUESTIONS)], top=top, min_relevance=relevance)
        return (time.perf_counter() - started) / _SEARCHES

    found = Samples()
    found.take("embed", embed)
    found.take("search", search)
    knowledge.close()
    return {"values": found.values, "disturbed": found.disturbed, "facts": found.facts}
