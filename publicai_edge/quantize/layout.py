"""How documents are laid into chunks of one context each, the pieces of text an importance matrix is collected on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LEAST_TOKENS = 16  # llama.cpp's products over fewer tokens are not counted


@dataclass(frozen=True)
class Chunk:
    """Tokens that are evaluated together, all of one language."""

    language: str
    tokens: tuple[int, ...]


def chunks(
    texts: Iterable[tuple[str, Sequence[int]]],
    context: int,
    *,
    begin: int | None,
    between: Sequence[int],
    limit: int | None = None,
) -> tuple[Chunk, ...]:
    """Lay tokenized documents into chunks: each language's documents one after the other, cut every ``context`` tokens.

    No chunk holds two languages. The last one of a language may be shorter; only when it has fewer than
    :data:`LEAST_TOKENS` tokens is it dropped.

    Args:
        texts: (language, tokens) of each document, in order.
        context: most tokens in a chunk.
        begin: the beginning-of-sequence token, put in the place of each chunk's first, as llama-imatrix does; or None.
        between: tokens put between two documents.
        limit: most tokens of a language; a document that is too long for it is cut.

    Returns:
        the chunks, languages in turn, so that an interrupted look at them sees all languages alike.
    """
    streams: dict[str, list[int]] = {}
    for language, tokens in texts:
        stream = streams.setdefault(language, [])
        stream.extend(between if stream else ())
        stream.extend(tokens)
    by_language = [
        [
            Chunk(language, (*([begin] if begin is not None else piece[:1]), *piece[1:]))
            for piece in (stream[start : start + context] for start in range(0, len(stream), context))
            if len(piece) >= LEAST_TOKENS
        ]
        for language, stream in ((language, stream[:limit]) for language, stream in streams.items())
    ]
    longest = max(map(len, by_language), default=0)
    return tuple(found[turn] for turn in range(longest) for found in by_language if turn < len(found))
