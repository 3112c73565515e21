"""``POST /api/dictation``: bounds, whose requests count, one recording at a time, and nothing of it anywhere else."""

import json
import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from publicai_edge.bundle.open import Bundle, open_bundle
from publicai_edge.errors import BundleError, EngineError
from publicai_edge.kiosk import guard
from publicai_edge.kiosk.guard import MAX_BODY
from publicai_edge.kiosk.serial import MOST_WAITING
from tests import spoken
from tests.conftest import downloads
from tests.kiosk.conftest import PATIENCE, Running, manifest, running, write_bundle
from tests.kiosk.fakes import FakeDocuments, FakeEngine

SECOND = bytes(2 * 16_000)
KIND = {"content-type": "application/octet-stream"}


def with_model(root: Path) -> Bundle:
    spoken.folder(downloads(), root / "data" / "dictation")
    return write_bundle(root, manifest(dictation=spoken.INFO))


@pytest.fixture(scope="module")
def speaking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A kiosk with the real model."""
    with running(with_model(tmp_path_factory.mktemp("dictation") / "bundle"), FakeEngine(), FakeDocuments()) as held:
        yield held


class Gate:
    """Takes the recognizer's place: holds each recording until it is let go, and says how long it was."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)
        self.stops = 0
        self.failure: EngineError | None = None
        self.pid = None

    def write_down(self, recording: bytes, _language: str) -> str:
        self.entered.release()
        assert self.open.wait(PATIENCE)
        if self.failure:
            raise self.failure
        return f"{len(recording)} bytes\x07"

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
    (root / "data" / "dictation").mkdir(parents=True)
    with running(write_bundle(root, manifest(dictation=spoken.INFO)), FakeEngine(), FakeDocuments()) as held:
        assert held.kiosk.dictation
        held.kiosk.dictation._recognizer = held.kiosk.dictation._process = gate  # type: ignore[assignment]
        yield held


def post(client: httpx.Client, content: bytes = SECOND, language: str = "en", **headers: str) -> httpx.Response:
    return client.post("/api/dictation", params={"language": language}, content=content, headers=KIND | headers)


# --- with the model ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "language", "any_of"),
    [(spoken.SENTENCE, "en", {"library"}), ("La música de la historia.", "es", {"la", "música", "historia"})],
)
def test_what_is_said_comes_back_as_words(speaking: Running, text: str, language: str, any_of: set[str]) -> None:
    answer = post(speaking.client(), spoken.pcm(spoken.say(text, language)), language)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert any_of & set(spoken.words(answer.json()["text"]))
    assert answer.json().keys() == {"text"}
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly; SameSite=Strict" in cookie
    assert speaking.engine.requests == [], "nothing is asked with it"


def test_silence_comes_back_without_words(speaking: Running) -> None:
    assert post(speaking.client(), SECOND * 3).json() == {"text": ""}


def test_the_kiosk_tells_for_which_languages_and_how_long(speaking: Running) -> None:
    told = speaking.client().get("/api/kiosk").json()["dictation"]
    assert told == {"name": "Whisper tiny", "license": "Apache-2.0", "languages": ["en", "es"], "max_seconds": 10}


def test_its_memory_is_counted_while_it_runs(speaking: Running) -> None:
    client = speaking.client()
    post(client, spoken.pcm(spoken.say(spoken.SENTENCE)))
    assert client.get("/api/operator-status").json()["machine"]["memory_dictation"] > 50 << 20
    assert 'publicai_edge_resident_memory_bytes{process="dictation"}' in client.get("/metrics").text


