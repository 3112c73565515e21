"""Words are said as the lexicon says, others by guessing, and pauses stand behind words."""

# ruff: noqa: RUF001 - the IPA's own letters

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publicai_edge.engine.voice.pronunciation import SPELLED


def test_a_word_of_the_lexicon_is_said_as_it_stands_there(pronunciation):
    assert pronunciation.phonemes(["The", "LIBRARY", "."]) == "ðə lˈaɪbɹɛɹi."
    assert pronunciation.knows("Library")


def test_another_word_is_guessed(pronunciation):
    assert not pronunciation.knows("librarify")
    assert pronunciation.word("librarify").startswith("l")


def test_accents_that_the_lexicon_does_not_have_are_left_out(pronunciation):
    assert pronunciation.word("naïve") == pronunciation.word("naive") == pronunciation.word("nai\u0308ve")


def test_a_spelled_letter_has_its_name(pronunciation):
    assert pronunciation.word(f"{SPELLED}B") == "bˈiː"
    assert pronunciation.word(f"{SPELLED}A") != pronunciation.word("a")


@pytest.mark.parametrize("tokens", [[], ["."], [",", "."], ["図書館"], ["図書館", "."]])
def test_what_cannot_be_said_is_nothing(pronunciation, tokens):
    assert pronunciation.phonemes(tokens) == ""


def test_of_several_pauses_one_is_kept(pronunciation):
    assert pronunciation.phonemes(["a", ",", ".", "!", "a"]) == "ɐ, ɐ"


@given(st.lists(st.text(min_size=1, max_size=8), max_size=6))
def test_any_words_give_phonemes_without_tabs_or_lines(pronunciation, tokens):
    assert not set("\t\n") & set(pronunciation.phonemes(tokens))
