"""``POST /api/speech``: bounds, whose requests count, one sentence at a time, and nothing of it anywhere else."""

import json
import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from publicai_edge.bundle.open import Bundle, open_bundle
from publicai_edge.engine.voice import MOST_LETTERS
from publicai_edge.errors import BundleError, EngineError
from publicai_edge.kiosk.guard import MAX_BODY
from publicai_edge.kiosk.serial import MOST_WAITING
from tests import voiced
from tests.conftest import downloads
from tests.kiosk.conftest import PATIENCE, Running, manifest, running, write_bundle
from tests.kiosk.fakes import FakeDocuments, FakeEngine
from tests.kiosk.test_dictation import in_background


def with_voice(root: Path) -> Bundle:
    made = voiced.folder(downloads(), root / "work")
    (root / "data" / "voices").mkdir(parents=True)
    made.rename(root / "data" / "voices" / "en")
    return write_bundle(root, manifest(voices=[voiced.INFO]))


@pytest.fixture(scope="module")
def speaking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A kiosk with the real voice."""
    with running(with_voice(tmp_path_factory.mktemp("voices") / "bundle"), FakeEngine(), FakeDocuments()) as held:
        yield held


class Gate:
    """Takes the speaker's place: holds each text until it is let go, and says how long it was."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)
        self.stops = 0
        self.failure: EngineError | None = None
        self.pid = None

    def speak(self, text: str, _language: str) -> bytes:
        self.entered.release()
        assert self.open.wait(PATIENCE)
        if self.failure:
            raise self.failure
        return f"{len(text)} letters".encode()

    def stop(self) -> None:
        self.stops += 1
        self.open.set()

    def scrub(self) -> None:
        pass

    def close(self) -> None:
        self.open.set()


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def gated(tmp_path: Path, gate: Gate) -> Iterator[Running]:
    root = tmp_path / "bundle"
    (root / "data" / "voices" / "en").mkdir(parents=True)
    with running(write_bundle(root, manifest(voices=[voiced.INFO])), FakeEngine(), FakeDocuments()) as held:
        assert held.kiosk.voices
        held.kiosk.voices._speaker = held.kiosk.voices._process = gate  # type: ignore[assignment]
        yield held


def post(client: httpx.Client, text: str = "Hello.", language: str = "en", **headers: str) -> httpx.Response:
    return client.post("/api/speech", json={"language": language, "text": text}, headers=headers)


# --- with the voice ---------------------------------------------------------------------------------------------


def test_a_sentence_comes_back_as_sound(speaking: Running) -> None:
    answer = post(speaking.client(), voiced.SENTENCE)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "audio/wav"
    assert answer.headers["cache-control"] == "no-store"
    assert 1 < len(voiced.samples(answer.content)) / voiced.RATE < 4
    assert "HttpOnly; SameSite=Strict" in answer.headers["set-cookie"]
    assert speaking.engine.requests == [], "nothing is asked with it"


def test_the_kiosk_tells_for_which_languages(speaking: Running) -> None:
    told = speaking.client().get("/api/kiosk").json()["voices"]
    assert told == [{"language": "en", "name": "Joe", "license": "CC0-1.0"}]


def test_its_memory_is_counted_while_it_runs(speaking: Running) -> None:
    client = speaking.client()
    post(client)
    assert client.get("/api/operator-status").json()["machine"]["memory_voices"] > 50 << 20
    assert 'publicai_edge_resident_memory_bytes{process="voices"}' in client.get("/metrics").text


