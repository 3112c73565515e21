"""Which scripts a text is written in, told by the names that Unicode gives its characters.

Signs, digits, spaces and combining accents belong to no script of their own: they go with what stands before them.
"""

import unicodedata
from itertools import groupby

NO_SCRIPT = "signs and digits"
_OF_TWO_WORDS = {"CJK": "Chinese characters", "FULLWIDTH": "Latin", "HALFWIDTH": "Katakana"}


def parts(text: str) -> list[tuple[str, str]]:
    """Cut a text where its script changes; return the scripts' English names with their pieces, in order."""
    named: list[tuple[str, str]] = []
    last = NO_SCRIPT
    for character in text:
        last = _script(character) or last
        named.append((last, character))
    return [
        (script, "".join(character for _, character in group))
        for script, group in groupby(named, key=lambda pair: pair[0])
    ]


def _script(character: str) -> str | None:
    kind = unicodedata.category(character)
    if kind[0] not in "LM":
        return None
    word = unicodedata.name(character, "").partition(" ")[0]
    if word in {"", "COMBINING", "VARIATION", "MODIFIER", "MICRO", "FEMININE", "MASCULINE", "ZERO"}:
        return None
    return _OF_TWO_WORDS.get(word, word.capitalize())
