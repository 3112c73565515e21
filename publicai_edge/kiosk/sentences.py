"""Cut a streamed answer into sentences as it arrives, and take the model's own marks ("[1]") out of it.

Invariants: the texts that come out, joined, are the answer without its marks; a :class:`SentenceEnd` comes
right after the last text of its sentence, never later than the first character of the next one; nothing is
held back but white space and what may become a mark.
"""

import re
from dataclasses import dataclass

_ALWAYS_END = "。！？"  # noqa: RUF001 - full-width marks end a sentence with no space after them
_END = ".!?…؟۔।።។" + _ALWAYS_END  # noqa: RUF001 - Arabic, Devanagari, Ethiopic and Khmer full stops
_CLOSERS = "\"'”’»)]」』"  # noqa: RUF001 - closing quotes of several scripts
_ENDED = re.compile(rf"[{re.escape(_END)}]+[{re.escape(_CLOSERS)}]*$")
_ENDED_ALWAYS = re.compile(rf"[{_ALWAYS_END}]+[{re.escape(_CLOSERS)}]*$")
_STOPS = re.escape(_END + _CLOSERS)
_PIECE = re.compile(rf"[^\s\[{_STOPS}]+|[{_STOPS}]+|\s+|\[")
_MARK = re.compile(r"\s*(?=\[[\d\s,;]{1,24}\])\[\s*(\d{1,2}(?:\s*[,;]\s*\d{1,2})*)\s*\]")
_MAYBE_MARK = re.compile(r"\s*(\[[\d\s,;]{0,24})?$")
_LONE_NUMBER = re.compile(r"\s*\d{1,2}\.$")
_LAST_WORD = re.compile(r"(\S+)\.$")
_ABBREVIATIONS = frozenset([
    "mr", "mrs", "ms", "dr", "prof", "st", "no", "vs", "e.g", "i.e",
    "sr", "sra", "dra", "ud", "uds", "núm", "tel", "p.ej", "pág",
    "mme", "mlle", "av", "bd", "p.ex",
    "nr", "str", "hr", "fr", "bzw", "ca", "z.b", "d.h", "u.a", "inkl", "ggf",
    "вул", "буд", "тел", "ім", "напр", "стор",
    "डॉ",
])  # fmt: skip
_TAIL = 8


@dataclass(frozen=True)
class Text:
    """Some more of the answer."""

    text: str


@dataclass(frozen=True)
class SentenceEnd:
    """A sentence is complete: its words, its span in code points, the numbers the model put on it."""

    text: str
    start: int
    end: int
    marks: frozenset[int]


class SentenceReader:
    """Feed it the model's text piece by piece, then :meth:`finish`."""

    def __init__(self) -> None:
        self._pending = ""
        self._sentence = ""
        self._marks: set[int] = set()
        self._position = 0
        self._out: list[Text | SentenceEnd] = []

    def feed(self, text: str) -> list[Text | SentenceEnd]:
        """Take more text; return what can be shown now."""
        self._pending += text
        while self._pending and self._step():
            pass
        return self._taken()

    def finish(self) -> list[Text | SentenceEnd]:
        """The answer has ended; return what was held back, and the last sentence."""
        self._pending = self._pending.rstrip()
        while self._pending:
            if not self._step():
                self._show(self._pending[0])
        self._end_sentence()
        return self._taken()

    def _step(self) -> bool:
        """Deal with the next piece; False when it takes more text to know what it is."""
        if mark := _MARK.match(self._pending):
            self._marks.update(int(number) for number in re.findall(r"\d+", mark[1]))
            self._pending = self._pending[mark.end() :]
            return True
        if _MAYBE_MARK.match(self._pending):
            return False
        piece = _PIECE.match(self._pending)
        assert piece  # noqa: S101 - every character is in one of the four kinds
        if self._at_boundary(piece[0]):
            self._end_sentence()
        if piece[0].isspace() and not self._position:
            self._pending = self._pending[piece.end() :]
        else:
            self._show(piece[0])
        return True

    def _at_boundary(self, piece: str) -> bool:
        tail = self._sentence[-_TAIL:]
        if _ENDED_ALWAYS.search(tail):
            return piece[0] not in _END + _CLOSERS
        if not piece.isspace():
            return False
        if "\n" in piece:
            return True
        return bool(_ENDED.search(tail)) and self._is_end(self._pending.lstrip()[0])

    def _is_end(self, following: str) -> bool:
        if not self._sentence.endswith("."):
            return True
        if following.islower() or _LONE_NUMBER.match(self._sentence):
            return False
        word = _LAST_WORD.search(self._sentence)
        bare = word[1].casefold() if word else ""
        if bare in {"a.m", "p.m"}:
            return following.isupper()
        return bare not in _ABBREVIATIONS and not (len(bare) == 1 and bare.isalpha())

    def _show(self, piece: str) -> None:
        self._pending = self._pending[len(piece) :]
        self._sentence += piece
        self._position += len(piece)
        if self._out and isinstance(last := self._out[-1], Text):
            self._out[-1] = Text(last.text + piece)
        else:
            self._out.append(Text(piece))

    def _end_sentence(self) -> None:
        if words := self._sentence.strip():
            start = self._position - len(self._sentence.lstrip())
            self._out.append(SentenceEnd(words, start, self._position, frozenset(self._marks)))
            self._sentence = ""
            self._marks.clear()

    def _taken(self) -> list[Text | SentenceEnd]:
        out, self._out = self._out, []
        return out
