"""Tokens are chosen among those that may come, and a text that goes round in circles ends."""

import numpy as np
import pytest

from publicai_edge.engine.speech.decoding import Chooser, looped, most_tokens, probability
from publicai_edge.engine.speech.folder import SpeechFolder


@pytest.fixture
def chooser(speech_folder):
    return Chooser(SpeechFolder.open(speech_folder))


def test_no_mark_no_time_and_nothing_suppressed_is_chosen(chooser, speech_folder):
    folder = SpeechFolder.open(speech_folder)
    logits = np.zeros(51865, np.float32)
    logits[[folder.end + 1, folder.no_times, 51000, folder.never[0]]] = 9
    logits[folder.not_first[0]] = 5
    logits[1000] = 1
    assert chooser.choose(logits, first=True).token == 1000
    assert chooser.choose(logits, first=False).token == folder.not_first[0]
    logits[folder.end] = 7
    assert chooser.choose(logits, first=False).token == folder.end
    assert -0.1 < chooser.choose(logits * 10, first=False).log_probability <= 0


def test_a_probability_is_among_all():
    assert probability(np.log(np.array([1.0, 2.0, 1.0])), 1) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("tokens", "again"),
    [
        ([1, 2, 3, 4, 5, 6], 0),
        ([9, 9, 9], 0),
        ([7, 9, 9, 9, 9, 9, 9], 5),
        ([1, 2, 3, 4] * 2, 0),
        ([8, *[1, 2, 3, 4] * 3], 8),
        ([1, 2] * 6, 10),
        ([], 0),
    ],
)
def test_what_is_only_said_again_is_counted(tokens, again):
    assert looped(tokens) == again


def test_a_text_is_as_long_as_can_be_said(speech_folder):
    folder = SpeechFolder.open(speech_folder)
    assert most_tokens(0.1, folder, 4) < 30
    assert most_tokens(30, folder, 4) == 224
