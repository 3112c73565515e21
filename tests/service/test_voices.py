"""What was read aloud is found nowhere afterwards: in no file that the kiosk wrote, and in no process's memory."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from publicai_edge.bundle import manifest
from publicai_edge.bundle.manifest import VoiceInfo
from publicai_edge.pipeline.build import Built
from tests import voiced
from tests.conftest import downloads
from tests.promises import Figure
from tests.service import canary
from tests.service.conftest import Kiosk, children, until
from tests.service.test_nothing_is_kept import FORGETS_TO_SCRUB, SCRUBBED

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def speaking(demo: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo bundle (of links) with a voice in it."""
    work = tmp_path_factory.mktemp("voices")
    target = work / "bundle"
    shutil.copytree(demo.folder, target, copy_function=os.link)
    (target / "data" / "voices").mkdir()
    voiced.folder(downloads(), work).rename(target / "data" / "voices" / "en")
    place = target / manifest.FILE_NAME
    content = manifest.parse(place.read_bytes(), str(place))
    place.unlink()
    voices = (VoiceInfo.model_validate(voiced.INFO),)
    place.write_bytes(content.model_copy(update={"voices": voices}).to_bytes())
    return target


def listen(kiosk: Kiosk) -> tuple[int, dict[str, bytes]]:
    """Have a made-up word read twice, and end the session; return the process, and what to look for."""
    word = canary.draw()
    before = set(children(kiosk.process.pid))
    for _ in range(2):
        answer = kiosk.client.post("/api/speech", json={"language": "en", "text": f"The word is {word}."})
        assert answer.status_code == 200
    kiosk.client.post("/api/session/end")
    (pid,) = set(children(kiosk.process.pid)) - before
    return pid, canary.needles(word) | {"sound": voiced.piece(answer.content)}


@pytest.mark.promise("R12")
def test_what_was_read_aloud_is_in_no_file_and_no_memory(
    speaking: Path, serve: Callable[..., Kiosk], tmp_path: Path, figure: Figure
) -> None:
    began = time.time()
    kiosk = serve(speaking).wait_ready()
    web, worker = kiosk.process.pid, kiosk.worker()
    pid, needles = listen(kiosk)
    time.sleep(SCRUBBED)
    for name, where in {"the web process": web, "the worker": worker, "the process that reads aloud": pid}.items():
        found = canary.in_memory(where, needles)
        figure(f"copies of what was read aloud left in memory of {name}", sum(found.values()), "", bound="== 0")
        assert found == {}, name
    assert kiosk.end() == 0
    until(lambda: not Path(f"/proc/{pid}").exists(), "the process that reads aloud ends with the kiosk")
    written = {path for path in tmp_path.rglob("*") if path.is_file()} | canary.changed_below([Path("/dev/shm")], began)
    assert canary.in_files(written, needles) == []


@pytest.mark.promise("R12", broken=True)
def test_a_kiosk_that_does_not_overwrite_what_it_read_is_found(speaking: Path, serve: Callable[..., Kiosk]) -> None:
    kiosk = serve(speaking, patch=FORGETS_TO_SCRUB).wait_ready()
    _, needles = listen(kiosk)
    time.sleep(SCRUBBED)
    assert canary.in_memory(kiosk.process.pid, needles)
