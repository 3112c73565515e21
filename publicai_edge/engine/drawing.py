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
_SUMS = (1e-20, 1e30)  # of weights, within which numbers of four bytes lose nothing
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
        """Weigh every token and take the one at a random point of the sum.

        Between two tokens the model's weights pass through the processor's caches, so each operation here begins with
        cold code and data: the fewer the better. Hence methods, and no subtraction of the largest logit unless sums
        grow too large or too small without it.
        """
        sampling = self._sampling
        weights = self._room(logits.size)
        scale = np.float32(1 / sampling.temperature)
        if sampling.min_p > 0 or sampling.top_p < 1:
            chances = np.exp(np.subtract(logits, logits.max(), out=weights))  # of the likeliest token 1
            least = min(1.0, max(sampling.min_p, _top(chances, sampling.top_p)))
            np.exp(np.multiply(weights, scale, out=weights), out=weights)
            weights[chances < least] = 0
        else:
            with np.errstate(over="ignore"):
                np.exp(np.multiply(logits, scale, out=weights), out=weights)
        sums = self._sums()
        if not _SUMS[0] < sums[-1] < _SUMS[1]:
            np.exp(np.multiply(logits - logits.max(), scale, out=weights), out=weights)
            sums = self._sums()
        return self._place(self._random.random() * float(sums[-1]), sums)

    def _room(self, size: int) -> Logits:
        """Return where weights go; kept from token to token, as new pages take as long as the arithmetic."""
        if self._size != size:
            self._size = size
            self._weights = np.zeros((-(-size // _COLUMNS), _COLUMNS), np.float32)
        return self._weights.reshape(-1)[:size]

    def _sums(self) -> npt.NDArray[np.float64]:
        with np.errstate(over="ignore"):
            columns: Logits = np.add.reduce(self._weights, 0)
            return columns.cumsum(dtype=np.float64)

    def _place(self, point: float, sums: npt.NDArray[np.float64]) -> int:
        """Return the token at a point of the weights' sum, column by column."""
        column = min(int(sums.searchsorted(point, "right")), _COLUMNS - 1)
        weights = self._weights[:, column]
        inner = weights.cumsum(dtype=np.float64)
        within = point - float(sums[column]) + float(inner[-1])
        row = min(int(inner.searchsorted(within, "right")), len(weights) - 1)
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
