"""Words to phonemes, as espeak-ng writes them (IPA, the mark of stress before the vowel): what Piper's voices read.

A word that is in the lexicon is said as it stands there; another one without its accents, where that is; any other by
guessing. Letters are said one by one where a word has to be spelled.
"""

import unicodedata
from collections.abc import Iterable
from pathlib import Path

from publicai_edge.engine.voice import guesser
from publicai_edge.engine.voice.guesser import Guesser
from publicai_edge.engine.voice.lines import Lines

LEXICON, WORDS = "lexicon.txt", "words.txt"
FILES = (LEXICON, WORDS, *guesser.FILES)
MARKS = ".,;:!?"
"""Tokens that are no words but pauses, and are left as they are."""
SPELLED = "\N{ZERO WIDTH JOINER}"
"""What a token begins with that is a letter's name."""


class Pronunciation:
    """A language's pronunciation in ``folder``; ``words`` says numbers and signs, see :mod:`.normal`."""

    def __init__(self, folder: Path) -> None:
        self._lexicon = Lines(folder / LEXICON)
        self._guesser = Guesser.open(folder)
        self.words = Lines(folder / WORDS)

    def knows(self, word: str) -> bool:
        """Say whether a word stands in the lexicon."""
        return self._lexicon.find(word.lower()) is not None

    def phonemes(self, tokens: Iterable[str]) -> str:
        """Return what tokens sound like: words with blanks between them, marks right behind the word before."""
        said = ""
        for token in tokens:
            if token in MARKS:
                said += token if said and said[-1] not in MARKS else ""
            elif word := self.word(token):
                said += f" {word}" if said else word
        return said

    def word(self, token: str) -> str:
        """Return what one word sounds like; "" where nothing is known of its letters."""
        if token.startswith(SPELLED):
            letter = token[len(SPELLED) :].lower()
            name = self.words.find(f"letter:{letter}")
            return self.word(name) if name else self._lexicon.find(letter) or ""
        word = unicodedata.normalize("NFC", token.lower())
        return self._lexicon.find(word) or self._lexicon.find(_bare(word)) or self._guesser.guess(word)


def _bare(word: str) -> str:
    """Return a word without its accents."""
    return "".join(letter for letter in unicodedata.normalize("NFD", word) if not unicodedata.combining(letter))
