"""How the next token is drawn, for one answer, from the logits as they lie.

In the order of llama.cpp's samplers: penalties on what the answer already said, ``top_p``, ``min_p``, ``temperature``,
and a draw. At temperature 0 it is the likeliest token. In numpy, because a chain of native samplers is handed the whole
vocabulary one by one, which takes a tenth of a small model's step.
"""

from collections import Counter, deque

import numpy as np
import numpy.typing as npt

from publicai_edge.engine.protocol import Sampling

_PENALIZED = 128  # tokens that penalties look back
_HEAD = 512  # likeliest tokens looked at first; sorting a whole vocabulary takes milliseconds

Logits = npt.NDArray[np.float32]


class Draw:
    """Draws one answer's tokens, one after the other."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._random = np.random.default_rng(sampling.seed)
        self._said: deque[int] = deque(maxlen=_PENALIZED)
        moved = (sampling.repeat_penalty != 1.0, sampling.presence_penalty, sampling.frequency_penalty)
        self._penalized = any(moved)

    def pick(self, logits: Logits) -> int:
        """Return a next token; one with a logit of minus infinity never is.

        Args:
            logits: one a token of the vocabulary, shape (n_vocab,).
        """
        if self._penalized:
            logits = self._penalize(logits)
        return int(logits.argmax()) if self._sampling.temperature <= 0 else self._drawn(logits)

    def accept(self, token: int) -> None:
        """Take a token as said."""
        if self._penalized:
            self._said.append(token)

    def _penalize(self, logits: Logits) -> Logits:
        if not self._said:
            return logits
        counts = Counter(self._said)
        ids = np.fromiter(counts.keys(), np.int64, len(counts))
        times = np.fromiter(counts.values(), np.float32, len(counts))
        found = logits[ids]
        repeat = np.float32(self._sampling.repeat_penalty)
        found = np.where(found > 0, found / repeat, found * repeat)
        found -= times * np.float32(self._sampling.frequency_penalty) + np.float32(self._sampling.presence_penalty)
        changed = logits.copy()
        changed[ids] = found
        return changed

    def _drawn(self, logits: Logits) -> int:
        sampling = self._sampling
        below = logits - logits.max()
        least = 0.0
        if sampling.min_p > 0 or sampling.top_p < 1:
            chances = np.exp(below)  # of the likeliest token 1
            least = min(1.0, max(sampling.min_p, _top(chances, sampling.top_p)))
        weights = np.exp(below * np.float32(1 / sampling.temperature))
        if least > 0:
            weights[chances < least] = 0
        total = np.cumsum(weights, dtype=np.float64)
        place = int(np.searchsorted(total, self._random.random() * total[-1], side="right"))
        return min(place, len(weights) - 1)


def _top(chances: Logits, top_p: float) -> float:
    """Return the chance of the least likely of those tokens that have ``top_p`` of all chances together."""
    if top_p >= 1:
        return 0.0
    wanted = top_p * float(chances.sum(dtype=np.float64))
    for size in (_HEAD, len(chances)):
        head = np.partition(chances, -size)[-size:] if size < len(chances) else chances
        ordered = np.sort(head)[::-1]
        found = np.cumsum(ordered, dtype=np.float64)
        if found[-1] >= wanted:
            return float(ordered[np.searchsorted(found, wanted)])
    return 0.0
