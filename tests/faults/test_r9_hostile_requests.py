"""R9: no request makes the kiosk fail, and a foreign Host or Origin is refused on every route.

Said exactly: while the engine is ready, the one 5xx is 503 with ``Retry-After`` where the line is full. While it is
not, ``/health`` says 503, which is what it is asked for, and so do the routes that need it, with ``Retry-After``.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from publicai_edge.bundle.open import open_bundle
from publicai_edge.errors import OverloadedError
from publicai_edge.kiosk import guard, page_routes
from publicai_edge.kiosk.app import create_app
from publicai_edge.pipeline.build import Built
from tests.faults.kiosk_requests import BODIES, Answers, admitted, odd_answers, routes, server_errors
from tests.kiosk.conftest import Running, manifest, running, write_bundle
from tests.kiosk.fakes import FakeDocuments, FakeEngine
from tests.kiosk.test_embeddings import write_model
from tests.promises import Figure
from tests.service.conftest import PROGRAM, Kiosk


@pytest.fixture
def kiosk(tmp_path: Path) -> Iterator[Running]:
    bundle = write_bundle(tmp_path / "bundle", manifest())
    assert bundle.embedding_path
    write_model(bundle.embedding_path)
    with running(bundle, FakeEngine(), FakeDocuments()) as held:
        yield held


def description(kiosk: Running) -> dict[str, Any]:
    found: dict[str, Any] = kiosk.client().get("/openapi.json").json()
    return found


def note(what: str, answers: Answers, figure: Figure) -> None:
    """Note how many requests were sent, and see that none was answered wrongly."""
    assert answers.sent
    figure(what, answers.sent, "")
    figure(f"{what}, answered wrongly", len(answers.wrong), "", bound="== 0")
    assert answers.wrong == []


@pytest.mark.promise("R9")
def test_no_generated_request_makes_the_kiosk_fail(kiosk: Running, figure: Figure) -> None:
    note("requests made from the schema", server_errors(kiosk.url, description(kiosk), each=10), figure)


@pytest.mark.soak
@pytest.mark.promise("R9")
def test_no_request_of_thousands_makes_the_kiosk_fail(kiosk: Running, figure: Figure) -> None:
    note("requests made from the schema", server_errors(kiosk.url, description(kiosk), each=4000), figure)
    note("requests with an odd body", odd_answers(kiosk.url), figure)


@pytest.mark.promise("R9")
def test_no_odd_body_makes_the_kiosk_fail(kiosk: Running, figure: Figure) -> None:
    note("requests with an odd body", odd_answers(kiosk.url, every=7), figure)


@pytest.mark.promise("R9")
def test_a_full_line_is_the_only_503_and_says_when_to_come_back(kiosk: Running) -> None:
    kiosk.engine.failure = OverloadedError("16 wait", retry_after=7)
    for path in ("/v1/chat/completions", "/v1/completions"):
        answer = kiosk.client().post(path, json=BODIES[path])
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
        assert answer.json()["error"]["code"] == "overloaded"
    # The page reads one kind of answer, so there it is a line of a stream that has begun.
    answer = kiosk.client().post("/api/ask", json=BODIES["/api/ask"])
    assert answer.status_code == 200
    assert answer.text.splitlines()[-1] == '{"type": "error", "code": "overloaded", "retry_after": 7}'


@pytest.mark.slow
@pytest.mark.promise("R9")
def test_a_foreign_host_or_origin_is_refused_on_every_route_of_the_real_kiosk(
    demo: Built, tmp_path: Path, figure: Figure
) -> None:
    app = create_app(open_bundle(demo.folder), FakeEngine(), None, allowed_hosts=frozenset())
    known = routes(app)
    assert {path for _, path in known} >= {"/", "/static/x", "/api/ask", "/v1/models", "/openapi.json", "/metrics"}
    import os

    served = Kiosk([*PROGRAM, "serve", str(demo.folder), "--port", "0"], tmp_path / "served", dict(os.environ))
    try:
        port = int(served.url.rstrip("/").rpartition(":")[2])
        note("requests with a foreign Host or Origin", admitted(port, known), figure)
        assert served.client.get("/health").status_code in {200, 503}
    finally:
        assert served.end() == 0


# --- the harness can fail ---


@pytest.mark.promise("R9", broken=True)
def test_a_route_that_breaks_over_a_value_is_found(kiosk: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(*_: object) -> None:
        raise KeyError

    monkeypatch.setattr(page_routes, "_inquiry", careless)
    whole = description(kiosk)
    only = whole | {"paths": {"/api/ask": whole["paths"]["/api/ask"]}}
    assert any("/api/ask" in wrong for wrong in server_errors(kiosk.url, only, each=10).wrong)
    assert any("/api/ask" in wrong for wrong in odd_answers(kiosk.url, every=40).wrong)


@pytest.mark.promise("R9", broken=True)
def test_a_guard_that_is_off_is_found(kiosk: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    known = [("GET", "/api/kiosk"), ("GET", "/v1/models")]
    assert admitted(kiosk.port, known).wrong == []
    monkeypatch.setattr(guard.Guard, "_refusal", lambda *_: None)
    assert len(admitted(kiosk.port, known).wrong) == 24
    assert kiosk.client().get("/api/kiosk", headers={"origin": "http://evil.example"}).status_code == 200