def test_what_is_read_is_neither_logged_nor_printed(
    speaking: Running, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert post(speaking.client(), "A hippopotamus reads.").status_code == 200
    assert "hippopotamus" not in caplog.text + "".join(capfd.readouterr())


def test_a_bundle_that_lacks_the_voices_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data" / "voices" / "en").mkdir(parents=True)
    write_bundle(tmp_path, manifest(voices=[voiced.INFO]))
    shutil.rmtree(tmp_path / "data" / "voices")
    with pytest.raises(BundleError, match="data/voices/en"):
        open_bundle(tmp_path)


def test_a_voice_that_is_damaged_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    (tmp_path / "data" / "voices" / "en").mkdir(parents=True)
    with running(write_bundle(tmp_path, manifest(voices=[voiced.INFO])), FakeEngine(), FakeDocuments()) as kiosk:
        answer = post(kiosk.client())
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "speech_failed"
        assert str(tmp_path) not in answer.text
        assert kiosk.client().get("/health").status_code == 200
        assert kiosk.kiosk.voices
        (pid,) = kiosk.kiosk.voices.pids
    assert not Path(f"/proc/{pid}").exists(), "when the kiosk closes, the process ends"


# --- whose requests count, and how large they may be ---------------------------------------------------------------


def test_without_the_part_nothing_is_read(kiosk: Running) -> None:
    assert post(kiosk.client()).status_code == 404
    assert kiosk.client().get("/api/kiosk").json()["voices"] == []


@pytest.mark.parametrize("header", [{"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}])
def test_another_sites_page_may_not_use_it(gated: Running, gate: Gate, header: dict[str, str]) -> None:
    assert post(gated.client(), **header).status_code == 403
    assert not gate.entered.acquire(blocking=False)


@pytest.mark.parametrize(
    "body",
    [
        {"language": "en", "text": ""},
        {"language": "en", "text": " \x07 "},
        {"language": "en", "text": "x" * (MOST_LETTERS + 1)},
        {"language": "es", "text": "Hola."},
        {"language": "en" * 50, "text": "Hello."},
        {"language": "en", "text": "Hello.", "voice": "x"},
        {"text": "Hello."},
        ["Hello."],
    ],
)
def test_what_is_no_text_in_a_spoken_language_is_refused(gated: Running, gate: Gate, body: object) -> None:
    answer = gated.client().post("/api/speech", json=body)
    assert answer.status_code == 400
    assert "Hello" not in answer.text
    assert not gate.entered.acquire(blocking=False)


def test_a_text_may_be_so_long_and_a_body_no_larger_than_any(gated: Running, gate: Gate) -> None:
    gate.open.set()
    assert post(gated.client(), "x" * MOST_LETTERS).text == f"{MOST_LETTERS} letters"
    assert post(gated.client(), "x" * MAX_BODY).status_code == 413


# --- one at a time -------------------------------------------------------------------------------------------------


def test_a_few_wait_and_the_next_is_told_to_try_again(
    gated: Running, gate: Gate, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    waiting = [in_background(lambda: post(gated.client())) for _ in range(MOST_WAITING)]
    eventually(lambda: gated.kiosk.voices._waiting == MOST_WAITING)  # type: ignore[union-attr]
    answer = post(gated.client())
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "overloaded"
    assert int(answer.headers["retry-after"]) >= 1
    gate.open.set()
    for thread, answers in waiting:
        thread.join(PATIENCE)
        assert answers[0].text == "6 letters"


def test_the_end_of_the_session_ends_it(gated: Running, gate: Gate) -> None:
    client = gated.client()
    session = gated.kiosk.sessions.find_or_open(None)
    client.cookies.set("kiosk_session", session.token)
    thread, answers = in_background(lambda: post(client))
    assert gate.entered.acquire(timeout=PATIENCE)
    ended = gated.client()
    ended.cookies.set("kiosk_session", session.token)
    assert ended.post("/api/session/end").json() == {"ended": True}
    thread.join(PATIENCE)
    assert answers[0].status_code == 503
    assert gate.stops == 1


def test_a_patron_who_leaves_ends_it(
    gated: Running, gate: Gate, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    client = httpx.Client(base_url=gated.url, timeout=0.3)
    with pytest.raises(httpx.ReadTimeout):
        post(client)
    client.close()
    eventually(lambda: gate.stops == 1)


def test_a_failure_is_told_without_its_words(gated: Running, gate: Gate) -> None:
    gate.failure = EngineError("what was read")
    gate.open.set()
    answer = post(gated.client())
    assert answer.status_code == 503
    assert json.loads(answer.text)["error"] == {
        "code": "speech_failed",
        "message": "The text could not be read aloud.",
    }


def test_the_sessions_own_answer_goes_on_meanwhile(gated: Running, gate: Gate) -> None:
    gate.open.set()
    session = gated.kiosk.sessions.find_or_open(None)
    stop = session.begin_stream()
    client = gated.client()
    client.cookies.set("kiosk_session", session.token)
    assert post(client).status_code == 200
    assert not stop.is_set()
    assert session.streaming
