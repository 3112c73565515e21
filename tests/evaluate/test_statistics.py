"""Figures and intervals of a language."""

import numpy as np
import pytest

from publicai_edge.evaluate import statistics
from publicai_edge.evaluate.likelihood import LOSS


def _losses(documents: int, tokens: int, spread: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    level = 0.1 + spread * random.random(documents)
    document_of = np.repeat(np.arange(documents), tokens)
    losses = np.zeros(documents * tokens, LOSS)
    losses["kl"] = level[document_of] * random.exponential(size=len(losses))
    losses["agrees"] = random.random(len(losses)) < 0.9
    losses["reference"] = -random.random(len(losses))
    losses["target"] = losses["reference"] - 0.1
    return losses, document_of


def test_figures_are_those_of_all_tokens() -> None:
    losses, document_of = _losses(12, 300)
    loss = statistics.summarise("en", losses, document_of)
    kl = losses["kl"].astype(np.float64)
    assert (loss.documents, loss.tokens) == (12, 3600)
    assert loss.mean_kl.value == pytest.approx(kl.mean())
    assert loss.median_kl.value == pytest.approx(np.quantile(kl, 0.5))
    assert loss.p99_kl.value == pytest.approx(np.quantile(kl, 0.99))
    assert loss.top_agreement.value == pytest.approx(losses["agrees"].mean())
    assert loss.perplexity_ratio.value == pytest.approx(np.exp(0.1), rel=1e-5)
    assert loss.perplexity == pytest.approx(loss.reference_perplexity * np.exp(0.1), rel=1e-5)


def test_quantiles_of_weighted_documents_are_those_of_the_tokens_repeated() -> None:
    losses, document_of = _losses(5, 211)
    weights = np.array([[1, 0, 3, 2, 0], [0, 0, 0, 0, 5], [2, 2, 2, 2, 2]])
    quantile = statistics._quantiles(losses["kl"].astype(np.float64), document_of, weights)
    for share in (0.0, 0.5, 0.99, 1.0):
        expected = [np.quantile(np.repeat(losses["kl"], row[document_of]).astype(np.float64), share) for row in weights]
        np.testing.assert_allclose(quantile(share), expected)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    random = np.random.default_rng(5)
    hits = 0
    for trial in range(200):
        values = random.exponential(size=40)
        interval = statistics.bootstrap_mean(values, seed=trial)
        hits += interval.low <= 1.0 <= interval.high
    assert 0.88 <= hits / 200 <= 0.99  # 95 %, less a little that a percentile interval of 40 skewed values lacks


def test_documents_are_drawn_whole() -> None:
    """When documents differ, many tokens of each do not make the interval narrow."""
    losses, document_of = _losses(10, 1000, spread=1.0)
    by_document = statistics.summarise("en", losses, document_of).mean_kl
    by_token = statistics.summarise("en", losses, np.arange(len(losses))[::-1] // 2).mean_kl
    assert by_document.high - by_document.low > 4 * (by_token.high - by_token.low)


def test_same_seed_same_interval_and_one_document_is_noted() -> None:
    losses, document_of = _losses(1, 100)
    first = statistics.summarise("qu", losses, document_of, seed=1)
    assert first == statistics.summarise("qu", losses, document_of, seed=1)
    assert first.mean_kl.low == first.mean_kl.high
    assert "qu was measured on 1 document only" in str(statistics.note(first))
    enough, places = _losses(5, 10)
    assert statistics.note(statistics.summarise("qu", enough, places)) is None
