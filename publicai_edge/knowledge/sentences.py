"""Words and sentences, in languages with and without spaces between words."""

import re
from collections.abc import Iterator

_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_LONGEST_WORD = 30  # what is longer (an address, a run of signs) counts, and costs a model, as several words
_CHARS_A_WORD = 2  # Chinese and Japanese words are two characters long for the most part

# Ends that need no space after them: Chinese, Japanese, Arabic, Urdu, Hindi, Amharic, Burmese, Khmer.
_HARD = "\u3002\uff01\uff1f\uff0e\u061f\u06d4\u0964\u0965\u1362\u104b\u17d4"
_CLOSING = "\"'\u201d\u2019\u00bb)\\]\u300d\u300f\uff09"
_BREAK = re.compile(f"(?<=[{_HARD}])[{_CLOSING}]*\\s*|(?<=[.!?\u2026])[{_CLOSING}]*\\s+")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[A-Za-z]|e\.g|i\.e|etc|Mr|Mrs|Ms|Dr|Prof|St|No|Nr|vs|approx|Sra?|D\u00f1a|p\.ej|z\.B|bzw|ca)\.$"
)
_TAIL = 24  # characters before a full stop that tell an abbreviation


def count_words(text: str) -> int:
    """Return how many words ``text`` holds; two characters of an unspaced script count as one."""
    characters = len(_UNSPACED.findall(text))
    words = _UNSPACED.sub(" ", text).split()
    return sum(-(-len(word) // _LONGEST_WORD) for word in words) + -(-characters // _CHARS_A_WORD)


def split_sentences(text: str) -> list[str]:
    """Return the sentences of ``text``, which together are ``text`` but for spaces at the cuts."""
    out: list[str] = []
    start = 0
    for found in _BREAK.finditer(text):
        cut = found.end()
        tail = text[max(start, cut - _TAIL) : cut].rstrip()
        following = text[cut : cut + 1]
        unsure = tail.endswith(".") and (following.islower() or bool(_ABBREVIATION.search(tail)))
        if tail and not unsure:
            out.append(text[start:cut].strip())
            start = cut
    if rest := text[start:].strip():
        out.append(rest)
    return out


def split_words(text: str, limit: int) -> list[str]:
    """Cut ``text`` into parts of at most ``limit`` words, at spaces, or between characters where none are."""
    parts: list[str] = []
    current: list[str] = []
    words = 0
    for bit in _bits(text, limit):
        size = count_words(bit)
        # The sum is never less than the count of the whole, so the limit holds, and long text costs no more.
        if current and words + size > limit:
            parts.append("".join(current).strip())
            current, words = [], 0
        current.append(bit)
        words += size
    return [*parts, "".join(current).strip()] if current else parts


def _bits(text: str, limit: int) -> Iterator[str]:
    """Yield the words of ``text`` with the spaces before them; a long one in bits of ``limit`` characters."""
    for found in re.finditer(r"\s*\S+", text):
        piece = found[0]
        if count_words(piece) <= limit:
            yield piece
        else:  # a character counts as at most one word
            yield from (piece[start : start + limit] for start in range(0, len(piece), limit))
