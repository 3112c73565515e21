"""How texts are laid into windows of tokens before a model predicts them.

``documents`` takes each document by itself, with the vocabulary's beginning-of-sequence token where it wants one, and
scores every token from the second on. A document longer than the context becomes windows that overlap by half of it,
so that every scored token but those of the first window has at least half a context before it.

``perplexity`` lays a document as ``llama-perplexity`` does, for comparing with that tool: pieces of the whole context
one after the other, the first token of each replaced by the beginning-of-sequence token, the second half scored, the
rest of the text left out.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from publicai_edge.corpus import Document
from publicai_edge.engine.llama import LlamaModel
from publicai_edge.engine.scoring import Window

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Laying = Literal["documents", "perplexity"]


def lay(model: LlamaModel, documents: Sequence[Document], *, context: int, laying: Laying) -> list[Window]:
    """Tokenize documents and return their windows, in order; ``Window.document`` is the place in ``documents``.

    A document with nothing to score (one token, or shorter than the context with ``perplexity``) has no window.
    """
    import numpy as np

    begin = model.bos if model.adds_bos and model.bos >= 0 else None
    windows: list[Window] = []
    for index, document in enumerate(documents):
        tokens = np.array(model.tokenize(document.text, special=False, begin=True), np.int32)
        if laying == "documents":
            windows += _overlapping(index, tokens, context, begin)
        else:
            windows += _as_the_tool(index, tokens, context, begin)
    return windows


def digest_of(windows: Sequence[Window]) -> str:
    """Return the SHA-256 of windows: equal when two models were given the same tokens, scored at the same places."""
    state = hashlib.sha256()
    for window in windows:
        state.update(f"{window.document} {window.first_scored} {len(window.tokens)}\n".encode())
        state.update(window.tokens.astype("<i4").tobytes())
    return state.hexdigest()


def _overlapping(index: int, tokens: "NDArray[np.int32]", context: int, begin: int | None) -> Iterator[Window]:
    import numpy as np

    if len(tokens) < 2:  # noqa: PLR2004 - the first token is predicted by nothing
        return
    yield Window(index, tokens[:context], 1)
    head = np.array([] if begin is None else [begin], np.int32)
    half = context // 2
    scored = context
    while scored < len(tokens):
        start = scored - half
        part = tokens[start : start + context - len(head)]
        yield Window(index, np.concatenate([head, part]), half + len(head))
        scored = start + len(part)


def _as_the_tool(index: int, tokens: "NDArray[np.int32]", context: int, begin: int | None) -> Iterator[Window]:
    for start in range(0, len(tokens) - context + 1, context):
        part = tokens[start : start + context].copy()
        if begin is not None:
            part[0] = begin
        yield Window(index, part, context // 2 + 1)
