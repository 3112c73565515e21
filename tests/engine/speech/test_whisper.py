"""Speech is written down in the language that was chosen, and what is no speech is not."""

from pathlib import Path

import numpy as np
import pytest

from publicai_edge.engine.speech import SAMPLE_RATE
from publicai_edge.engine.speech.check import check
from publicai_edge.engine.speech.folder import DECODER_FILE, ENCODER_FILE
from publicai_edge.engine.speech.mel import log_mel
from publicai_edge.engine.speech.whisper import Heard, is_loud
from publicai_edge.errors import EngineError, ModelError
from publicai_edge.progress import Silent
from tests import spoken

SAID = {
    "en": (spoken.SENTENCE, "Where can I find books about the history of the town?", "How long may I keep a book?"),
    "es": ("La música de la historia.", "Muchas gracias por la música."),
}
"""In Spanish, sentences that come out at all: of espeak-ng's, the smallest Whisper understands few but in English."""
MOST_WRONG = {
    "en": 0.4,
    "es": 0.7,
}  # in 8 bits other processors round otherwise, which turns words that are at the edge


@pytest.mark.parametrize("language", SAID)
def test_words_of_a_sentence_are_written_down(whisper, language):
    said, wrong = 0, 0
    for text in SAID[language]:
        expected, found = spoken.words(text), spoken.words(whisper.write_down(spoken.say(text, language), language))
        said, wrong = said + len(expected), wrong + spoken.wrong_words(expected, found)
    assert wrong / said <= MOST_WRONG[language], f"{wrong} of {said} words"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("language", SAID)
def test_the_words_are_those_that_transformers_gets_of_the_same_graphs(whisper, speech_folder, language):
    import torch
    from optimum.onnxruntime import ORTModelForSpeechSeq2Seq

    decoder = Path(DECODER_FILE).name
    theirs = ORTModelForSpeechSeq2Seq.from_pretrained(
        speech_folder,
        subfolder="onnx",
        encoder_file_name=Path(ENCODER_FILE).name,
        decoder_file_name=decoder,
        decoder_with_past_file_name=decoder,
        use_merged=True,
    )
    for text in SAID[language]:
        sound = spoken.say(text, language)
        features = torch.from_numpy(log_mel(sound)[None])  # theirs are these to 1e-4, which in 8 bits may turn a word
        (tokens,) = theirs.generate(features, language=language, task="transcribe").tolist()
        expected = whisper._tokenizer.decode(tokens, skip_special_tokens=True).strip()
        assert whisper.hear(sound, language).text == expected


def test_words_have_their_capitals_and_marks(whisper):
    text = whisper.write_down(spoken.say(spoken.SENTENCE), "en")
    assert text[0].isupper()
    assert text[-1] in "?."


@pytest.mark.parametrize("seconds", [0, 0.01, 1, 30])
def test_silence_has_no_words(whisper, seconds):
    assert whisper.write_down(np.zeros(int(seconds * SAMPLE_RATE), np.float32), "en") == ""


def test_a_quiet_room_has_no_words(whisper):
    room = 0.0005 * np.random.default_rng(1).standard_normal(5 * SAMPLE_RATE).astype(np.float32)
    assert not is_loud(room)
    assert whisper.write_down(room, "en") == ""
    assert is_loud(spoken.say(spoken.SENTENCE) / 20)


def test_what_the_model_itself_takes_for_silence_has_no_words():
    assert Heard("Thank you.", 0.9, -1.5).words == ""
    assert Heard("Thank you.", 0.9, -0.2).words == "Thank you."
    assert Heard("When?", 0.1, -1.5).words == "When?"


def test_the_same_recording_gives_the_same_words(whisper):
    sound = spoken.say(spoken.SENTENCE)
    first, other, again = (whisper.hear(piece, "en") for piece in (sound, spoken.say(SAID["en"][1]), sound))
    assert first == again != other


def test_an_unknown_language_is_refused(whisper):
    with pytest.raises(EngineError, match="'rw'"):
        whisper.hear(np.zeros(SAMPLE_RATE, np.float32), "rw")


# --- at build ----------------------------------------------------------------------------------------------------


def test_a_model_that_runs_tells_which_languages_it_knows(speech_folder):
    found = check(speech_folder, "whisper", ["en", "rw", "es"], Silent())
    assert found.languages == ("en", "es")
    assert found.peak_rss_bytes > 50 << 20


def test_a_model_that_knows_none_of_the_languages_is_refused(speech_folder):
    with pytest.raises(ModelError, match=r"whisper knows none of the bundle's languages: rw"):
        check(speech_folder, "whisper", ["rw"], Silent())


@pytest.mark.parametrize("part", ["encoder_model_quantized", "decoder_model_merged_quantized"])
def test_a_damaged_graph_is_refused(speech_folder, tmp_path, part):
    for place in speech_folder.rglob("*"):
        if place.is_file():
            target = tmp_path / place.relative_to(speech_folder)
            target.parent.mkdir(exist_ok=True)
            data = place.read_bytes()
            target.write_bytes(data[: len(data) // 2] if place.stem == part else data)
    with pytest.raises(ModelError, match="onnxruntime cannot load"):
        check(tmp_path, "whisper", ["en"], Silent())


def test_graphs_in_each_others_place_are_refused(speech_folder, tmp_path):
    import shutil

    target = shutil.copytree(speech_folder, tmp_path / "copy")
    encoder, decoder = target / "onnx/encoder_model_quantized.onnx", target / "onnx/decoder_model_merged_quantized.onnx"
    encoder.rename(target / "x")
    decoder.rename(encoder)
    (target / "x").rename(decoder)
    with pytest.raises(ModelError, match="another kind"):
        check(target, "whisper", ["en"], Silent())
