"""Numbers, times, amounts, signs and spelled letters become words, and every text becomes words and pauses."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publicai_edge.engine.voice.pronunciation import MARKS, SPELLED

SAID = {
    "It is 9.": "It is nine .",
    "0": "zero",
    "21 books": "twenty one books",
    "1,234,567": "one million two hundred and thirty four thousand five hundred and sixty seven",
    "5000": "five thousand",
    "1234567890": "one two three four five six seven eight nine zero",
    "007": "zero zero seven",
    "3.14": "three point one four",
    "in 1948": "in nineteen forty eight",
    "1st and 22nd": "first and twenty second",
    "10:30": "ten thirty",
    "09:00": "nine o'clock",
    "25:99": "two five nine nine",
    "9-17, 9–17": "nine to seventeen , nine to seventeen",  # noqa: RUF001
    "555-1234": "five hundred and fifty five twelve thirty four",
    "-5": "minus five",
    "$3.50": "three dollars fifty",
    "€1": "one euro",
    "20 £": "twenty pounds",
    "10%": "ten percent",
    "A & B": "A and B",
    "Dr. Smith": "doctor Smith",
    "9 a.m.": "nine ~a ~m",
    "the UDHR": "the ~U ~D ~H ~R",
    "THE UDHR": "THE UDHR",
    "www.library.org": "w w w dot library dot org",
    "One. Two": "One . Two",
    "well-known": "well known",
    "it\u2019s": "it's",
    "٣ كتب": "three كتب",
    "\u0661\u0662\u066b\u0665": "twelve point five",
    "5pm": "five pm",
}


@pytest.mark.parametrize("text", SAID)
def test_it_is_said_in_words(reader, text):
    assert " ".join(reader.tokens(text)).replace(SPELLED, "~") == SAID[text]


def test_what_marks_mean_in_numbers_is_the_languages_own(pronunciation, monkeypatch):
    from publicai_edge.engine.voice.normal import Reader

    german = {"mark:decimal": ",", "mark:group": ".", "name:point": "Komma", "1": "eins", "1000": "tausend"}
    monkeypatch.setattr(pronunciation, "words", type("Words", (), {"find": staticmethod(german.get)}))
    assert Reader(pronunciation).tokens("1,1") == ["eins", "Komma", "eins"]
    assert Reader(pronunciation).tokens("1.000") == ["tausend"]


@given(st.text(max_size=60))
def test_every_text_becomes_words_letters_and_pauses(reader, text):
    for token in reader.tokens(text):
        letters = token.removeprefix(SPELLED)
        assert token in MARKS or re.fullmatch(r"[^\W\d_].*", letters), token
        assert not re.search(r"[\d\s]", token), token
