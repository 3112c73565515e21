"""The process that reads aloud: started when it is needed, ended when it is not, and nothing left of what it read.

What it shares with dictation's is shown in ``tests/engine/speech/test_recognizer.py``.
"""

import threading
import time
from pathlib import Path

import pytest

from publicai_edge.engine.ondemand.client import Limits
from publicai_edge.engine.voice.speaker import Speaker
from publicai_edge.errors import EngineError
from tests import voiced
from tests.service import canary


@pytest.fixture(scope="module")
def speaker(voice_folder):
    held = Speaker({"en": voice_folder})
    yield held
    held.close()


def test_it_starts_with_the_first_sentence_and_stays_for_the_next(voice_folder):
    speaker = Speaker({"en": voice_folder}, Limits(idle_seconds=0.5))
    assert speaker.pid is None
    first = speaker.speak(voiced.SENTENCE, "en")
    pid = speaker.pid
    assert len(voiced.samples(first)) > voiced.RATE
    assert speaker.speak(voiced.SENTENCE, "en") == first
    assert speaker.pid == pid
    end = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < end, "it ends by itself"
        time.sleep(0.02)
    assert speaker.pid is None
    speaker.close()
    with pytest.raises(EngineError, match="closed"):
        speaker.speak(voiced.SENTENCE, "en")


def test_one_that_is_stopped_over_a_sentence_tells_so_and_not_what_it_was(speaker):
    speaker.speak("Hello.", "en")
    threading.Timer(0.05, speaker.stop).start()
    with pytest.raises(EngineError, match="The process that reads aloud was ended by SIGKILL") as caught:
        speaker.speak(f"{voiced.SENTENCE} " * 30, "en")
    assert "library" not in str(caught.value.to_json())
    assert speaker.speak(voiced.SENTENCE, "en")


def test_a_folder_that_is_no_voice_is_told_and_the_process_goes_on(voice_folder, tmp_path):
    speaker = Speaker({"en": voice_folder, "es": tmp_path})
    with pytest.raises(EngineError, match=r"lexicon\.txt"):
        speaker.speak("Hola.", "es")
    assert speaker.speak("Hello.", "en")
    speaker.close()


def test_nothing_of_what_was_read_stays_in_its_memory(speaker):
    word = canary.draw()
    wave = speaker.speak(f"The secret is {word} among the books.", "en")
    speaker.scrub()
    needles = {"text": word.encode()[10:30], "rest": b"among the books", "sound": voiced.piece(wave)}
    assert canary.in_memory(speaker.pid, needles) == {}
