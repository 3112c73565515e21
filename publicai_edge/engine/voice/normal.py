"""Text to words: numbers, times, amounts, signs, abbreviations and spelled letters as they are said.

Nothing here knows a language. A table, made at build time (:mod:`publicai_edge.convert.number_words`), says:

- whole numbers: ``0`` to ``999``, thousands and millions up to 999 of each; ``year:1984``;
- what is said as it stands: ``10:30``, ``1st``, ``Dr.``, ``%``, ``$`` (and ``$1``), ``.`` inside an address;
- ``mark:decimal`` and ``mark:group``, which stand in numbers; ``name:point``, ``name:minus`` and ``name:range``.

What the table lacks is said digit by digit, or not at all. Every token that comes out is a word, a letter that is
spelled, or one of the marks for a pause.
"""

import re
import unicodedata
from collections.abc import Iterator

from publicai_edge.engine.voice.pronunciation import MARKS, SPELLED, Pronunciation

_ACCENTS = "\u0300-\u036f\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0903\u093a-\u094f\u0951-\u0957\u0962\u0963"
_LETTERS = rf"(?:[^\W\d_][{_ACCENTS}]*)+"
_NUMBER = r"\d(?:[\d.,'\u00a0\u202f]*\d)?"
_TOKEN = re.compile(
    rf"(?P<time>\d{{1,2}}:\d\d)(?![\d:])"
    rf"|(?P<before>[$€£¥])\s?(?P<amount>{_NUMBER})"
    rf"|(?P<number>{_NUMBER})(?:\s?(?P<behind>[$€£¥%])(?!\d)|(?P<ending>[^\W\d_]{{1,3}}\.?(?!\w)))?"
    rf"|(?P<initials>(?:[^\W\d_]\.){{2,}})"
    rf"|(?P<word>{_LETTERS}(?:'{_LETTERS})*)(?P<dot>\.(?=\S|\s+\S))?"
    r"|(?P<sign>\S)"
)
_FROM, _TO = re.compile(r"(?<!\d)\d{1,2}(?::\d\d)?$"), re.compile(r"\d{1,2}(?::\d\d)?(?!\d)")
"""Numbers that a hyphen makes a range of; of longer ones it makes a telephone number."""
_SAME = str.maketrans(
    {"\u2019": "'", "\u02bc": "'", "…": ".", "。": ".", "،": ",", "、": ",", "؛": ";", "؟": "?", "।": ".", "—": ","}
    | {"\u2212": "-", "\u066b": ".", "\u066c": ","}
    | dict.fromkeys("\u00ad\u200b\u200c\u200d\ufeff")
)
_DASH = "\N{EN DASH}"
_DASHES = f"-{_DASH}"
_THOUSAND, _MILLION, _MOST_DIGITS = 1000, 1_000_000, 9
_LONGEST_ACRONYM = 6
_YEAR_DIGITS = 4


