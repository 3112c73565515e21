"""What the page asks of the kiosk, over a real port."""

import asyncio
import json
import logging
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from publicai_edge.bundle.open import Bundle
from publicai_edge.errors import EngineError, OverloadedError
from publicai_edge.kiosk.sessions import COOKIE, Sessions
from tests.kiosk.conftest import PATIENCE, Running, running
from tests.kiosk.fakes import FakeDocuments, FakeEngine

CANARY = "kanarienvogel-4711"
QUESTION = {"service": "ask", "language": "en", "question": "When does the library open?"}
Eventually = Callable[[Callable[[], bool]], None]


def events(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


def test_a_wrong_address_leads_a_visitor_to_the_page_and_tells_a_program(kiosk: Running) -> None:
    client = kiosk.client()
    for path in ("/opening-hours", "/static/none.js", "/api/none"):
        answer = client.get(path, headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        told = client.get(path, headers={"accept": "*/*"})
        assert (told.status_code, told.json()["error"]["code"]) == (404, "not_found")
    assert client.post("/opening-hours", headers={"accept": "text/html"}).status_code == 404


def test_a_question_is_answered_as_a_stream_of_events(kiosk: Running) -> None:
    response = kiosk.client().post("/api/ask", json=QUESTION)
    assert response.status_code == 200
    kinds = [event["type"] for event in events(response)]
    assert kinds[:2] == ["passages", "started"]
    assert kinds[-1] == "done"
    assert kinds.count("sentence") == 3
    source = events(response)[0]["sources"][0]
    assert source["document"] == "Opening hours"
    assert source["heading"] == "Main library"


def test_passages_arrive_while_the_model_still_loads(kiosk: Running) -> None:
    kiosk.engine.state = "loading"
    kiosk.engine.gate = asyncio.Event()
    with kiosk.client().stream("POST", "/api/ask", json=QUESTION) as response:
        lines = response.iter_lines()
        assert json.loads(next(lines))["type"] == "passages"
        assert json.loads(next(lines)) == {"type": "preparing", "state": "loading"}
        kiosk.open_gate()
        assert json.loads(next(lines))["type"] == "started"


def test_a_slow_opening_of_the_documents_keeps_nothing_else_waiting(bundle: Bundle, engine: FakeEngine) -> None:
    asked = threading.Event()

    class Slow(FakeDocuments):
        def __init__(self) -> None:
            assert asked.wait(PATIENCE)
            super().__init__()

    with running(bundle, engine, None, open_documents=Slow) as held:  # type: ignore[arg-type]
        client = held.client()
        assert client.get("/").status_code == 200
        assert client.get("/api/status").json() == {"engine": "ready", "documents": "opening"}
        asked.set()
        assert events(client.post("/api/ask", json=QUESTION))[0]["type"] == "passages"


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(kiosk: Running) -> None:
    cookie = kiosk.client().post("/api/ask", json=QUESTION).headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "expires" not in cookie.lower()
    assert "max-age" not in cookie.lower(), "it goes when the browser closes"


def test_a_session_remembers_for_a_service_without_search_until_it_ends(kiosk: Running) -> None:
    client = kiosk.client()
    question = QUESTION | {"service": "plain-words", "question": "first"}
    client.post("/api/ask", json=question)
    client.post("/api/ask", json=question | {"question": "second"})
    assert [message.content for message in kiosk.engine.requests[-1].messages[1::2]] == ["first", "second"]
    assert len(kiosk.kiosk.sessions) == 1
    assert client.post("/api/session/end", json={}).json() == {"ended": True}
    assert len(kiosk.kiosk.sessions) == 0
    client.post("/api/ask", json=question | {"question": "third"})
    assert len(kiosk.engine.requests[-1].messages) == 2


def test_a_service_that_searches_leaves_nothing_in_the_session(kiosk: Running) -> None:
    client = kiosk.client()
    client.post("/api/ask", json=QUESTION)
    session = kiosk.kiosk.sessions.find_or_open(client.cookies[COOKIE])
    assert session.turns("ask") == ()


def test_ending_the_session_ends_its_answer(kiosk: Running, eventually: Eventually) -> None:
    kiosk.engine.pause = 0.5
    client = kiosk.client()
    with client.stream("POST", "/api/ask", json=QUESTION) as response:
        lines = response.iter_lines()
        next(lines)
        client.cookies.set(COOKIE, response.cookies[COOKIE], path="/api")
        other = httpx.post(
            f"{kiosk.url}/api/session/end", json={}, cookies={COOKIE: response.cookies[COOKIE]}, timeout=PATIENCE
        )
        assert other.json() == {"ended": True}
        rest = list(lines)
    assert not any('"done"' in line for line in rest)
    eventually(lambda: kiosk.engine.closed_streams == 1)
    assert kiosk.engine.finished_streams == 0


def test_a_client_that_leaves_ends_the_engines_work(kiosk: Running, eventually: Eventually) -> None:
    kiosk.engine.pause = 0.5
    with kiosk.client().stream("POST", "/api/ask", json=QUESTION) as response:
        next(response.iter_lines())
    eventually(lambda: kiosk.engine.closed_streams == 1)
    assert kiosk.engine.finished_streams == 0


def test_sessions_over_the_limit_and_idle_ones_are_gone(bundle: Bundle) -> None:
    engine, documents, now = FakeEngine(), FakeDocuments(), 0.0
    with running(bundle, engine, documents, sessions=Sessions(60, clock=lambda: now)) as held:
        client = held.client()
        client.post("/api/ask", json=QUESTION)
        first = client.cookies[COOKIE]
        now = 61.0
        client.post("/api/ask", json=QUESTION)
        assert client.cookies[COOKIE] != first
        assert len(held.kiosk.sessions) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [(EngineError("died"), "engine_failed"), (OverloadedError("full", retry_after=7), "overloaded")],
)
def test_a_failing_engine_leaves_the_passages_and_a_code(kiosk: Running, error: EngineError, code: str) -> None:
    kiosk.engine.failure = error
    found = events(kiosk.client().post("/api/ask", json=QUESTION))
    assert [event["type"] for event in found] == ["passages", "error"]
    assert found[1]["code"] == code
    assert found[1]["retry_after"] == (7 if code == "overloaded" else 5)


def test_nothing_found_is_said_and_the_model_not_asked(kiosk: Running) -> None:
    found = events(kiosk.client().post("/api/ask", json=QUESTION | {"question": "zzzz qqqq"}))
    assert found == [{"type": "nothing_found"}]
    assert kiosk.engine.requests == []


def test_a_document_is_read_in_place(kiosk: Running) -> None:
    client = kiosk.client()
    document = client.get("/api/documents/hours.md").json()
    assert document["title"] == "Opening hours"
    assert [item["passage"] for item in document["passages"]] == [1, 3]
    for missing in ("nothing.md", "../bundle.json", "%2e%2e/%2e%2e/etc/passwd"):
        assert client.get(f"/api/documents/{missing}").status_code == 404


def test_only_the_pages_own_files_are_served(kiosk: Running) -> None:
    client = kiosk.client()
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "http://" not in page.text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "https://" not in page.text
    assert client.get("/static/style.css").headers["content-type"].startswith("text/css")
    for path in ("/static/index.html", "/static/..%2fapp.py", "/static/nothing.js", "/docs", "/redoc"):
        assert client.get(path).status_code == 404


def test_the_page_learns_who_stands_behind_the_kiosk(kiosk: Running) -> None:
    about = kiosk.client().get("/api/kiosk").json()
    assert about["steward"]["name"] == "Harbour Town Public Library"
    assert about["model"] == {
        "name": "SmolLM2-135M-Instruct",
        "license": "Apache-2.0",
        "license_url": "https://example.org/license",
        "quantization": "Q4_0",
    }
    assert about["languages"][1] == {"code": "es", "direction": "ltr", "words": "es"}
    assert about["words"]["es"]["ask.button"] == "Preguntar"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (QUESTION | {"question": CANARY * 200}, 400),
        (QUESTION | {"question": "  \x00 "}, 400),
        (QUESTION | {"service": CANARY}, 404),
        (QUESTION | {"language": CANARY}, 400),
        (QUESTION | {CANARY: 1}, 400),
        (QUESTION | {"question": [CANARY]}, 400),
        ([CANARY], 400),
        (CANARY, 400),
    ],
)
def test_a_wrong_question_is_answered_with_a_sentence_that_quotes_nothing(
    kiosk: Running, body: object, status: int
) -> None:
    response = kiosk.client().post("/api/ask", json=body)
    assert response.status_code == status
    assert response.json()["error"]["message"].endswith(".")
    assert CANARY not in response.text


