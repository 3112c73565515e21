"""The process that writes down what is said: started when it is needed, replaced when it dies, ended when it is not."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from publicai_edge.engine.ondemand.client import Limits
from publicai_edge.engine.speech.recognizer import Recognizer
from publicai_edge.errors import EngineError
from publicai_edge.host import usable_cores
from tests import spoken
from tests.service import canary


@pytest.fixture
def recognizer(speech_folder):
    held = Recognizer(speech_folder)
    yield held
    held.close()


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def written(recognizer: Recognizer, text: str = spoken.SENTENCE) -> str:
    return recognizer.write_down(spoken.pcm(spoken.say(text)), "en")


def test_it_starts_with_the_first_recording_and_stays_for_the_next(recognizer):
    assert recognizer.pid is None
    assert "library" in written(recognizer)
    pid = recognizer.pid
    assert "library" in written(recognizer)
    assert recognizer.pid == pid


def test_it_ends_when_nobody_has_spoken_for_a_while(speech_folder, eventually_gone):
    recognizer = Recognizer(speech_folder, Limits(idle_seconds=0.5))
    written(recognizer)
    pid = recognizer.pid
    eventually_gone(pid)
    assert recognizer.pid is None
    assert "library" in written(recognizer)
    recognizer.close()


@pytest.fixture
def eventually_gone():
    def wait(pid):
        end = time.monotonic() + 60
        while is_there(pid):
            assert time.monotonic() < end
            time.sleep(0.02)

    return wait


def test_one_that_dies_is_replaced(recognizer):
    written(recognizer)
    os.kill(recognizer.pid, signal.SIGSEGV)
    time.sleep(0.2)
    assert "library" in written(recognizer)


def test_one_that_is_stopped_over_a_recording_tells_so_and_not_what_was_said(recognizer):
    written(recognizer)
    pid = recognizer.pid
    recording = spoken.pcm(spoken.say(f"{spoken.SENTENCE} " * 4))
    threading.Timer(0.05, recognizer.stop).start()
    with pytest.raises(EngineError, match="SIGKILL") as caught:
        recognizer.write_down(recording, "en")
    assert "library" not in str(caught.value.to_json())
    assert not is_there(pid)
    assert "library" in written(recognizer)


def test_one_that_takes_too_long_is_ended_by_its_own_clock(speech_folder):
    recognizer = Recognizer(speech_folder, Limits(seconds=60))
    written(recognizer)
    os.kill(recognizer.pid, signal.SIGALRM)
    with pytest.raises(EngineError, match="took longer than 60 s"):
        recognizer._exchange(recognizer._process, {"language": "en"}, b"\0\0")
    recognizer.close()


def test_a_folder_that_is_no_model_is_told_and_no_process_stays(tmp_path):
    recognizer = Recognizer(tmp_path)
    with pytest.raises(EngineError, match="lacks onnx/encoder_model"):
        recognizer.write_down(b"\0\0" * 16000, "en")
    assert recognizer.pid is None


def test_after_it_was_closed_nothing_is_started(recognizer):
    recognizer.close()
    with pytest.raises(EngineError, match="closed"):
        written(recognizer)


def test_several_may_ask_at_once(recognizer):
    texts: list[str] = []
    threads = [threading.Thread(target=lambda: texts.append(written(recognizer))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(texts) == 3
    assert len(set(texts)) == 1


def test_it_gives_way_to_answers_and_writes_no_file(recognizer):
    written(recognizer)
    status = Path(f"/proc/{recognizer.pid}/stat").read_text().rpartition(")")[2].split()
    assert int(status[16]) == os.nice(0) + 10
    limits = Path(f"/proc/{recognizer.pid}/limits").read_text()
    assert [line.split()[3] for line in limits.splitlines() if line.startswith("Max file size")] == ["0"]
    threads = len(list(Path(f"/proc/{recognizer.pid}/task").iterdir()))
    assert threads <= 2 + 2 * max(1, usable_cores() // 2)


def test_nothing_of_what_was_said_stays_in_its_memory(recognizer):
    recording = spoken.pcm(spoken.say(spoken.SENTENCE))
    assert "library" in recognizer.write_down(recording, "en")
    recognizer.scrub()
    middle = len(recording) // 2
    needles = {"text": b"the library open", "recording": recording[middle : middle + 64]}
    assert len(set(needles["recording"])) > 8, "a piece with sound in it"
    assert canary.in_memory(recognizer.pid, needles) == {}
