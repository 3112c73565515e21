"""A bounded sample of any number of documents, the same whatever order they come in.

The documents whose texts have the smallest digests are kept, as many as the limit has room for: a uniform sample
(bottom-k sampling, Cohen and Kaplan 2007) in one pass, which needs no more memory than the limit.
"""

import heapq
from collections.abc import Iterator

from publicai_edge.corpus.documents import Document


class Sample:
    """The documents kept in one language; never more than ``limit`` characters, and no text twice."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._heap: list[tuple[int, str, int, Document]] = []  # the largest digest first
        self._kept: set[str] = set()
        self._characters = 0
        self._bound: int | None = None  # digests from here on do not fit
        self._arrived = 0
        self.left_out = 0

    def add(self, document: Document) -> None:
        """Take a document, and let go those that no longer fit."""
        self._arrived += 1
        if document.sha256 in self._kept:
            return
        rank = int(document.sha256, 16)
        if self._bound is not None and rank >= self._bound:
            self.left_out += 1
            return
        heapq.heappush(self._heap, (-rank, document.id, self._arrived, document))
        self._kept.add(document.sha256)
        self._characters += len(document.text)
        while self._characters > self._limit and len(self._heap) > 1:
            worst, _, _, dropped = heapq.heappop(self._heap)
            self._bound = -worst
            self._kept.discard(dropped.sha256)
            self._characters -= len(dropped.text)
            self.left_out += 1

    def __iter__(self) -> Iterator[Document]:
        """Yield what was kept, in the order it came."""
        return (document for _, _, _, document in sorted(self._heap, key=lambda item: item[2]))