def test_a_form_of_another_page_is_not_read_as_a_question(kiosk: Running) -> None:
    response = kiosk.client().post("/api/ask", content=json.dumps(QUESTION), headers={"content-type": "text/plain"})
    assert response.status_code == 400
    assert kiosk.engine.requests == []


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    path=st.sampled_from(["/api/ask", "/v1/chat/completions", "/api/session/end"]),
    question=_JSON,
    raw=st.none() | st.binary(max_size=40),
)
def test_no_generated_request_is_a_failure_of_the_kiosk(
    kiosk: Running, path: str, question: object, raw: bytes | None
) -> None:
    body = QUESTION | {"question": question, "model": "SmolLM2-135M-Instruct", "messages": question}
    if path == "/api/ask":
        body = QUESTION | {"question": question}
    content = raw if raw is not None else json.dumps(body).encode()
    response = httpx.post(
        f"{kiosk.url}{path}", content=content, headers={"content-type": "application/json"}, timeout=PATIENCE
    )
    assert response.status_code < 500


@pytest.mark.parametrize("body", [b"[" * 50000, b'{"question":"\\ud800","service":"ask","language":"en"}', b"\xff"])
def test_hostile_json_is_refused(kiosk: Running, body: bytes) -> None:
    response = kiosk.client().post("/api/ask", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400


def test_what_was_typed_is_in_no_log_even_when_the_kiosk_has_a_bug(
    kiosk: Running, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    client = kiosk.client()
    question = QUESTION | {"question": f"library {CANARY}"}
    client.post("/api/ask", json=question)
    client.post("/api/ask", json=question | {"language": CANARY})
    kiosk.documents.failure = ValueError(CANARY)
    client.post("/api/ask", json=question)
    kiosk.documents.failure = None
    kiosk.engine.failure = RuntimeError(CANARY)  # type: ignore[assignment]
    with pytest.raises(httpx.RemoteProtocolError):
        client.post("/api/ask", json=question)
    failed = client.post(
        "/v1/chat/completions",
        json={"model": "SmolLM2-135M-Instruct", "messages": [{"role": "user", "content": CANARY}]},
    )
    assert failed.status_code == 500
    ours = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert any("RuntimeError at fakes.py" in record.getMessage() for record in ours), "the bug itself is told"
    written = "".join(logging.Formatter().format(record) for record in ours) + "".join(capfd.readouterr())
    assert CANARY not in written
