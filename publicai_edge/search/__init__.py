"""Finding passages in a library's documents; reads what :mod:`publicai_edge.knowledge` built."""

from publicai_edge.search.base import Hit, KnowledgeBase, Passage

__all__ = ["Hit", "KnowledgeBase", "Passage"]
