"""From single tokens to the figures of a language, each with a 95 % interval.

The interval is a percentile bootstrap over documents (Efron, 1979): documents are drawn with replacement, all of a
document's tokens at once, because tokens of one text are not independent. Quantiles are those of the tokens of all
drawn documents together, interpolated as numpy does.

Invariants: the same tokens and seed give the same figures; an interval holds its estimate.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from publicai_edge.evaluate.result import Interval, LanguageLoss

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 1000
FEW_DOCUMENTS = 5
_TAIL = 0.025
_SPAN = 256


def summarise(
    language: str,
    losses: "NDArray[Any]",
    document_of: "NDArray[np.int64]",
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> LanguageLoss:
    """Return a language's figures.

    Args:
        language: its tag.
        losses: :data:`publicai_edge.evaluate.likelihood.LOSS` of each scored token, at least one.
        document_of: the document of each, any numbers.
        resamples: how often documents are drawn.
        seed: of the draws.
    """
    _, place = np.unique(document_of, return_inverse=True)
    documents = int(place.max()) + 1
    random = np.random.default_rng(seed)
    drawn = random.multinomial(documents, np.full(documents, 1 / documents), size=resamples)
    weights = np.concatenate([np.ones((1, documents), np.int64), drawn])  # the first row is the estimate itself
    kl = losses["kl"].astype(np.float64)
    worse = losses["reference"].astype(np.float64) - losses["target"]
    tokens = weights @ np.bincount(place)

    def mean(values: "NDArray[np.float64]") -> "NDArray[np.float64]":
        return np.asarray(weights @ np.bincount(place, values) / tokens)

    quantile = _quantiles(kl, place, weights)
    return LanguageLoss(
        language=language,
        documents=documents,
        tokens=len(losses),
        mean_kl=_interval(mean(kl)),
        median_kl=_interval(quantile(0.5)),
        p99_kl=_interval(quantile(0.99)),
        top_agreement=_interval(mean(losses["agrees"].astype(np.float64))),
        perplexity_ratio=_interval(np.exp(mean(worse))),
        reference_perplexity=float(np.exp(-losses["reference"].mean(dtype=np.float64))),
        perplexity=float(np.exp(-losses["target"].mean(dtype=np.float64))),
    )


def bootstrap_mean(values: "NDArray[np.float64]", *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Return the mean of one value a document, with its interval."""
    count = len(values)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    return _interval(np.concatenate([[values.mean()], drawn @ values / count]))


def note(loss: LanguageLoss) -> str | None:
    """Return what a reader should know of a language's intervals, or None."""
    if loss.documents >= FEW_DOCUMENTS:
        return None
    count = "1 document" if loss.documents == 1 else f"{loss.documents} documents"
    return (
        f"{loss.language} was measured on {count} only: its intervals are too narrow to rely on "
        f"(at least {FEW_DOCUMENTS} are needed, better 30)."
    )


def _interval(values: "NDArray[np.float64]") -> Interval:
    """Return the first value, which is the estimate, with the interval of the others."""
    low, high = np.quantile(values[1:], [_TAIL, 1 - _TAIL])
    value = float(values[0])
    return Interval(value, min(float(low), value), max(float(high), value))


def _quantiles(
    values: "NDArray[np.float64]", place: "NDArray[np.int64]", weights: "NDArray[np.int64]"
) -> Callable[[float], "NDArray[np.float64]"]:
    """Return a function that gives a quantile of ``values``, repeated by their document's weight, for every weighting.

    The sorted values are cut into spans; how many each span weighs is one matrix product, and only the span that
    holds the quantile is looked into.
    """
    order = np.argsort(values, kind="stable")
    values, place = values[order], place[order]
    spans = -(-len(values) // _SPAN)
    held = np.zeros((weights.shape[1], spans))
    np.add.at(held, (place, np.arange(len(values)) // _SPAN), 1)
    ends = np.cumsum(weights @ held, axis=1)

    def at(rank: "NDArray[np.int64]") -> "NDArray[np.float64]":
        """Return the value at a rank from 0 on, one for every weighting."""
        span = np.minimum((ends <= rank[:, None]).sum(axis=1), spans - 1)
        before = np.where(span > 0, np.take_along_axis(ends, np.maximum(span - 1, 0)[:, None], 1)[:, 0], 0)
        index = span[:, None] * _SPAN + np.arange(_SPAN)
        inside = np.minimum(index, len(values) - 1)
        weight = np.take_along_axis(weights, place[inside], 1) * (index < len(values))
        within = (before[:, None] + np.cumsum(weight, axis=1) > rank[:, None]).argmax(axis=1)
        return np.asarray(values[np.take_along_axis(inside, within[:, None], 1)[:, 0]])

    def quantile(share: float) -> "NDArray[np.float64]":
        last = ends[:, -1] - 1
        exact = share * last
        low = np.floor(exact).astype(np.int64)
        high = np.minimum(low + 1, last.astype(np.int64))
        return np.asarray(at(low) + (exact - low) * (at(high) - at(low)))

    return quantile
