"""What a patron said is found nowhere afterwards: in no file that the kiosk wrote, and in no process's memory.

And while it is written down, others are answered.
"""

import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from publicai_edge.bundle import manifest
from publicai_edge.bundle.manifest import DictationInfo
from publicai_edge.pipeline.build import Built
from tests import spoken
from tests.conftest import downloads
from tests.promises import Figure
from tests.service import canary
from tests.service.conftest import PATIENCE, Kiosk, children, until
from tests.service.test_nothing_is_kept import FORGETS_TO_SCRUB, SCRUBBED

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def speaking(demo: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo bundle (of links) with a speech model in it."""
    target = tmp_path_factory.mktemp("dictation") / "bundle"
    shutil.copytree(demo.folder, target, copy_function=os.link)
    spoken.folder(downloads(), target / "data" / "dictation")
    place = target / manifest.FILE_NAME
    content = manifest.parse(place.read_bytes(), str(place))
    place.unlink()
    info = DictationInfo.model_validate(spoken.INFO | {"max_seconds": 30})
    place.write_bytes(content.model_copy(update={"dictation": info}).to_bytes())
    return target


def speak(kiosk: Kiosk) -> tuple[int, dict[str, bytes]]:
    """Say it twice, the second time in a session that is ended; return the process, and what to look for."""
    recording = spoken.pcm(spoken.say(spoken.SENTENCE))
    kind = {"content-type": "application/octet-stream"}
    before = set(children(kiosk.process.pid))
    for _ in range(2):
        answer = kiosk.client.post("/api/dictation", params={"language": "en"}, content=recording, headers=kind)
        assert "does the library open" in answer.json()["text"]
    kiosk.client.post("/api/session/end")
    (pid,) = set(children(kiosk.process.pid)) - before
    middle = len(recording) // 2
    return pid, {"word": b"does the library open", "recording": recording[middle : middle + 64]}


@pytest.mark.promise("R12")
def test_what_was_said_is_in_no_file_and_no_memory(
    speaking: Path, serve: Callable[..., Kiosk], tmp_path: Path, figure: Figure
) -> None:
    began = time.time()
    kiosk = serve(speaking).wait_ready()
    web, worker = kiosk.process.pid, kiosk.worker()
    pid, needles = speak(kiosk)
    time.sleep(SCRUBBED)
    for name, where in {"the web process": web, "the worker": worker, "the process for dictation": pid}.items():
        found = canary.in_memory(where, needles)
        figure(f"copies of what was said left in memory of {name}", sum(found.values()), "", bound="== 0")
        assert found == {}, name
    assert kiosk.end() == 0
    until(lambda: not Path(f"/proc/{pid}").exists(), "the process for dictation ends with the kiosk")
    written = {path for path in tmp_path.rglob("*") if path.is_file()} | canary.changed_below([Path("/dev/shm")], began)
    assert canary.in_files(written, needles) == []


@pytest.mark.promise("R12", broken=True)
def test_a_kiosk_that_does_not_overwrite_what_was_said_is_found(speaking: Path, serve: Callable[..., Kiosk]) -> None:
    kiosk = serve(speaking, patch=FORGETS_TO_SCRUB).wait_ready()
    _, needles = speak(kiosk)
    time.sleep(SCRUBBED)
    assert canary.in_memory(kiosk.process.pid, needles)


def test_an_answer_goes_on_while_somebody_speaks(speaking: Path, serve: Callable[..., Kiosk]) -> None:
    kiosk = serve(speaking).wait_ready()
    recording = spoken.pcm(spoken.say(f"{spoken.SENTENCE} " * 4))
    kind = {"content-type": "application/octet-stream"}
    done = threading.Event()
    during = 0

    def speak_on() -> None:
        with httpx.Client(base_url=kiosk.url, timeout=PATIENCE) as client:
            for _ in range(3):
                client.post("/api/dictation", params={"language": "en"}, content=recording, headers=kind)
        done.set()

    letter = {"service": "letter", "language": "en", "question": "A long letter to the town about its park."}
    other = threading.Thread(target=speak_on)
    other.start()
    while not done.is_set():
        with kiosk.client.stream("POST", "/api/ask", json=letter) as response:
            for line in response.iter_lines():
                during += json.loads(line)["type"] == "text" and not done.is_set()
    other.join()
    assert during > 20
