"""Text to search terms, the same way for documents and for questions.

Languages that put spaces between words give their words: compatibility forms unified (NFKC), case folded, and
accents dropped in the scripts where people leave them out when they type (Latin, Greek, Cyrillic, Arabic,
Hebrew) but kept where a mark is a vowel (Devanagari and its kin). Languages written without spaces (Chinese,
Japanese, Thai, Lao, Khmer, Burmese) give every pair of neighbours, as Lucene's CJK analyzer does.
Triples of characters were the other choice: they find nothing for a word of two characters, which most Chinese
words are, and would index every other language a second time.

Invariant: a term holds only letters, marks and digits, whatever was typed.
"""

import re
import unicodedata
from itertools import pairwise

MAX_QUESTION_CHARS = 2000
MAX_QUESTION_TERMS = 48

_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Myanmar, Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"  # Japanese syllabaries and iteration marks
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Han
    "\U00020000-\U0003ffff"  # Han, further planes
)
_RUN = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+")
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
# Scripts whose marks are accents or optional vowels; each range holds base letters.
_FOLDED = re.compile("[\u0000-\u058f\u0590-\u07bf\u1e00-\u1fff]")


def terms(text: str) -> list[str]:
    """Return the terms of ``text`` in order, repeats included."""
    out: list[str] = []
    for run in _RUN.findall(unicodedata.normalize("NFKC", text).casefold()):
        out += _pairs(run) if _IS_UNSPACED.match(run) else _words(run)
    return out


def question_terms(question: str) -> list[str]:
    """Return the different terms of a question, bounded so that no question takes long to answer."""
    return list(dict.fromkeys(terms(question[:MAX_QUESTION_CHARS])))[:MAX_QUESTION_TERMS]


def _words(run: str) -> list[str]:
    letters = []
    folding = False
    for char in unicodedata.normalize("NFD", run):
        kind = unicodedata.category(char)[0]
        if kind == "M":
            letters.append("" if folding else char)
        elif kind in "LN":
            folding = bool(_FOLDED.match(char))
            letters.append(char)
        else:
            folding = False
            letters.append(" ")
    return unicodedata.normalize("NFC", "".join(letters)).split()


def _pairs(run: str) -> list[str]:
    chars = [char for char in run if unicodedata.category(char)[0] in "LMN"]
    if len(chars) < 2:  # noqa: PLR2004 - a single character is a term of its own
        return chars
    return [first + second for first, second in pairwise(chars)]
