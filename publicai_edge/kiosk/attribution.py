"""Which passage a sentence of an answer takes its wording from.

What a source mark claims: every number, time and name of the sentence occurs in the passage, and so does
most of its other wording. What it does not claim: that the sentence is true, that it says what the passage
says (a dropped "not" goes unnoticed), or that it answers the question. A sentence without a mark may still be
right.

The rule, for one sentence and one passage:

1. Every number of the sentence is in the passage; times are compared on the 24-hour clock, and number words
   of the page's languages count as numbers. So is every name: a capitalised word that opens no sentence.
2. Of the sentence's content words (four letters or more; runs of two or three characters where the script
   has no spaces) at least :data:`THRESHOLD` are in the passage, inflection aside. :data:`MARKED_THRESHOLD` is
   enough where the model itself cited the passage; its word alone never is.
3. A sentence with fewer than two such features supports nothing and is not attributed.
"""

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from publicai_edge.kiosk.number_words import NUMBER_WORDS

THRESHOLD = 0.6
MARKED_THRESHOLD = 0.4

_MIN_FEATURES = 2
_NEAR_BEST = 0.1  # a second passage is named only when it supports the sentence about as well
_MOST_SOURCES = 2
_CONTENT_LETTERS = 4
_NAME_LETTERS = 3
_STEM_LETTERS = 6
_ENDING_LETTERS = 3

# A vowel sign is a mark and no letter to Python, and a word of Hindi must not end at it.
_MARKS = "".join(char for char in map(chr, range(0x300, 0x1000)) if unicodedata.category(char)[0] == "M")
WORD = re.compile(rf"[^\W\d_](?:[^\W\d_]|[{_MARKS}])*(?:'(?:[^\W\d_]|[{_MARKS}])+)*")
UNWRITTEN = re.compile("[\u0640\u064b-\u0652\u0670]")  # Arabic short vowels, which one text has and another leaves out
APOSTROPHE = re.compile("[\u2019\u02bc]")
# Thai, Lao, Myanmar, Khmer, kana and Han are written without spaces between words.
UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+")
_FIRST_KANA = "\u3040"
NUMBER = re.compile(r"(?<![^\W\d_])(\d+(?:[.,:]\d+)*)(?:\s*([ap])\.?\s?m\b)?", re.IGNORECASE)
_LIST_MARK = re.compile(r"^\s*(?:\d{1,2}[.)]|[-*•])\s+")
_THOUSANDS = re.compile(r"\d{1,3}(?:[.,]\d{3})+")


@dataclass(frozen=True)
class Wording:
    """What of a text is compared: its words, character runs, numbers and names."""

    words: frozenset[str]
    content: frozenset[str]
    grams: frozenset[str]
    names: frozenset[str]
    numbers: frozenset[str]
    clock: frozenset[str]
    """Times said with a.m. or p.m., on the 24-hour clock."""
    loose: frozenset[str]
    """The same times as they were written, without the a.m. or p.m."""

    @property
    def features(self) -> int:
        """How much there is to compare."""
        return len(self.content) + len(self.grams) + len(self.numbers) + len(self.clock)


def wording(text: str) -> Wording:
    """Take a text apart for comparison."""
    text = unicodedata.normalize("NFKC", _LIST_MARK.sub("", text))
    text = APOSTROPHE.sub("'", UNWRITTEN.sub("", text))
    text = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text)
    runs = UNSPACED.findall(text)
    spaced = UNSPACED.sub(" ", text)
    words = {match[0].casefold() for match in WORD.finditer(spaced)}
    numbers, clock, loose = _numbers(spaced)
    numbers |= {NUMBER_WORDS[word] for word in words if word in NUMBER_WORDS}
    return Wording(
        words=frozenset(words),
        content=frozenset(w for w in words if len(w) >= _CONTENT_LETTERS and w not in NUMBER_WORDS),
        grams=frozenset(gram for run in runs for gram in _grams(run)),
        names=frozenset(_names(spaced)),
        numbers=frozenset(numbers),
        clock=frozenset(clock),
        loose=frozenset(loose),
    )


