"""Calibration and evaluation share nothing."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publicai_edge.corpus import Corpus, Document, Split, check_disjoint, joined, split
from publicai_edge.errors import RecipeError
from tests.corpus.conftest import TEN


def words(count: int, seed: int) -> str:
    """Text that no other seed gives."""
    chosen = random.Random(seed)
    return " ".join("".join(chosen.choices("abdegiklmnoprstuz", k=chosen.randint(2, 9))) for _ in range(count))


def test_the_declaration_is_halved_by_article_in_every_language(ten: Corpus):
    parts = split(ten)
    ids = {document.id for document in parts.calibration.documents}
    assert not ids & {document.id for document in parts.evaluation.documents}
    assert len(parts.calibration.documents) + len(parts.evaluation.documents) == len(ten.documents)
    for language in TEN:
        documents, all_ = parts.calibration.of(language), ten.of(language)
        assert {document.id for document in documents} == ids
        assert 13 <= len(documents) <= 18
        assert 0.4 < sum(len(d.text) for d in documents) / sum(len(d.text) for d in all_) < 0.6


def test_both_sides_hold_beginnings_and_ends(ten: Corpus):
    order = [document.id for document in ten.of("en")]
    for side in (split(ten).calibration, split(ten).evaluation):
        places = [order.index(document.id) for document in side.of("en")]
        assert sum(place < 15 for place in places) >= 5 and sum(place >= 15 for place in places) >= 5


def test_the_split_does_not_depend_on_the_order(ten: Corpus):
    mixed = list(ten.documents)
    random.Random(1).shuffle(mixed)
    again = split(ten.where(mixed))
    assert {str(d) for d in again.calibration.documents} == {str(d) for d in split(ten).calibration.documents}


@pytest.mark.parametrize("share", [0.2, 0.5, 0.75])
def test_the_share_is_kept(corpus, share: float):
    made = corpus(*((f"d{n}", "en", words(60, n)) for n in range(200)))
    assert len(split(made, share).calibration.documents) == pytest.approx(200 * share, abs=6)


@pytest.mark.parametrize("share", [0, 1, -1, float("nan")])
def test_a_share_out_of_range_is_refused(ten: Corpus, share: float):
    with pytest.raises(RecipeError, match="more than 0 and less than 1"):
        split(ten, share)


def test_a_language_with_too_few_texts_is_named(corpus):
    made = corpus(*((f"d{n}", "en", words(60, n)) for n in range(9)), ("x", "sw", words(60, 99)))
    with pytest.raises(RecipeError, match=r"texts in sw cannot serve both.*: there is one document, and") as caught:
        split(made)
    assert "at least two are needed" in caught.value.message
    assert "--no-imatrix" in (caught.value.hint or "")


def test_documents_that_stay_together_count_as_one(corpus):
    shared = words(60, 1)
    made = corpus(*((f"d{n}", "en", f"{shared} {words(30, 10 + n)}") for n in range(3)))
    with pytest.raises(RecipeError, match="its 3 documents share long passages and stay together, and at least two"):
        split(made)
    few = corpus(*((f"d{n}", "en", words(60, n)) for n in range(2)))
    with pytest.raises(RecipeError, match="its 2 documents all came to one side"):
        split(few, 0.01)


def test_without_calibration_texts_that_are_too_few_for_both_sides_all_measure(corpus):
    made = corpus(("x", "sw", words(60, 99)))
    parts = split(made, calibrated=False)
    assert not parts.calibration.documents
    assert parts.evaluation.documents == made.documents
    more = corpus(*((f"d{n}", "en", words(60, n)) for n in range(9)))
    assert split(more, calibrated=False).evaluation == split(more).evaluation, "comparable with a calibrated run"


def test_each_language_of_unrelated_texts_is_shared_out(corpus):
    made = corpus(
        *((f"e{n}", "en", words(60, n)) for n in range(100)), *((f"s{n}", "sw", words(60, 500 + n)) for n in range(6))
    )
    parts = split(made)
    assert len(parts.calibration.of("sw")) == len(parts.evaluation.of("sw")) == 3


def test_translated_files_stay_whole_since_their_parts_need_not_match(corpus):
    made = corpus(
        *((f"a.txt#{n}", "en", words(60, n)) for n in range(4)),
        ("a.txt", "zh", words(60, 10)),
        ("b.txt", "en", words(60, 20)),
        ("b.txt", "zh", words(60, 21)),
    )
    parts = split(made)
    sides = [{d.id.partition("#")[0] for d in side.documents} for side in (parts.calibration, parts.evaluation)]
    assert sorted(map(sorted, sides)) == [["a.txt"], ["b.txt"]]


def test_parts_of_a_text_in_one_language_are_shared_out(corpus):
    made = corpus(*((f"book.txt#{n}", "en", words(60, n)) for n in range(10)))
    assert len(split(made).calibration.documents) == 5


# --- what a Split refuses ---


def refused(calibration: Corpus, evaluation: Corpus) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        Split(calibration, evaluation)
    assert caught.value.hint
    return caught.value


def test_a_translation_of_a_calibration_text_is_refused(ten: Corpus):
    english = ten.where(d for d in ten.of("en") if d.id == "udhr/article-1")
    error = refused(english, ten.where(ten.of("sw")))
    assert "udhr/article-1" in error.message and "en and sw" in error.message


def test_the_same_text_under_another_name_is_refused(corpus):
    error = refused(corpus(("a", "en", "Ask at the desk.")), corpus(("b", "en", "ask at  the desk.")))
    assert "a (en) has the same text as the evaluation text b (en)" in error.message


@pytest.mark.parametrize("language", TEN)
def test_a_copied_paragraph_is_found_in_any_script(ten: Corpus, language: str):
    articles = {document.id: document for document in ten.of(language)}
    copied = max(articles["udhr/preamble"].text.split("\n\n"), key=len)
    around = articles["udhr/article-2"].text, articles["udhr/article-7"].text
    forged = Document("own", language, f"{around[0]}\n\n{copied}\n\n{around[1]}", "own.txt")
    calibration = ten.where([articles["udhr/article-3"], articles["udhr/preamble"]])
    error = refused(calibration, Corpus((forged,), ()))
    assert f"udhr/preamble ({language})" in error.message and f"own ({language})" in error.message
    assert "It begins: '" in error.message
    Split(ten.where([articles["udhr/article-3"]]), Corpus((forged,), ()))


def test_a_copy_with_a_word_changed_here_and_there_is_found(corpus):
    original = words(200, 1).split()
    changed = ["changed" if place % 20 == 19 else word for place, word in enumerate(original)]
    error = refused(corpus(("a", "en", " ".join(original))), corpus(("b", "en", " ".join(changed))))
    assert "shares a long passage" in error.message


def test_a_short_text_inside_a_longer_one_is_found_from_either_side(corpus):
    short, long = words(12, 1), f"{words(100, 2)} {words(12, 1)} {words(100, 3)}"
    refused(corpus(("a", "en", short)), corpus(("b", "en", long)))
    refused(corpus(("a", "en", long)), corpus(("b", "en", short)))


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 150), length=st.integers(24, 60), where=st.integers(0, 100))
def test_a_passage_of_24_words_is_found_wherever_it_stands(at: int, length: int, where: int):
    passage = words(250, 1).split()[at : at + length]
    other = words(150, 2).split()
    one = Corpus((Document("a", "en", words(250, 1), ""),), ())
    two = Corpus((Document("b", "en", " ".join([*other[:where], *passage, *other[where:]]), ""),), ())
    refused(one, two)


def test_a_phrase_in_common_is_no_passage(corpus):
    phrase = words(17, 1)
    Split(
        corpus(("a", "en", f"{words(80, 2)} {phrase} {words(80, 3)}")),
        corpus(("b", "en", f"{words(80, 4)} {phrase} {words(80, 5)}")),
    )


def test_documents_that_share_a_passage_go_to_one_side(corpus):
    common = words(40, 1000)
    made = corpus(*((f"d{n}", "en", words(60, n) + (f" {common}" if n < 4 else "")) for n in range(20)))
    parts = split(made)
    together = {f"d{n}" for n in range(4)}
    assert any(
        together <= {document.id for document in side.documents} for side in (parts.calibration, parts.evaluation)
    )


def test_articles_of_one_declaration_share_no_long_passage(ten: Corpus):
    for document in ten.documents:
        rest = ten.where(other for other in ten.of(document.language) if other.id != document.id)
        Split(ten.where([document]), rest)


def test_a_recorded_calibration_digest_is_found(ten: Corpus):
    parts = split(ten)
    check_disjoint(parts.calibration.digests, parts.evaluation)
    with pytest.raises(RecipeError, match=r"calibrated with udhr/article-\d+ \(en\)"):
        check_disjoint(parts.calibration.digests, ten.where(ten.of("en")))
    with pytest.raises(ValueError, match="not a sha256 digest"):
        check_disjoint(["abc"], ten)


def test_joined_corpora_are_split_together(ten: Corpus, corpus):
    own = corpus(*((f"own{n}", "en", words(60, n)) for n in range(10)))
    parts = split(joined([ten, own]))
    assert 3 <= sum(d.id.startswith("own") for d in parts.calibration.documents) <= 7
