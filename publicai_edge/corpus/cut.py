"""A long text to documents of two to four thousand characters, cut where a reader would pause.

Invariants: no text is lost but white space; a piece ends at the end of a paragraph, or, in a paragraph that is longer
than a document, of a sentence, or of a word; the pieces are about equally long.
"""

import re
from collections.abc import Iterable, Iterator
from math import ceil

TARGET = 3_000
LONGEST = 4_000

_BREAK = re.compile(r"\n[ \t\r\f\v]*\n")
# The end of a sentence in the scripts at hand: Latin, CJK, Devanagari, Arabic and Urdu, Armenian, Ethiopic, Tibetan.
_SPACED_STOPS = ".!?\u2026\u0589\u0964\u0965\u0f0d\u06d4\u061f\u1362"
_CJK_STOPS = "\u3002\uff01\uff1f"
_CLOSING = "\"'\u201d\u2019\u00bb)\\]\u300d\u300f\uff09"
_SENTENCE_END = re.compile(f"[{_SPACED_STOPS}]+[{_CLOSING}]*\\s+|[{_CJK_STOPS}]+[{_CLOSING}]*")


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a text; lines within one stay, trailing white space goes."""
    unified = text.replace("\r\n", "\n").replace("\r", "\n")
    blocks = ("\n".join(line.rstrip() for line in block.split("\n")).strip() for block in _BREAK.split(unified))
    return [block for block in blocks if block]


def pieces(parts: Iterable[str]) -> list[str]:
    """Return paragraphs joined to documents of about :data:`TARGET` characters, none over :data:`LONGEST`."""
    units = [unit for part in parts for unit in _fitting(part)]
    total = sum(len(text) + len(glue) for text, glue in units)
    count = 1 if total <= LONGEST else ceil(total / TARGET)
    goal = total / count
    found: list[str] = []
    current = ""
    done = 0
    for text, glue in units:
        if current and (done + len(text) / 2 >= goal * (len(found) + 1) or len(current) + len(glue + text) > LONGEST):
            found.append(current)
            current = ""
        current = f"{current}{glue}{text}" if current else text
        done += len(text) + len(glue)
    return [*found, current] if current else found


def _fitting(paragraph: str) -> Iterator[tuple[str, str]]:
    """Yield a paragraph, or its pieces that fit, each with what joins it to what is before."""
    glue, rest = "\n\n", paragraph
    while len(rest) > LONGEST:
        at = _cut_at(rest)
        yield rest[:at].rstrip(), glue
        glue = " " if rest[at - 1].isspace() else ""
        rest = rest[at:].lstrip()
    yield rest, glue


def _cut_at(text: str) -> int:
    ends = [found.end() for found in _SENTENCE_END.finditer(text, 0, TARGET)]
    spaces = [at + 1 for at in (text.rfind(" ", 0, TARGET), text.rfind("\n", 0, TARGET)) if at > 0]
    return ends[-1] if ends else max(spaces, default=TARGET)
