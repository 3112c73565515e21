import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publicai_edge.knowledge.sentences import count_words, split_sentences, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [("", 0), ("one", 1), ("two  words", 2), ("图书馆", 2), ("图书馆 opens 九点", 4), ("도서관 시간", 2)],
)
def test_words_are_counted_in_any_script(text, words):
    assert count_words(text) == words


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ('He said "stop." Then he left.', ['He said "stop."', "Then he left."]),
        ("Ask Dr. Weir, e.g. by mail. It costs 0.50 euros.", ["Ask Dr. Weir, e.g. by mail.", "It costs 0.50 euros."]),
        ("门开了。请进！几点？", ["门开了。", "请进！", "几点？"]),  # noqa: RUF001
        ("متى تفتح؟ غدا.", ["متى تفتح؟", "غدا."]),
        ("यह पुस्तकालय है। यह खुला है।", ["यह पुस्तकालय है।", "यह खुला है।"]),
        ("no end at all", ["no end at all"]),
    ],
)
def test_sentences_end_where_the_script_ends_them(text, sentences):
    assert split_sentences(text) == sentences


@given(st.text())
def test_sentences_lose_nothing_but_spaces(text):
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())


@given(st.text(max_size=2000), st.integers(1, 20))
def test_parts_lose_nothing_but_spaces_and_keep_the_limit(text, limit):
    parts = split_words(text, limit)
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert all(count_words(part) <= limit for part in parts)


def test_a_word_without_end_is_cut():
    assert max(map(len, split_words("x" * 10_000, 10))) <= 300


def test_a_long_document_of_doubtful_sentences_takes_no_longer_than_its_length():
    text = "e.g. a. b. c. " * 100_000
    started = time.process_time()
    assert split_words(split_sentences(text)[0], 120)
    assert time.process_time() - started < 10
