"""Whether a text says a fact, however it is written: case, accents, digits, numbers, times.

A text is taken as a row of words and numbers. A fact is said when its own row stands in the text's, word for word:
"9" is not found in "19", nor "her" in "here". Alike are "Sábado" and "sabado", "0,10" and "0.10", "6,200" and "6200",
"09:00", "9.00" and "9", "6 p.m." and "18:00", "drei" and "3". Whoever wants more gives several wordings.

This is for trying a service. What quantization cost is compared more strictly, in
:mod:`publicai_edge.evaluate.questions`: there, a lost accent is a loss.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from publicai_edge.kiosk.attribution import APOSTROPHE, NUMBER, UNSPACED, UNWRITTEN, WORD, plain_number
from publicai_edge.kiosk.number_words import NUMBER_WORDS

_UNSPACED_LETTER = re.compile(UNSPACED.pattern.removesuffix("+"))
_TOKEN = re.compile(rf"{NUMBER.pattern}|({_UNSPACED_LETTER.pattern})|({WORD.pattern})|(\d+)", re.IGNORECASE)
_HALF_DAY = 12
_LAST_ACCENTED = 0x0400  # Latin and Greek end here; in Cyrillic й is a letter of its own


def says(text: str, wordings: Iterable[str]) -> bool:
    """Say whether a text says a fact in one of its wordings."""
    words = tokens(text)
    return any(_stands_in(tokens(wording), words) for wording in wordings)


def tokens(text: str) -> tuple[str, ...]:
    """Return the words and numbers of a text, each in the one form that it is compared in."""
    text = unicodedata.normalize("NFKC", text)
    text = APOSTROPHE.sub("'", UNWRITTEN.sub("", text))
    text = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text if unicodedata.category(c) != "Cf")
    text = _UNSPACED_LETTER.sub(r" \g<0> ", text)
    found: list[str] = []
    for number, half, letter, word, digits in (match.groups() for match in _TOKEN.finditer(text)):
        if number:
            found.append(_number(number, (half or "").lower()))
        elif word:
            found += _words(word.casefold())
        else:
            found.append(letter or plain_number(digits))
    return tuple(found)


def _number(text: str, half: str) -> str:
    """Return one form of a number; a time with a.m. or p.m. by the 24-hour clock."""
    whole, _, rest = plain_number(text).partition(".")
    if half:
        whole = str(int(whole) % _HALF_DAY + (_HALF_DAY if half == "p" else 0))
    rest = rest.rstrip("0")
    return f"{whole}.{rest}" if rest else whole


def _words(word: str) -> list[str]:
    if word in NUMBER_WORDS:
        return [NUMBER_WORDS[word]]
    return [_without_accents(part) for part in word.split("'")]


def _without_accents(word: str) -> str:
    kept: list[str] = []
    for letter in unicodedata.normalize("NFD", word):
        if unicodedata.combining(letter) and kept and ord(kept[-1]) < _LAST_ACCENTED:
            continue
        kept.append(letter)
    return unicodedata.normalize("NFC", "".join(kept))


def _stands_in(fact: Sequence[str], words: Sequence[str]) -> bool:
    size = len(fact)
    return size > 0 and any(tuple(words[at : at + size]) == tuple(fact) for at in range(len(words) - size + 1))
