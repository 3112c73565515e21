"""Texts by language, as documents to calibrate a quantization with and to measure its loss on."""

from publicai_edge.corpus.balance import Balanced, balanced
from publicai_edge.corpus.documents import Corpus, Document, TextSource, joined
from publicai_edge.corpus.split import Split, check_disjoint, split

__all__ = ["Balanced", "Corpus", "Document", "Split", "TextSource", "balanced", "check_disjoint", "joined", "split"]
