"""From rows of logits to what is kept of them and what is compared: the arithmetic of one batch.

A reference's row is kept as its likely tokens exactly (every one above :data:`KEEP_ABOVE`), and as a few tokens drawn
from the rest by their probability. With ``p`` the reference's distribution, ``q`` the other's, ``R`` and ``S`` what
they give to the rest, the divergence splits without remainder into

    KL(p‖q) = Σ over the kept of p·ln(p/q) + R·ln(R/S) + R·KL(p in the rest ‖ q in the rest)

The first two terms are computed. Alone they would be a lower bound (the log-sum inequality): with 250 to 450 tokens
kept, 2 to 5 % low. The last is estimated from the draws as the mean of ``exp(-r) - 1 + r`` with
``r = ln(p·S / (q·R))``: its expectation is that divergence, and no draw makes it negative (J. Schulman, "Approximating
KL divergence", 2020). Against all 49,152 tokens of SmolLM2-135M, the mean is within 0.2 % in English, Hindi, Russian
and Swahili, from 440 to 960 bytes a token.

Invariants: arrays go in and out, nothing is kept; one row costs a few passes over its logits, and rows are shared out
among threads (numpy releases the interpreter's lock).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEEP_ABOVE = 5e-4  # so at most 2,000 tokens are kept, and about 60 of SmolLM2's
DRAWS = 32
_NO_REST = 1e-6  # a rest of less mass is not drawn from
_ROWS = 8  # rows worked on at once: with 50,000 tokens, 1.6 MB
_SPAN = 256  # tokens summed at once when drawing

ROW = np.dtype([("kept", "<u2"), ("drawn", "u1"), ("top", "<u4"), ("target", "<f4"), ("rest", "<f4")])
"""What is known of each scored token: how many entries are kept and drawn, the likeliest token, the log-probability of
the token that came, the probability of all that is not kept."""

LOSS = np.dtype([("kl", "<f4"), ("agrees", "?"), ("reference", "<f4"), ("target", "<f4")])
"""What is compared for each scored token: KL divergence in nats, whether the likeliest token is the same, both models'
log-probability of the token that came."""


def entry_type(vocabulary: int) -> "np.dtype[Any]":
    """Return the type of one entry: a token and its log-probability."""
    return np.dtype([("id", "<u2" if vocabulary <= 1 << 16 else "<u4"), ("logp", "<f4")])


class Workers:
    """Threads with a scratch of their own each, for rows of one vocabulary."""

    def __init__(self, threads: int, vocabulary: int) -> None:
        self.vocabulary = vocabulary
        self._scratch = [np.empty((_ROWS, vocabulary), np.float32) for _ in range(threads)]
        self._pool = ThreadPoolExecutor(threads)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def share(self, rows: int, work: Callable[[int, int, "NDArray[np.float32]"], Any]) -> list[Any]:
        """Call ``work(start, stop, scratch)`` for blocks of rows, in several threads; return the results in order."""
        parts = len(self._scratch)
        starts = list(range(0, rows, _ROWS))
        share = -(-len(starts) // parts) or 1

        def run(part: int) -> list[Any]:
            mine = starts[part * share : (part + 1) * share]
            return [work(at, min(at + _ROWS, rows), self._scratch[part]) for at in mine]

        return [result for results in self._pool.map(run, range(parts)) for result in results]


def keep(
    workers: Workers, logits: "NDArray[np.float32]", targets: "NDArray[np.int32]", seed: int
) -> tuple["NDArray[Any]", "NDArray[Any]"]:
    """Return the :data:`ROW` of each row of a reference's logits, and all rows' entries, kept before drawn.

    Args:
        workers: threads.
        logits: float32, shape (rows, vocabulary).
        targets: the token that came after each row's.
        seed: of the draws; another for each batch.
    """

    def work(start: int, stop: int, scratch: "NDArray[np.float32]") -> Any:
        return _keep_block(logits[start:stop], targets[start:stop], scratch[: stop - start], [seed, start])

    results = workers.share(len(targets), work)
    if not results:
        return np.empty(0, ROW), np.empty(0, entry_type(workers.vocabulary))
    return np.concatenate([rows for rows, _ in results]), np.concatenate([entries for _, entries in results])


def compare(
    workers: Workers,
    logits: "NDArray[np.float32]",
    targets: "NDArray[np.int32]",
    rows: "NDArray[Any]",
    entries: "NDArray[Any]",
) -> "NDArray[Any]":
    """Return the :data:`LOSS` of each row of a model's logits against a reference's ``rows`` and ``entries``."""
    ends = np.cumsum(rows["kept"].astype(np.int64) + rows["drawn"])
    bounds = np.concatenate([[0], ends])

    def work(start: int, stop: int, scratch: "NDArray[np.float32]") -> Any:
        mine = entries[bounds[start] : bounds[stop]]
        return _compare_block(logits[start:stop], targets[start:stop], rows[start:stop], mine, scratch[: stop - start])

    results = workers.share(len(targets), work)
    return np.concatenate(results) if results else np.empty(0, LOSS)


def _softmax(logits: "NDArray[np.float32]", scratch: "NDArray[np.float32]") -> tuple[Any, Any, Any]:
    """Put exp(logit - highest) into ``scratch``; return the likeliest tokens, the sums, the logarithms of Σ exp."""
    top = logits.argmax(axis=1)
    highest = logits[np.arange(len(logits)), top]
    np.subtract(logits, highest[:, None], out=scratch)
    np.exp(scratch, out=scratch)
    sums = scratch.sum(axis=1).astype(np.float64)
    return top, sums, highest.astype(np.float64) + np.log(sums)


def _keep_block(
    logits: "NDArray[np.float32]", targets: "NDArray[np.int32]", scratch: "NDArray[np.float32]", seed: list[int]
) -> tuple["NDArray[Any]", "NDArray[Any]"]:
    count = len(logits)
    top, sums, log_sums = _softmax(logits, scratch)
    row_of, ids = np.nonzero(scratch > (KEEP_ABOVE * sums[:, None]).astype(np.float32))
    scratch[row_of, ids] = 0
    left = np.add.reduceat(scratch, np.arange(0, scratch.shape[1], _SPAN), axis=1).astype(np.float64)
    rest = left.sum(axis=1) / sums
    drawing = np.flatnonzero(rest > _NO_REST)
    drawn = _draw(scratch, left, drawing, np.random.default_rng(seed))
    rows = np.zeros(count, ROW)
    rows["kept"] = np.bincount(row_of, minlength=count)
    rows["drawn"][drawing] = DRAWS
    rows["top"] = top
    rows["rest"] = rest
    rows["target"] = logits[np.arange(count), targets] - log_sums
    all_rows = np.concatenate([row_of, np.repeat(drawing, DRAWS)])
    all_ids = np.concatenate([ids, drawn.ravel()])
    order = np.argsort(all_rows, kind="stable")
    all_rows, all_ids = all_rows[order], all_ids[order]
    entries = np.empty(len(all_ids), entry_type(logits.shape[1]))
    entries["id"] = all_ids
    entries["logp"] = logits[all_rows, all_ids] - log_sums[all_rows]
    return rows, entries


def _draw(scratch: "NDArray[np.float32]", left: "NDArray[np.float64]", rows: Any, random: Any) -> "NDArray[np.int64]":
    """Draw :data:`DRAWS` tokens of each of ``rows`` by what is left in ``scratch``, spread evenly over its sum.

    Args:
        scratch: shape (rows, vocabulary), zero where nothing may be drawn.
        left: its sums over spans of :data:`_SPAN` tokens.
        rows: which rows.
        random: numpy's generator.
    """
    vocabulary = scratch.shape[1]
    bounds = np.cumsum(left[rows], axis=1)
    places = (np.arange(DRAWS) + random.random((len(rows), 1))) / DRAWS * bounds[:, -1:]
    span = np.minimum((bounds[:, None, :] <= places[:, :, None]).sum(axis=2), left.shape[1] - 1)
    before = np.take_along_axis(bounds, span, 1) - np.take_along_axis(left[rows], span, 1)
    ids = np.minimum(span[:, :, None] * _SPAN + np.arange(_SPAN), vocabulary - 1)
    inside = scratch[rows[:, None, None], ids]
    inside[span[:, :, None] * _SPAN + np.arange(_SPAN) >= vocabulary] = 0
    reached = np.cumsum(inside, axis=2, dtype=np.float64) > (places - before)[:, :, None]
    # Rounding may leave a place just past the span's own sum: its last token with any probability is meant then.
    last = _SPAN - 1 - np.argmax(inside[:, :, ::-1] > 0, axis=2)
    within = np.where(reached.any(axis=2), reached.argmax(axis=2), last)
    return np.take_along_axis(ids, within[:, :, None], 2)[:, :, 0]


def _compare_block(
    logits: "NDArray[np.float32]",
    targets: "NDArray[np.int32]",
    rows: "NDArray[Any]",
    entries: "NDArray[Any]",
    scratch: "NDArray[np.float32]",
) -> "NDArray[Any]":
    count = len(logits)
    top, _, log_sums = _softmax(logits, scratch)
    kept, drawn = rows["kept"].astype(np.int64), rows["drawn"].astype(np.int64)
    row_of = np.repeat(np.arange(count), kept + drawn)
    place = np.arange(len(entries)) - np.repeat(np.cumsum(kept + drawn) - kept - drawn, kept + drawn)
    is_kept = place < kept[row_of]
    theirs = entries["logp"].astype(np.float64)
    ours = logits[row_of, entries["id"]] - log_sums[row_of]
    weight = np.where(is_kept, np.exp(theirs), 0)
    over_kept = np.bincount(row_of, weight * (theirs - ours), count)
    # What this model gives to the rest: a difference of sums near 1, so it is kept away from nought.
    rest = rows["rest"].astype(np.float64)
    other = np.maximum(1 - np.bincount(row_of, np.where(is_kept, np.exp(ours), 0), count), 1e-7)
    with np.errstate(divide="ignore", invalid="ignore"):
        lumped = np.where(rest > 0, rest * np.log(rest / other), 0)
        ratio = np.where(is_kept, 0, theirs - ours - np.log(np.maximum(rest, _NO_REST) / other)[row_of])
    spread = np.bincount(row_of, np.where(is_kept, 0, np.expm1(-ratio) + ratio), count)
    loss = np.empty(count, LOSS)
    # The first two terms are nought or more but for rounding.
    loss["kl"] = np.maximum(over_kept + lumped, 0) + rest * spread / DRAWS
    loss["agrees"] = top == rows["top"]
    loss["reference"] = rows["target"]
    loss["target"] = logits[np.arange(count), targets] - log_sums
    return loss
