"""Medians with their intervals, and the ratio of two sets of samples with its own.

Timings have long tails and no known distribution, so everything here goes by ranks and asks for none:

- a median's interval lies between two order statistics, by the binomial distribution (Conover, *Practical
  Nonparametric Statistics*, 3.2);
- the ratio of two sets is the Hodges-Lehmann estimate on logarithms, the median of all pairwise ratios, and its
  interval inverts the exact Mann-Whitney test (Hollander, Wolfe, Chicken, *Nonparametric Statistical Methods*, 4.3);
- of things measured in pairs, the ratio is the median of the means of every two pairs' ratios, on logarithms, and its
  interval inverts the exact signed-rank test of Wilcoxon (the same book, 3.3).

Invariants: an interval holds its estimate; where there are too few samples for the confidence asked for, it is
infinite, never narrower than it may be.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist, median

_EXACT = 40  # samples a side; beyond, the normal approximation is good to far more digits than timings have


@dataclass(frozen=True)
class Estimate:
    """A value, and the interval that holds the true one with the confidence asked for."""

    value: float
    low: float
    high: float

    @property
    def spread(self) -> float:
        """How far the interval reaches from the value, as a share of it; infinite where the value is 0."""
        return max(self.high - self.value, self.value - self.low) / self.value if self.value else math.inf


def middle(samples: Sequence[float], confidence: float = 0.95) -> Estimate:
    """Return the median of at least one sample, with its interval.

    Args:
        samples: positive numbers.
        confidence: at least so sure is the interval.
    """
    ordered = sorted(samples)
    outside = _ranks_outside(_binomial_half(len(ordered)), (1 - confidence) / 2)
    value = median(ordered)
    if not outside:
        return Estimate(value, 0.0, math.inf)
    return Estimate(value, ordered[outside - 1], ordered[-outside])


def ratio(before: Sequence[float], after: Sequence[float], confidence: float = 0.95) -> Estimate:
    """Return ``after`` over ``before``, with its interval.

    Args:
        before: positive samples, in any order.
        after: as many or not.
        confidence: at least so sure is the interval.
    """
    logs = sorted(math.log(b) - math.log(a) for a in before for b in after)
    value = math.exp(median(logs))
    tail = (1 - confidence) / 2
    outside = _outside(len(before), len(after), tail)
    if not outside:
        return Estimate(value, 0.0, math.inf)
    return Estimate(value, math.exp(logs[outside - 1]), math.exp(logs[-outside]))


def paired(ratios: Sequence[float], confidence: float = 0.95) -> Estimate:
    """Return the ratio of two things that were measured side by side, with its interval.

    Args:
        ratios: of each pair, in any order.
        confidence: at least so sure is the interval.
    """
    logs = [math.log(value) for value in ratios]
    means = sorted((first + second) / 2 for place, first in enumerate(logs) for second in logs[place:])
    value = math.exp(median(means))
    outside = _ranks_outside(_subset_sums(len(logs)), (1 - confidence) / 2)
    if not outside:
        return Estimate(value, 0.0, math.inf)
    return Estimate(value, math.exp(means[outside - 1]), math.exp(means[-outside]))


def fewest_pairs_for(confidence: float) -> int:
    """Return how many pairs :func:`paired` needs for an interval of this confidence."""
    count = 2
    while not _ranks_outside(_subset_sums(count), (1 - confidence) / 2):
        count += 1
    return count


def fewest_for(confidence: float) -> int:
    """Return how many samples a side :func:`ratio` needs for an interval of this confidence."""
    count = 2
    while not _outside(count, count, (1 - confidence) / 2):
        count += 1
    return count


def _outside(first: int, second: int, tail: float) -> int:
    """Return how many of the pairwise values lie below the interval, and above it, at most with the chance ``tail``."""
    if max(first, second) > _EXACT:
        deviation = math.sqrt(first * second * (first + second + 1) / 12)
        return max(0, math.floor(first * second / 2 + NormalDist().inv_cdf(tail) * deviation))
    return _ranks_outside(_arrangements(first, second), tail)


def _ranks_outside(counts: Sequence[int], tail: float) -> int:
    """Return the largest k for which the chance of a statistic below k is at most ``tail``."""
    total, below = sum(counts), 0
    for k, count in enumerate(counts):
        below += count
        if below > tail * total:
            return k
    return len(counts)


@cache
def _binomial_half(count: int) -> tuple[int, ...]:
    return tuple(math.comb(count, k) for k in range(count + 1))


@cache
def _arrangements(first: int, second: int) -> tuple[int, ...]:
    """Return, for each value of Mann and Whitney's U, in how many orders of the samples it has that value.

    They are the coefficients of the Gaussian binomial, made factor by factor: times (1 - x^(second + i)), over
    (1 - x^i), for i from 1 to ``first``.
    """
    size = first * second + 1
    counts = [1] + [0] * (size - 1)
    for i in range(1, first + 1):
        for place in range(size - 1, second + i - 1, -1):
            counts[place] -= counts[place - second - i]
        for place in range(i, size):
            counts[place] += counts[place - i]
    return tuple(counts)


@cache
def _subset_sums(count: int) -> tuple[int, ...]:
    """Return, for each value of Wilcoxon's W, in how many of all choices of signs it has that value."""
    counts = [1] + [0] * (count * (count + 1) // 2)
    for rank in range(1, count + 1):
        for place in range(len(counts) - 1, rank - 1, -1):
            counts[place] += counts[place - rank]
    return tuple(counts)


def is_steady(samples: Sequence[float], within: float) -> bool:
    """Say whether the median of these is known to a share ``within`` of itself, with 95 % confidence."""
    return middle(samples).spread <= within
