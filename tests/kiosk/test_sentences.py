"""The streamed answer is cut where sentences end, and loses its marks and nothing else."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publicai_edge.kiosk.sentences import SentenceEnd, SentenceReader, Text


def read(pieces: list[str]) -> tuple[str, list[SentenceEnd]]:
    reader = SentenceReader()
    events = [event for piece in pieces for event in reader.feed(piece)] + reader.finish()
    text = "".join(event.text for event in events if isinstance(event, Text))
    return text, [event for event in events if isinstance(event, SentenceEnd)]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One thing. Another thing.", ["One thing.", "Another thing."]),
        ("It opens at 9 a.m. and closes at 6 p.m. Bring a card.", None),
        ("It costs 3.50 a day. Really!", ["It costs 3.50 a day.", "Really!"]),
        ("Ask Dr. Miller. She knows.", ["Ask Dr. Miller.", "She knows."]),
        ("Zimmer Nr. Drei, z. B. oben. Bitte klopfen.", ["Zimmer Nr. Drei, z. B. oben.", "Bitte klopfen."]),
        ("Demandez à Mme Petit. Voyez av. Foch.", ["Demandez à Mme Petit.", "Voyez av. Foch."]),
        ("Бібліотека ім. Лесі Українки. Вул. Нова, 5.", ["Бібліотека ім. Лесі Українки.", "Вул. Нова, 5."]),
        ("डॉ. वर्मा से पूछें। वे जानते हैं।", ["डॉ. वर्मा से पूछें।", "वे जानते हैं।"]),
        ("1. Bring a card.\n2. Bring a book.", ["1. Bring a card.", "2. Bring a book."]),
        ('He said "yes." Then he left', ['He said "yes."', "Then he left"]),
        ("图书馆开门。周日关门。", ["图书馆开门。", "周日关门。"]),
        ("هل المكتبة مفتوحة؟ نعم.", ["هل المكتبة مفتوحة؟", "نعم."]),
    ],
)
def test_sentences_end_where_a_reader_says_they_do(text: str, sentences: list[str] | None) -> None:
    wanted = sentences or ["It opens at 9 a.m. and closes at 6 p.m.", "Bring a card."]
    shown, ends = read(list(text))
    assert shown == text
    assert [end.text for end in ends] == wanted
    assert [text[end.start : end.end] for end in ends] == wanted


@pytest.mark.parametrize("text", ["Open at nine [1]. Closed [2, 3].", "Open at nine. [1] Closed. [2,3]"])
def test_marks_leave_the_text_and_stay_with_their_sentence(text: str) -> None:
    shown, ends = read(list(text))
    assert shown == "Open at nine. Closed."
    assert [end.marks for end in ends] == [{1}, {2, 3}]


def test_brackets_that_are_no_marks_stay() -> None:
    assert read(["See [the list] and a[0", "] x [12"])[0].startswith("See [the list] and a")
    assert read(["A [", "note] here."])[0] == "A [note] here."
    assert read(["It ends with ["])[0] == "It ends with ["


def test_text_is_shown_as_soon_as_it_cannot_be_a_mark() -> None:
    reader = SentenceReader()
    assert reader.feed("The") == [Text("The")]
    assert reader.feed(" library") == [Text(" library")]
    assert reader.feed(" [") == []
    assert reader.feed("1]") == []
    assert reader.feed(" opens") == [Text(" opens")]


@given(st.lists(st.text(alphabet="aB1 .[],\n。!", max_size=8), max_size=20))
def test_the_text_is_the_answer_without_its_marks_however_it_is_cut(pieces: list[str]) -> None:
    shown, ends = read(pieces)
    whole = "".join(pieces)
    assert (shown, ends) == read([whole])
    assert re.sub(r"\s", "", shown) == re.sub(r"\[\s*\d{1,2}(\s*[,;]\s*\d{1,2})*\s*\]|\s", "", whole)
    assert all(shown[end.start : end.end].strip() == end.text for end in ends)
