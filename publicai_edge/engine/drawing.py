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
_HEADS = (1e-2, 1e-4, 0.0)  # chances beside the likeliest token's; sorting a whole vocabulary takes milliseconds
_COLUMNS = 256  # the chances lie in so many; adding up whole rows is five times as fast as a sum of each row

Logits = npt.NDArray[np.float32]


class Draw:
    """Draws one answer's tokens, one after the other."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._random = np.random.default_rng(sampling.seed)
        self._said: deque[int] = deque(maxlen=_PENALIZED)
        moved = (sampling.repeat_penalty != 1.0, sampling.presence_penalty, sampling.frequency_penalty)
        self._penalized = any(moved)
        self._size = 0
        self._weights = np.zeros((0, _COLUMNS), np.float32)

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
        if self._size != logits.size:  # kept from token to token: new pages take as long as the arithmetic
            self._size = logits.size
            self._weights = np.zeros((-(-logits.size // _COLUMNS), _COLUMNS), np.float32)
        weights = self._weights.reshape(-1)[: logits.size]
        np.subtract(logits, logits.max(), out=weights)
        least = 0.0
        if sampling.min_p > 0 or sampling.top_p < 1:
            chances = np.exp(weights)  # of the likeliest token 1
            least = min(1.0, max(sampling.min_p, _top(chances, sampling.top_p)))
        weights *= np.float32(1 / sampling.temperature)
        np.exp(weights, out=weights)
        if least > 0:
            weights[chances < least] = 0
        return self._place(self._random.random())

    def _place(self, point: float) -> int:
        """Return the token at a point of the weights' sum, from 0 to 1, column by column."""
        sums = np.cumsum(self._weights.sum(axis=0), dtype=np.float64)
        wanted = point * sums[-1]
        column = min(int(np.searchsorted(sums, wanted, side="right")), _COLUMNS - 1)
        weights = self._weights[:, column]
        inner = np.cumsum(weights, dtype=np.float64)
        row = min(int(np.searchsorted(inner, wanted - sums[column] + inner[-1], side="right")), len(weights) - 1)
        if weights[row] <= 0:  # rounding led past the end
            return int(self._weights.argmax())
        return row * _COLUMNS + column


def _top(chances: Logits, top_p: float) -> float:
    """Return the chance of the least likely of those tokens that have ``top_p`` of all chances together."""
    if top_p >= 1:
        return 0.0
    wanted = top_p * float(chances.sum(dtype=np.float64))
    for least in _HEADS:
        ordered = np.sort(chances[chances >= least])[::-1]
        found = np.cumsum(ordered, dtype=np.float64)
        if found[-1] >= wanted:
            return float(ordered[np.searchsorted(found, wanted)])
    return 0.0
