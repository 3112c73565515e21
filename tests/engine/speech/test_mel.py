"""What the model reads of a recording is what its makers' own code makes of it."""

import numpy as np
import pytest

from publicai_edge.engine.speech import SAMPLE_RATE
from publicai_edge.engine.speech.mel import FRAMES, _fourier, log_mel


def noise(seconds: float) -> np.ndarray:
    drawn = np.random.default_rng(7)
    length = int(seconds * SAMPLE_RATE)
    tone = np.sin(2 * np.pi * np.cumsum(np.linspace(100, 7000, length)) / SAMPLE_RATE)
    return (0.3 * tone + 0.05 * drawn.standard_normal(length)).astype(np.float32)


@pytest.mark.parametrize("bands", [80, 128])
@pytest.mark.parametrize("seconds", [0.01, 0.5, 7.3, 29.99, 30.0])
def test_the_features_are_those_of_transformers(bands, seconds):
    from transformers import WhisperFeatureExtractor

    theirs = WhisperFeatureExtractor(feature_size=bands)
    sound = noise(seconds)
    expected = theirs(sound, sampling_rate=SAMPLE_RATE, return_tensors="np").input_features[0]
    found = log_mel(sound, bands)
    assert found.shape == expected.shape == (bands, FRAMES)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-4


def test_silence_and_nothing_have_features_too():
    assert np.ptp(log_mel(np.zeros(SAMPLE_RATE, np.float32))) == 0
    assert np.array_equal(log_mel(np.zeros(0, np.float32)), log_mel(np.zeros(SAMPLE_RATE, np.float32)))


def test_what_is_beyond_thirty_seconds_is_left_out():
    sound = noise(31)
    assert np.array_equal(log_mel(sound), log_mel(sound[: 30 * SAMPLE_RATE]))


@pytest.mark.parametrize("length", [1, 2, 7, 30, 400])
def test_the_transform_is_numpys(length):
    values = np.random.default_rng(length).standard_normal((3, length)) + 0j
    assert np.allclose(_fourier(values), np.fft.fft(values))