def test_neither_recording_nor_words_are_logged_or_written(
    speaking: Running, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        text = post(speaking.client(), spoken.pcm(spoken.say(spoken.SENTENCE))).json()["text"]
    assert "library" in text
    told = caplog.text + "".join(capfd.readouterr())
    assert "library" not in told
    assert "\\x" not in told


def test_a_model_that_is_damaged_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    bundle = with_model(tmp_path / "bundle")
    graph = tmp_path / "bundle/data/dictation/onnx/encoder_model_quantized.onnx"
    graph.unlink()
    graph.write_bytes(b"no graph")
    with running(bundle, FakeEngine(), FakeDocuments()) as kiosk:
        answer = post(kiosk.client(), spoken.pcm(spoken.say(spoken.SENTENCE)))
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "dictation_failed"
        assert str(tmp_path) not in answer.text
        assert kiosk.client().get("/health").status_code == 200


def test_a_bundle_that_lacks_the_models_folder_is_refused(tmp_path: Path) -> None:
    with_model(tmp_path)
    shutil.rmtree(tmp_path / "data" / "dictation")
    with pytest.raises(BundleError, match="data/dictation"):
        open_bundle(tmp_path)


def test_when_the_kiosk_closes_the_process_ends(
    tmp_path: Path, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    with running(with_model(tmp_path / "bundle"), FakeEngine(), FakeDocuments()) as kiosk:
        post(kiosk.client(), spoken.pcm(spoken.say(spoken.SENTENCE)))
        assert kiosk.kiosk.dictation
        (pid,) = kiosk.kiosk.dictation.pids
    eventually(lambda: not Path(f"/proc/{pid}").exists())


# --- whose requests count, and how large they may be ---------------------------------------------------------------


def test_without_the_part_there_is_no_dictation_and_no_microphone(kiosk: Running) -> None:
    answer = post(kiosk.client())
    assert answer.status_code == 404
    assert kiosk.client().get("/api/kiosk").json()["dictation"] is None
    assert is_too_large(lambda: post(kiosk.client(), bytes(MAX_BODY + 2)))
    for path in ("/", "/api/kiosk", "/nowhere"):
        assert "microphone=()" in kiosk.client().get(path).headers["permissions-policy"]


def test_with_it_the_page_alone_may_ask_for_the_microphone(gated: Running) -> None:
    for path in ("/", "/api/kiosk", "/nowhere"):
        policy = gated.client().get(path).headers["permissions-policy"]
        assert "microphone=(self)" in policy
        assert "camera=()" in policy


@pytest.mark.parametrize("header", [{"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}])
def test_another_sites_page_may_not_use_it(gated: Running, gate: Gate, header: dict[str, str]) -> None:
    assert post(gated.client(), **header).status_code == 403
    assert not gate.entered.acquire(blocking=False)


def test_a_recording_may_be_as_long_as_the_recipe_says_and_no_longer(gated: Running, gate: Gate) -> None:
    gate.open.set()
    client = gated.client()
    assert post(client, SECOND * 10).json() == {"text": "320000 bytes"}
    assert gate.entered.acquire(blocking=False)
    assert is_too_large(lambda: post(client, SECOND * 10 + b"\0\0"))
    assert is_too_large(lambda: client.post("/api/dictation?language=en", content=iter([SECOND] * 11), headers=KIND))
    assert is_too_large(lambda: client.post("/api/ask", content=SECOND * 3, headers=KIND)), "as it was"
    assert not gate.entered.acquire(blocking=False)


def is_too_large(call: Callable[[], httpx.Response]) -> bool:
    """Say whether a request is refused for its size; the kiosk may hang up before all of it is sent."""
    try:
        return call().status_code == 413
    except httpx.TransportError:
        return True


@pytest.mark.parametrize(
    ("content", "language", "headers"),
    [
        (b"", "en", {}),
        (SECOND + b"\0", "en", {}),
        (SECOND, "de", {}),
        (SECOND, "", {}),
        (SECOND, "en" * 5000, {}),
        (SECOND, "en", {"content-type": "text/plain"}),
    ],
)
def test_what_is_no_recording_in_a_known_language_is_refused(
    gated: Running, gate: Gate, content: bytes, language: str, headers: dict[str, str]
) -> None:
    assert post(gated.client(), content, language, **headers).status_code == 400
    assert not gate.entered.acquire(blocking=False)


# --- one at a time -------------------------------------------------------------------------------------------------


def in_background(call: Callable[[], httpx.Response]) -> tuple[threading.Thread, list[httpx.Response]]:
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(call()))
    thread.start()
    return thread, answers


def test_a_few_wait_and_the_next_is_told_to_try_again(
    gated: Running, gate: Gate, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    waiting = [in_background(lambda: post(gated.client())) for _ in range(MOST_WAITING)]
    assert gated.kiosk.dictation
    eventually(lambda: gated.kiosk.dictation._waiting == MOST_WAITING)  # type: ignore[union-attr]
    answer = post(gated.client())
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "overloaded"
    assert int(answer.headers["retry-after"]) >= 1
    gate.open.set()
    for thread, answers in waiting:
        thread.join(PATIENCE)
        assert answers[0].json() == {"text": "32000 bytes"}


def test_only_a_few_recordings_are_held_at_a_time(gated: Running, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MOST_LARGE", 1)
    thread, answers = in_background(lambda: post(gated.client()))
    assert gate.entered.acquire(timeout=PATIENCE)
    answer = post(gated.client())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert gated.client().get("/health").status_code == 200
    gate.open.set()
    thread.join(PATIENCE)
    assert answers[0].status_code == 200
    assert post(gated.client()).status_code == 200


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
    gate.failure = EngineError("what a patron said")
    gate.open.set()
    answer = post(gated.client())
    assert answer.status_code == 503
    assert json.loads(answer.text)["error"] == {
        "code": "dictation_failed",
        "message": "What was said could not be written down.",
    }


def test_the_answer_of_another_patron_goes_on_meanwhile(gated: Running, gate: Gate) -> None:
    thread, _ = in_background(lambda: post(gated.client()))
    assert gate.entered.acquire(timeout=PATIENCE)
    asked = {"service": "ask", "language": "en", "question": "When does the library open?"}
    answer = gated.client().post("/api/ask", json=asked)
    assert '"done"' in answer.text
    gate.open.set()
    thread.join(PATIENCE)
