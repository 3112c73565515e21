"""A source mark claims wording, numbers, times and names; these tests say where it must and must not appear."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publicai_edge.kiosk.attribution import attribute, wording

HOURS = "Opening hours. The library opens at 9 a.m. and closes at 6 p.m. from Monday to Friday. It is closed on Sunday."
LOANS = "Loan periods. Books may be kept for three weeks and films for one week. A reader may borrow 12 items."
SPANISH = "Los libros se prestan durante tres semanas. La biblioteca abre a las 9:00 y cierra a las 18:30."
CHINESE = "图书馆周一至周五上午9点开门,下午6点关门。"
PASSAGES = [wording(text) for text in (HOURS, LOANS, SPANISH, CHINESE)]


@pytest.mark.parametrize(
    ("sentence", "sources"),
    [
        ("The library opens at 9 a.m. from Monday to Friday.", (1,)),
        ("The library opens at 9:00 and closes at 18:00.", (1,)),
        ("Books can be kept for 3 weeks.", (2,)),
        ("You may borrow 12 items.", (2,)),
        ("1. Books may be kept for three weeks.", (2,)),
        ("Los libros se prestan durante tres semanas.", (3,)),
        ("La biblioteca cierra a las 18:30.", (3,)),
        ("图书馆上午9点开门。", (4,)),
    ],
)
def test_a_sentence_in_a_passages_wording_is_attributed_to_it(sentence: str, sources: tuple[int, ...]) -> None:
    assert attribute(sentence, PASSAGES) == sources


@pytest.mark.parametrize(
    "sentence",
    [
        "The library opens at 8 a.m. from Monday to Friday.",
        "The library opens at 9 p.m. from Monday to Friday.",
        "The library closes at 6 a.m. from Monday to Friday.",
        "Books may be kept for four weeks.",
        "A reader may borrow 120 items.",
        "La biblioteca cierra a las 18:45.",
        "图书馆上午8点开门。",
    ],
)
def test_a_number_or_time_that_no_passage_has_is_never_attributed(sentence: str) -> None:
    assert attribute(sentence, PASSAGES, marked={1, 2, 3, 4}) == ()


@pytest.mark.parametrize(
    ("passage", "same", "other"),
    [
        ("Le prêt dure trois semaines.", "Le prêt dure 3 semaines.", "Le prêt dure quatre semaines."),
        ("O empréstimo dura três semanas.", "O empréstimo dura 3 semanas.", "O empréstimo dura quatro semanas."),
        ("Man leiht Bücher drei Wochen aus.", "Man leiht Bücher 3 Wochen aus.", "Man leiht Bücher vier Wochen aus."),
        ("Книгу беруть на п\u2019ять тижнів.", "Книгу беруть на 5 тижнів.", "Книгу беруть на шість тижнів."),
        ("تُعار الكتب لمدة ثلاثة أسابيع.", "تعار الكتب لمدة 3 أسابيع.", "تعار الكتب لمدة أربعة أسابيع."),
        ("पुस्तकें तीन सप्ताह के लिए दी जाती हैं।", "पुस्तकें 3 सप्ताह के लिए दी जाती हैं।", "पुस्तकें चार सप्ताह के लिए दी जाती हैं।"),
        ("Vitabu huazimwa kwa wiki tatu.", "Vitabu huazimwa kwa wiki 3.", "Vitabu huazimwa kwa wiki nne."),
    ],
    ids=["fr", "pt", "de", "uk", "ar", "hi", "sw"],
)  # fmt: skip
def test_number_words_count_in_the_languages_of_the_page(passage: str, same: str, other: str) -> None:
    passages = [wording(passage)]
    assert attribute(passage, passages) == (1,)
    assert attribute(same, passages) == (1,)
    assert attribute(other, passages, marked={1}) == ()


def test_marks_belong_to_their_word_and_optional_vowels_to_none() -> None:
    assert "पुस्तकालय" in wording("पुस्तकालय खुला है।").words
    assert wording("كِتَابٌ").words == wording("كتاب").words
    assert wording("the library\u2019s hours").words == wording("the library's hours").words


def test_a_name_that_no_passage_has_is_never_attributed() -> None:
    assert attribute("The library opens at 9 a.m. on Saturday.", PASSAGES, marked={1}) == ()
    assert attribute("The library closes at 6 p.m., says Miller.", PASSAGES, marked={1}) == ()


@pytest.mark.parametrize("sentence", ["Yes.", "It is.", "", "   ", "9", "Of course, I can help you with anything!"])
def test_a_sentence_that_says_little_or_something_else_has_no_source(sentence: str) -> None:
    assert attribute(sentence, PASSAGES) == ()


def test_the_models_own_mark_lowers_the_bar_but_never_replaces_the_check() -> None:
    loose = "Readers may borrow books generously, free of charge."
    assert attribute(loose, PASSAGES) == ()
    assert attribute("Readers may keep lovely books and films.", PASSAGES, marked={2}) == (2,)
    assert attribute("Parking is behind the town hall.", PASSAGES, marked={2}) == ()


def test_a_mark_that_names_no_passage_is_dropped() -> None:
    assert attribute("Books may be kept for three weeks.", PASSAGES, marked={9, 0}) == (2,)


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_is_taken_apart_without_failing(sentence: str, passage: str) -> None:
    assert attribute(sentence, [wording(passage)]) in {(), (1,)}
