"""Which token comes next, and when a text is at its end: the likeliest, until the model ends it or begins to loop.

Whisper falls into loops over noise and over its own silence. A text that says the same three times in a row ends there,
and keeps it once (openai/whisper finds such texts by how well they compress, and decodes them again).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from publicai_edge.engine.speech.folder import SpeechFolder

_LONGEST_LOOP = 32
_SHORT, _TIMES, _TIMES_SHORT = 3, 3, 6  # "ha ha ha" is said; six times of so few tokens is a loop
_TOKENS_PER_SECOND, _TOKENS_MORE = 30, 16  # fast speech in letters that take three tokens each


@dataclass(frozen=True)
class Chosen:
    """A token, and the logarithm of its probability."""

    token: int
    log_probability: float


class Chooser:
    """Chooses tokens for a model."""

    def __init__(self, folder: SpeechFolder) -> None:
        self._end = folder.end
        self._never = np.array([token for token in folder.never if token != folder.end], dtype=np.int64)
        self._not_first = np.array(folder.not_first, dtype=np.int64)

    def choose(self, logits: npt.NDArray[Any], *, first: bool) -> Chosen:
        """Return the likeliest token of those that may come.

        Args:
            logits: of shape (tokens,); the tokens behind the end of a text are marks and times, and never written.
            first: whether it begins the text.
        """
        scores = logits.astype(np.float64)
        scores[self._end + 1 :] = -np.inf
        scores[self._never] = -np.inf
        if first:
            scores[self._not_first] = -np.inf
        token = int(scores.argmax())
        return Chosen(token, -float(np.log(np.exp(scores - scores[token]).sum())))


def probability(logits: npt.NDArray[Any], token: int) -> float:
    """Return how likely a token is among all."""
    scores = logits.astype(np.float64)
    return float(np.exp(scores[token] - scores.max()) / np.exp(scores - scores.max()).sum())


def most_tokens(seconds: float, folder: SpeechFolder, prompt: int) -> int:
    """Return how many tokens a recording may become: as many as can be said in it, and as the model can write."""
    said = int(seconds * _TOKENS_PER_SECOND) + _TOKENS_MORE
    return max(1, min(said, folder.most_tokens // 2, folder.most_tokens - prompt))


def looped(tokens: Sequence[int]) -> int:
    """Return how many tokens at the end only say again what stands before them; 0 where none do."""
    for size in range(1, min(_LONGEST_LOOP, len(tokens) // _TIMES) + 1):
        times = _TIMES_SHORT if size <= _SHORT else _TIMES
        tail = tokens[-size * times :]
        if len(tail) == size * times and all(tail[at] == tail[at % size] for at in range(len(tail))):
            return size * (times - 1)
    return 0