def support(sentence: Wording, passage: Wording) -> float:
    """Return the share of a sentence's wording that the passage has; 0 where a number or name is missing."""
    if not (sentence.content or sentence.grams) or sentence.features < _MIN_FEATURES:
        return 0.0
    if not sentence.clock <= passage.numbers | passage.clock:
        return 0.0
    if not sentence.numbers <= passage.numbers | passage.clock | passage.loose:
        return 0.0
    if any(not _has(passage.words, name) for name in sentence.names):
        return 0.0
    found = sum(_has(passage.words, word) for word in sentence.content)
    found += len(sentence.grams & passage.grams)
    return found / (len(sentence.content) + len(sentence.grams))


def attribute(sentence: str, passages: Sequence[Wording], marked: Collection[int] = ()) -> tuple[int, ...]:
    """Return the numbers (from 1) of the passages that a sentence's wording comes from, best first.

    Args:
        sentence: one finished sentence of the answer, the model's own marks removed.
        passages: the wording of every passage shown, in their order.
        marked: numbers the model put on the sentence; one that names no passage is ignored.
    """
    taken = wording(sentence)
    scores = {number: support(taken, passage) for number, passage in enumerate(passages, 1)}
    held = {
        number: score
        for number, score in scores.items()
        if score >= (MARKED_THRESHOLD if number in marked else THRESHOLD)
    }
    if not held:
        return ()
    best = max(held.values())
    near = [number for number, score in held.items() if score >= best - _NEAR_BEST or number in marked]
    return tuple(sorted(near, key=lambda number: (-held[number], number))[:_MOST_SOURCES])


def _grams(run: str) -> list[str]:
    """Return pairs of Chinese and Japanese characters, where most words have two; triples of other scripts."""
    size = 2 if run[0] >= _FIRST_KANA else 3
    return [run[i : i + size] for i in range(max(1, len(run) - size + 1))]


def _has(words: Collection[str], word: str) -> bool:
    return word in words or any(_same_stem(word, other) for other in words)


def _same_stem(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    if len(short) < _CONTENT_LETTERS:
        return False
    if long.startswith(short) and len(long) - len(short) <= _ENDING_LETTERS:
        return True
    close = len(long) - len(short) <= _ENDING_LETTERS
    return close and len(short) >= _STEM_LETTERS and short[:_STEM_LETTERS] == long[:_STEM_LETTERS]


def _names(text: str) -> set[str]:
    found = set()
    for match in WORD.finditer(text):
        before = text[: match.start()].rstrip()
        inside = bool(before) and (before[-1].isalnum() or before[-1] in ",;")
        if inside and match[0][0].isupper() and len(match[0]) >= _NAME_LETTERS:
            found.add(match[0].casefold())
    return found


def _numbers(text: str) -> tuple[set[str], set[str], set[str]]:
    plain, clock, loose = set(), set(), set()
    for match in NUMBER.finditer(text):
        number, half = plain_number(match[1]), (match[2] or "").lower()
        if not half:
            plain.add(number)
            continue
        hour, _, minutes = number.partition(".")
        on_clock = str(int(hour) % 12 + (12 if half == "p" else 0))
        clock.add(f"{on_clock}.{minutes}" if minutes else on_clock)
        loose.add(number)
    return plain, clock, loose - (clock | plain)


def plain_number(text: str) -> str:
    """Return one form for 9, 09, 9:00 and 9.00, and for 1,000 and 1000."""
    if _THOUSANDS.fullmatch(text):
        text = re.sub(r"[.,]", "", text)
    whole, *rest = re.split(r"[.,:]", text)
    digits = whole.lstrip("0") or "0"
    rest = [part for part in rest if part.strip("0")]
    return ".".join([digits, *rest])