class Reader:
    """Says texts of one language in words."""

    def __init__(self, pronunciation: Pronunciation) -> None:
        self._pronunciation = pronunciation
        self._find = pronunciation.words.find

    def tokens(self, text: str) -> list[str]:
        """Return a text's words and pauses, in order."""
        text = unicodedata.normalize("NFC", text).translate(_SAME)
        text = "".join(str(unicodedata.decimal(sign)) if sign.isdecimal() else sign for sign in text)
        shouts = text == text.upper()
        found: list[str] = []
        for match in _TOKEN.finditer(text):
            found += self._token(match, text, shouts=shouts)
        return found

    def _token(self, match: re.Match[str], text: str, *, shouts: bool) -> Iterator[str]:
        part = match.groupdict()
        if part["time"]:
            hour, _, minute = part["time"].partition(":")
            yield from self._as_it_stands(f"{int(hour)}:{minute}") or self._digits(part["time"])
        elif part["before"]:
            yield from self._amount(part["amount"], part["before"])
        elif part["number"]:
            yield from self._counted(part)
        elif part["initials"]:
            letters = part["initials"].replace(".", "")
            yield from self._as_it_stands(part["initials"]) or [f"{SPELLED}{letter}" for letter in letters]
        elif part["word"]:
            yield from self._word(part["word"], part["dot"] or "", joined=_is_joined(text, match.end()), shouts=shouts)
        else:
            yield from self._sign(part["sign"], text[: match.start()], text[match.end() :])

    def _word(self, word: str, dot: str, *, joined: bool, shouts: bool) -> Iterator[str]:
        if dot and (whole := self._as_it_stands(word + dot)):
            yield from whole
            return
        acronym = word.isupper() and not shouts and 1 < len(word) <= _LONGEST_ACRONYM
        if acronym and not self._pronunciation.knows(word):
            yield from (f"{SPELLED}{letter}" for letter in word)
        else:
            yield from self._as_it_stands(word) or [word]
        if dot:
            yield from self._as_it_stands(dot) if joined else [dot]

    def _counted(self, part: dict[str, str]) -> Iterator[str]:
        number, behind, ending = part["number"], part["behind"], part["ending"]
        if behind:
            yield from self._amount(number, behind)
        elif ending:
            yield from self._as_it_stands(number + ending.removesuffix(".")) or [*self._number(number), ending]
        else:
            yield from self._number(number)

    def _amount(self, number: str, sign: str) -> Iterator[str]:
        """Say an amount of money, or a percentage."""
        whole, _, rest = number.partition(self._find("mark:decimal") or ".")
        name = self._as_it_stands(f"{sign}1" if number == "1" else sign)
        if sign != "%" and len(rest) == 2 and rest.isdigit():  # noqa: PLR2004 - hundredths
            yield from [*self._number(whole), *name]
            yield from self._number(rest.lstrip("0")) if rest.strip("0") else []
        else:
            yield from [*self._number(number), *name]

    def _number(self, text: str) -> list[str]:
        decimal, group = self._find("mark:decimal") or ".", self._find("mark:group") or ","
        plain = text
        if re.fullmatch(rf"\d{{1,3}}(?:(?:{re.escape(group)}|[\s'])\d{{3}})+(?:{re.escape(decimal)}\d+)?", text):
            plain = re.sub(rf"{re.escape(group)}|[\s']", "", text)
        elif len(text) == _YEAR_DIGITS and (year := self._as_it_stands(f"year:{text}")):
            return year
        whole, point, rest = plain.partition(decimal)
        if not (whole + rest).isdigit():  # a date, a telephone number
            return [word for run in re.findall(r"\d+", plain) for word in self._whole(run)]
        return [*self._whole(whole), *(self._point(rest) if point else [])]

    def _point(self, digits: str) -> list[str]:
        return [*self._as_it_stands("name:point"), *self._digits(digits)]

    def _whole(self, digits: str) -> list[str]:
        """Say a whole number; one that begins with a zero, or is too large, digit by digit."""
        if len(digits) > _MOST_DIGITS or (digits[0] == "0" and len(digits) > 1):
            return self._digits(digits)
        number = int(digits)
        parts = (number // _MILLION * _MILLION, number % _MILLION // _THOUSAND * _THOUSAND, number % _THOUSAND)
        said = [self._as_it_stands(str(part)) for part in (filter(None, parts) if number else (0,))]
        return [word for words in said for word in words] if all(said) else self._digits(digits)

    def _digits(self, text: str) -> list[str]:
        return [word for digit in text if digit.isdigit() for word in self._as_it_stands(digit)]

    def _sign(self, sign: str, before: str, behind: str) -> list[str]:
        if sign in _DASHES and behind[:1].isdigit():
            if before[-1:].isdigit():
                ranges = sign == _DASH or (_FROM.search(before) and _TO.match(behind))
                return self._as_it_stands("name:range") if ranges else []
            return self._as_it_stands("name:minus") if sign == "-" and not before[-1:].isalnum() else []
        if sign == _DASH:
            return [","]
        return [sign] if sign in MARKS else self._as_it_stands(sign)

    def _as_it_stands(self, key: str) -> list[str]:
        """Return the words that the table has for a key; none where it has none."""
        return re.findall(rf"{_LETTERS}(?:'{_LETTERS})*", self._find(key) or "")


def _is_joined(text: str, end: int) -> bool:
    """Say whether a letter or digit follows at once, as in an address of the web."""
    return text[end : end + 1].isalnum()
