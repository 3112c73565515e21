"""A sentence becomes speech: as long as it should be, loud, and the same each time."""

import json
import shutil

import numpy as np
import pytest

from publicai_edge.engine.voice.check import check
from publicai_edge.engine.voice.folder import CONFIG_FILE, GRAPH_FILE, VoiceFolder
from publicai_edge.engine.voice.piper import _LONGEST, Voice, pieces
from publicai_edge.engine.voice.talker import wave
from publicai_edge.errors import EngineError, ModelError
from publicai_edge.progress import Silent
from tests import voiced


@pytest.fixture
def changed(voice_folder, tmp_path):
    """A copy (of the graph, a link) whose configuration says something else."""

    def change(**values):
        (tmp_path / GRAPH_FILE).symlink_to(voice_folder / GRAPH_FILE)
        told = json.loads((voice_folder / CONFIG_FILE).read_text("utf-8"))
        (tmp_path / CONFIG_FILE).write_text(json.dumps(told | values))
        return tmp_path

    return change


def test_a_sentence_is_spoken_in_a_sensible_time_and_loudly(talker):
    sound = voiced.samples(talker.speak(voiced.SENTENCE))
    assert 1 < len(sound) / voiced.RATE < 4
    assert 0.85 < np.abs(sound).max() <= 0.91
    assert 0.02 < np.sqrt((sound**2).mean()) < 0.4


def test_the_same_sentence_sounds_the_same(talker, voice_folder):
    first = talker.speak(voiced.SENTENCE)
    assert talker.speak("Something else.") != first
    assert talker.speak(voiced.SENTENCE) == first


def test_a_longer_sentence_takes_longer(talker):
    short, longer = (len(talker.speak(text)) for text in ("The library.", "The library opens at nine."))
    assert longer > 1.4 * short


@pytest.mark.parametrize("text", ["", " ", "...", "\u200b", "図書館"])
def test_what_cannot_be_said_is_a_short_silence(talker, text):
    sound = voiced.samples(talker.speak(text))
    assert 0 < len(sound) < voiced.RATE / 2
    assert not sound.any()


def test_long_texts_are_spoken_in_pieces_of_bounded_length():
    text = " ".join(["wɜd"] * 400)
    found = pieces(text)
    assert " ".join(found) == text
    assert max(map(len, found)) <= _LONGEST + 10
    assert len(pieces(", ".join(["wɜd " * 30] * 4))) == 4
    assert pieces("") == []


def test_signs_that_the_voice_does_not_know_are_left_out(talker):
    numbers = talker.voice.folder.numbers
    assert numbers("a\u4e00b") == numbers("ab")
    assert numbers("^$_") == numbers("")


def test_a_wave_file_clips_and_holds_no_noise_of_numbers_that_are_none():
    sound = np.array([0, 2, -2, np.nan, np.inf], np.float32)
    assert list(voiced.samples(bytes(wave(sound, 22_050))).round(2)) == [0, 0.9, -0.9, 0, 0.9]


def test_a_graph_that_fails_tells_no_text(talker, monkeypatch):
    class Failing:
        def run(self, *_):
            raise RuntimeError("what was read")

    monkeypatch.setattr(talker.voice, "_session", Failing())
    with pytest.raises(EngineError, match="RuntimeError") as caught:
        talker.speak(voiced.SENTENCE)
    assert "what was read" not in str(caught.value.to_json())


# --- what a folder must hold -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"phoneme_type": "text"}, "'text', not phonemes of espeak-ng"),
        ({"phoneme_id_map": {}}, "phoneme_id_map lacks"),
        ({"phoneme_id_map": {"_": ["x"]}}, "no number"),
        ({"audio": {"sample_rate": 1}}, "sample_rate"),
        ({"audio": None}, "not the configuration of a Piper voice"),
        ({"inference": {"length_scale": 0}}, "length_scale"),
    ],
)
def test_a_configuration_of_another_kind_is_refused(changed, values, words):
    with pytest.raises(ModelError, match=words):
        VoiceFolder.open(changed(**values))


def test_a_folder_with_no_voice_or_two_is_refused(tmp_path):
    with pytest.raises(ModelError, match="it holds none"):
        VoiceFolder.open(tmp_path)
    (tmp_path / "a.onnx").touch()
    with pytest.raises(ModelError, match=r"lacks a\.onnx\.json"):
        VoiceFolder.open(tmp_path)
    (tmp_path / "b.onnx").touch()
    with pytest.raises(ModelError, match=r"a\.onnx, b\.onnx"):
        VoiceFolder.open(tmp_path)


def test_a_voice_speaks_its_own_language(voice_folder):
    folder = VoiceFolder.open(voice_folder)
    assert [folder.speaks(tag) for tag in ("en", "en-GB", "es", "eng")] == [True, True, False, False]


def test_a_graph_of_another_kind_is_refused(voice_folder, tmp_path):
    import onnx
    from onnx import TensorProto, helper

    shutil.copyfile(voice_folder / CONFIG_FILE, tmp_path / CONFIG_FILE)
    kind = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1])
    out = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Abs", ["input"], ["output"])], "abs", [kind], [out])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), tmp_path / GRAPH_FILE
    )
    with pytest.raises(ModelError, match="another kind"):
        Voice.open(tmp_path)
    (tmp_path / GRAPH_FILE).write_bytes(b"no graph")
    with pytest.raises(ModelError, match="cannot load"):
        Voice.open(tmp_path)


# --- at build ----------------------------------------------------------------------------------------------------


def test_a_voice_that_speaks_passes_and_tells_how_long_it_took(voice_folder):
    found = check(voice_folder, "joe", voiced.SENTENCE, Silent())
    assert 1 < found.seconds < 4
    assert found.peak_rss_bytes > 50 << 20


def test_a_voice_that_takes_far_too_long_over_a_sentence_is_refused(voice_folder, changed):
    folder = changed(inference={"length_scale": 4})
    for name in ("lexicon.txt", "words.txt", "guesser.json", "states.npy", "transitions.npy"):
        shutil.copyfile(voice_folder / name, folder / name)
    with pytest.raises(ModelError, match=r"joe takes \d+\.\d+ s for a sentence"):
        check(folder, "joe", voiced.SENTENCE, Silent())
