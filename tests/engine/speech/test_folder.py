"""What the model's folder must hold, and which languages it knows."""

import json
import shutil

import pytest

from publicai_edge.engine.speech.folder import FILES, SpeechFolder
from publicai_edge.errors import ModelError


@pytest.fixture
def changed(speech_folder, tmp_path):
    """A copy (of links) with another JSON file in it."""

    def change(name, **values):
        target = tmp_path / "changed"
        shutil.copytree(speech_folder, target, dirs_exist_ok=True)
        data = json.loads((target / name).read_text()) | values
        (target / name).unlink()
        (target / name).write_text(json.dumps(data))
        return target

    return change


@pytest.mark.parametrize(
    ("tag", "name"),
    [("en", "en"), ("pt-BR", "pt"), ("zh-Hans", "zh"), ("nb", "no"), ("nn", "nn"), ("jv", "jw"), ("rw", None)],
)
def test_a_language_is_found_under_whispers_name(speech_folder, tag, name):
    assert SpeechFolder.open(speech_folder).language(tag) == name


def test_of_the_bundles_languages_those_that_are_known_are_told(speech_folder):
    assert SpeechFolder.open(speech_folder).known(["en", "rw", "sw", "zh-Hans"]) == ("en", "sw", "zh-Hans")


@pytest.mark.parametrize("name", FILES)
def test_a_folder_that_lacks_a_file_is_refused_by_its_name(speech_folder, tmp_path, name):
    target = shutil.copytree(speech_folder, tmp_path / "copy")
    (target / name).unlink()
    with pytest.raises(ModelError, match=name):
        SpeechFolder.open(target)


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("config.json", {"model_type": "bert"}, "not a Whisper model"),
        ("config.json", {"num_mel_bins": 81}, "num_mel_bins"),
        ("config.json", {"vocab_size": "many"}, "no number"),
        ("generation_config.json", {"lang_to_id": None}, "several languages"),
        ("generation_config.json", {"lang_to_id": {"<|en|>": 10**9}}, "no number"),
        ("generation_config.json", {"suppress_tokens": [-1]}, "no number"),
        ("preprocessor_config.json", {"sampling_rate": 8000}, "sampling_rate"),
    ],
)
def test_a_model_of_another_kind_is_refused(changed, name, values, words):
    with pytest.raises(ModelError, match=words):
        SpeechFolder.open(changed(name, **values))


def test_what_is_no_json_is_refused(speech_folder, tmp_path):
    target = shutil.copytree(speech_folder, tmp_path / "copy")
    for text in ("[" * 100_000, "[1]", "\udcff".encode("utf-8", "surrogatepass").decode("latin-1")):
        (target / "config.json").unlink()
        (target / "config.json").write_text(text, "latin-1")
        with pytest.raises(ModelError, match=r"config\.json"):
            SpeechFolder.open(target)
