"""The bundle's embedding model for programs: loaded when it is first asked for, run off the event loop.

Invariants: one thread runs it, on one core, one text at a time, so that it takes a bounded share from the answers; at
most :data:`MOST_WAITING` requests wait for it; a request whose caller is gone ends with the text at hand.
"""

import asyncio
import contextlib
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from publicai_edge.errors import ContextOverflowError, EngineError, OverloadedError
from publicai_edge.scrub import scrub_thread

if TYPE_CHECKING:  # onnxruntime is loaded when it is needed
    import numpy as np
    from numpy.typing import NDArray

    from publicai_edge.engine.embedder import Embedder

MOST_WAITING = 8
_SECONDS_PER_WAITING = 2


@dataclass(frozen=True)
class Embedded:
    """Vectors of length 1, float32, shape (texts, dimensions); and how many tokens the texts had."""

    vectors: "NDArray[np.float32]"
    tokens: int


class Embeddings:
    """The embedding model in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embeddings")
        self._waiting = 0

    async def embed(
        self, texts: Sequence[str], kind: Literal["query", "passage"], dimensions: int | None = None
    ) -> Embedded:
        """Return the vectors of texts; cancel it to end the work.

        Args:
            texts: the texts.
            kind: whether they are questions or what is searched.
            dimensions: what the caller expects a vector to have; None takes the model's.

        Raises:
            EngineError: the model's vectors have another number of dimensions.
            OverloadedError: too many requests wait.
            ContextOverflowError: a text has more tokens than the model reads.
            PublicAIError: the model cannot be loaded, or fails.
        """
        if self._waiting >= MOST_WAITING:
            raise OverloadedError(
                f"{self._waiting} requests for embeddings are waiting already.",
                hint="Try again in a moment.",
                retry_after=_SECONDS_PER_WAITING * self._waiting,
            )
        gone = threading.Event()
        self._waiting += 1
        try:
            work = self._thread.submit(self._run, list(texts), kind, dimensions, gone)
            return await asyncio.wrap_future(work)
        finally:
            gone.set()
            self._waiting -= 1

    def scrub(self) -> None:
        """Have the thread that embeds overwrite what it has let go."""
        with contextlib.suppress(RuntimeError):  # it has been let go
            self._thread.submit(scrub_thread)

    def close(self) -> None:
        """Let the model go; work under way ends with the text at hand."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    @cached_property
    def _embedder(self) -> "Embedder":
        from publicai_edge.engine.embedder import Embedder

        return Embedder.open(self._folder)

    def _run(
        self, texts: list[str], kind: Literal["query", "passage"], dimensions: int | None, gone: threading.Event
    ) -> Embedded:
        import numpy as np

        embedder = self._embedder
        if dimensions is not None and dimensions != embedder.config.dim:
            raise EngineError(
                f"Vectors of {dimensions} dimensions are asked for; the embedding model makes {embedder.config.dim}.",
                parameter="dimensions",
                problem=f"the embedding model's vectors have {embedder.config.dim}",
            )
        lengths = embedder.lengths(texts, kind)
        most = embedder.config.max_tokens
        if max(lengths) > most:
            raise ContextOverflowError(
                f"A text has {max(lengths)} tokens; the embedding model reads {most}.",
                hint="Cut the text into passages.",
                prompt_tokens=max(lengths),
                context=most,
            )
        rows = []
        for text in texts:
            if gone.is_set():
                raise EngineError("Nobody waits for these vectors any more.")
            rows.append(embedder.encode([text], kind))
        return Embedded(np.concatenate(rows), sum(lengths))
