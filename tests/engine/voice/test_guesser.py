"""Words that are in no lexicon are guessed as CRFsuite itself would guess them."""

import base64
import random

import numpy as np
import pytest

from publicai_edge.engine.voice.guesser import FACTS, MOST_LETTERS, STATES, Guesser
from publicai_edge.errors import ModelError
from tests import voiced
from tests.conftest import downloads


@pytest.fixture(scope="module")
def guesser(voice_folder):
    return Guesser.open(voice_folder)


@pytest.fixture(scope="module")
def theirs():
    import pycrfsuite

    tagger = pycrfsuite.Tagger()
    store = downloads()
    tagger.open(str(store.path(voiced.said_files(store).files["g2p/model.crf"])))
    return tagger


def coded(letter: str) -> str:
    return base64.b64encode(letter.encode()).decode()


def features(word: str, at: int) -> dict[str, object]:
    """What gruut's model was trained on."""
    found: dict[str, object] = {"bias": 1.0, "grapheme": coded(word[at])}
    for reach in (-3, -2, -1, 1, 2, 3):
        if 0 <= at + reach < len(word):
            found[f"grapheme{reach:+}"] = coded(word[at + reach])
    return found | ({"begin": True} if at == 0 else {}) | ({"end": True} if at == len(word) - 1 else {})


def tagged(tagger, word: str) -> str:
    labels = tagger.tag([features(word, at) for at in range(len(word))])
    parts = [part for label in labels for part in base64.b64decode(label).decode().split("|")]
    return "".join(part for part in parts if part != "_")


def test_hundreds_of_words_are_guessed_as_crfsuite_does(guesser, theirs):
    drawn = random.Random(7)
    pieces = ["th", "ough", "ing", "er", "str", "ea", "b", "l", "o", "qu", "ä", "x", "e", "m", "tion", "y", "'", "ß"]
    words = {"".join(drawn.choices(pieces, k=drawn.randint(1, 7))) for _ in range(400)}
    assert {word for word in words if guesser.guess(word) != tagged(theirs, word)} == set()
    assert len(words) > 300


def test_what_has_none_of_its_letters_is_not_guessed(guesser):
    assert [guesser.guess(word) for word in ("", "библиотека", "図書館", "\U0001f600")] == [""] * 4
    assert guesser.guess("bиb") != ""


def test_of_a_very_long_word_the_beginning_is_said(guesser):
    assert guesser.guess("ba" * 5000) == guesser.guess("ba" * (MOST_LETTERS // 2))


@pytest.mark.parametrize("damage", [FACTS, STATES])
def test_a_damaged_file_is_refused(voice_folder, tmp_path, damage):
    for name in ("guesser.json", "states.npy", "transitions.npy"):
        (tmp_path / name).write_bytes((voice_folder / name).read_bytes())
    (tmp_path / damage).write_bytes((voice_folder / damage).read_bytes()[:100])
    with pytest.raises(ModelError, match="guesser"):
        Guesser.open(tmp_path)


def test_parts_that_do_not_fit_together_are_refused(voice_folder, tmp_path):
    for name in ("guesser.json", "transitions.npy"):
        (tmp_path / name).write_bytes((voice_folder / name).read_bytes())
    np.save(tmp_path / STATES, np.zeros((3, 3), np.float32))
    with pytest.raises(ModelError, match="do not fit"):
        Guesser.open(tmp_path)
