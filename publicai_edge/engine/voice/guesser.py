"""How a word is said that stands in no lexicon: a linear-chain conditional random field (Lafferty et al., 2001).

For each letter it chooses the phonemes that the letter stands for, none among them, by the letters around and by what
was chosen for the one before; the likeliest choice for the whole word is found by Viterbi's way. What is read here is
what :mod:`publicai_edge.convert.pronunciation` makes of CRFsuite's file:

- ``guesser.json``: ``labels``, phonemes by number; ``letters``, for each distance from -3 to 3, row by letter;
  ``bias``, ``begin`` and ``end``, the rows of every letter, of a word's first and of its last; or null.
- ``states.npy``: float32 of shape (rows, labels), what a row says for a label.
- ``transitions.npy``: float32 of shape (labels, labels), what a label says for the next one.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from publicai_edge.errors import ModelError

FACTS, STATES, TRANSITIONS = "guesser.json", "states.npy", "transitions.npy"
FILES = (FACTS, STATES, TRANSITIONS)
REACH = 3
"""Letters that are looked at before and behind each."""
MOST_LETTERS = 64
"""Of a word; the rest is not said."""
_HINT = "Copy the bundle again; `publicai-edge verify` tells what differs."

Weights = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Guesser:
    """An opened guesser; see the module."""

    labels: tuple[str, ...]
    letters: dict[int, dict[str, int]]
    always: tuple[int | None, int | None, int | None]
    states: Weights
    transitions: Weights

    @staticmethod
    def open(folder: Path) -> "Guesser":
        """Read a guesser's three files.

        Raises:
            ModelError: one is missing or damaged.
        """
        try:
            facts = json.loads((folder / FACTS).read_text("utf-8"))
            states = np.load(folder / STATES, allow_pickle=False)
            transitions = np.load(folder / TRANSITIONS, allow_pickle=False)
            letters = {int(reach): dict(rows) for reach, rows in facts["letters"].items()}
            always = (facts["bias"], facts["begin"], facts["end"])
            rows = [row for known in letters.values() for row in known.values()] + [
                row for row in always if row is not None
            ]
            count = len(facts["labels"])
            fits = transitions.shape == (count, count) and states.shape == (max(rows, default=-1) + 1, count)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"The guesser in {folder} cannot be read: {error}.", hint=_HINT) from error
        if not fits:
            raise ModelError(f"The parts of the guesser in {folder} do not fit together.", hint=_HINT)
        return Guesser(tuple(facts["labels"]), letters, always, states, transitions)

    def guess(self, word: str) -> str:
        """Return the phonemes of a word in lower case, "" where it knows none of the letters."""
        word = word[:MOST_LETTERS]
        if not any(letter in self.letters[0] for letter in word):
            return ""
        scores = np.stack([self._scores(word, at) for at in range(len(word))])
        return "".join(self.labels[label] for label in _best(scores, self.transitions))

    def _scores(self, word: str, at: int) -> Weights:
        """Return what the letters around one say for each label."""
        bias, begin, end = self.always
        last = len(word) - 1
        rows = [bias, begin if at == 0 else None, end if at == last else None]
        reaches = range(max(-REACH, -at), min(REACH, last - at) + 1)
        rows += [self.letters[reach].get(word[at + reach]) for reach in reaches]
        found: Weights = self.states[[row for row in rows if row is not None]].sum(0)
        return found


def _best(scores: Weights, transitions: Weights) -> list[int]:
    """Return the labels whose scores and transitions together are greatest, one for each row of ``scores``."""
    total = scores[0]
    came = []
    for row in scores[1:]:
        ways = total[:, None] + transitions
        came.append(ways.argmax(0))
        total = ways.max(0) + row
    path = [int(total.argmax())]
    for before in reversed(came):
        path.append(int(before[path[-1]]))
    return path[::-1]
