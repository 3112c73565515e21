"""Documents to an index that a kiosk searches: extract, cut into passages, embed, store."""

from publicai_edge.knowledge.build import IndexReport, IndexSettings, Skipped, build_index

__all__ = ["IndexReport", "IndexSettings", "Skipped", "build_index"]
