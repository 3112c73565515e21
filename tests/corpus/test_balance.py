"""Every language brings about the same number of tokens."""

import pytest

from publicai_edge.corpus import Corpus, balanced
from publicai_edge.errors import RecipeError
from tests.corpus.conftest import TEN


def test_the_smallest_language_sets_the_amount(ten: Corpus):
    found = balanced(ten, len)
    assert found.amount == sum(len(document.text) for document in ten.of("zh"))
    assert found.tokens["zh"] == found.amount and found.left_out["zh"] == 0
    for language in TEN:
        assert 0.9 * found.amount < found.tokens[language] <= found.amount
    assert any(note.startswith("zh has the fewest tokens") for note in found.notes)
    assert any("texts in en are left out" in note for note in found.notes)


def test_tokens_are_what_the_caller_counts(ten: Corpus):
    found = balanced(ten, lambda text: len(text.encode()), 3_000)
    assert found.amount == 3_000
    for language in TEN:
        assert found.tokens[language] == sum(len(d.text.encode()) for d in found.corpus.of(language)) <= 3_000


def test_no_text_is_taken_twice(corpus):
    found = balanced(corpus(("a", "en", "One two."), ("b", "en", "one  two."), ("c", "en", "Three.")), len, 1_000)
    assert len(found.corpus.digests) == len(found.corpus.documents) == 2


def test_languages_alternate_from_beginning_to_end(ten: Corpus):
    documents = balanced(ten, len).corpus.documents
    brought = dict.fromkeys(TEN, 0)
    totals = {language: sum(len(d.text) for d in documents if d.language == language) for language in TEN}
    for number, document in enumerate(documents, 1):
        brought[document.language] += len(document.text)
        if number == len(documents) // 2:
            assert all(0.25 < brought[language] / totals[language] < 0.75 for language in TEN)


def test_a_limit_no_language_reaches_is_told(ten: Corpus):
    found = balanced(ten, len, 20_000)
    assert set(found.left_out.values()) == {0}
    assert any(note.startswith("zh brings 2,670 of 20,000 tokens: its texts hold no more") for note in found.notes)


def test_a_language_of_long_texts_only_brings_its_shortest(corpus):
    found = balanced(corpus(("a", "en", "x" * 900), ("b", "en", "x" * 700), ("c", "sw", "y" * 50)), len)
    assert found.tokens == {"en": 700, "sw": 50}


def test_it_is_the_same_every_time(ten: Corpus):
    turned = ten.where(reversed(ten.documents))
    one, two = balanced(ten, len, 2_000).corpus, balanced(turned, len, 2_000).corpus
    assert {str(d) for d in one.documents} == {str(d) for d in two.documents}


def test_no_text_and_no_tokens_are_refused(corpus):
    with pytest.raises(RecipeError, match="no calibration text in any language"):
        balanced(Corpus((), ()), len)
    with pytest.raises(RecipeError, match="no calibration text in en"):
        balanced(corpus(("a", "en", "One.")), lambda text: 0)
    with pytest.raises(RecipeError, match="expected at least 1, found 0"):
        balanced(corpus(("a", "en", "One.")), len, 0)
