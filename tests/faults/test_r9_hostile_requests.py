"""R9: no request makes the kiosk fail, and a foreign Host or Origin is refused on every route.

Said exactly: while the engine is ready, the one 5xx is 503 with ``Retry-After`` where the line is full. While it is
not, ``/health`` says 503, which is what it is asked for, and so do the routes that need it, with ``Retry-After``.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from publicai_edge.bundle.open import open_bundle
from publicai_edge.errors import OverloadedError
from publicai_edge.kiosk import guard, page_routes, staff_desk, staff_routes
from publicai_edge.kiosk.app import create_app
from publicai_edge.kiosk.staff_sessions import COOKIE, HEADER
from publicai_edge.pipeline.build import Built
from tests.faults.kiosk_requests import (
    BODIES,
    STAFF_BODIES,
    Answers,
    Caller,
    admitted,
    odd_answers,
    routes,
    server_errors,
    staff_walk,
)
from tests.kiosk.conftest import Running, manifest, running, write_bundle
from tests.kiosk.fakes import FakeDocuments, FakeEngine
from tests.kiosk.staff import CODE, Staffed, staffed, write_library
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


# --- signed in as staff: more routes do something, and more of the machine is near ---


@pytest.fixture
def staff(tmp_path: Path) -> Iterator[Staffed]:
    with staffed(write_library(tmp_path / "bundle"), tmp_path / "state") as held:
        yield held


@pytest.fixture
def places(tmp_path: Path) -> list[str]:
    """Folders of this machine: of the bundle and the kiosk, of the program, of Python."""
    return [str(tmp_path), str(Path(staff_desk.__file__).parent), sys.prefix, sys.base_prefix, str(Path.home()) + "/"]


def signed_in(staff: Staffed) -> Callable[[], Caller]:
    """Return who sends requests: somebody with a session that has just begun, whatever ended the one before."""

    def caller() -> Caller:
        session = staff.desk.sessions.open()
        return Caller({COOKIE: session.cookie}, {HEADER: session.token})

    return caller


def staff_description(staff: Staffed) -> dict[str, Any]:
    whole = description(staff.running)
    return whole | {"paths": {path: item for path, item in whole["paths"].items() if path.startswith("/api/staff")}}


def test_those_who_are_signed_in_here_are_let_in(staff: Staffed) -> None:
    who = signed_in(staff)()
    client = staff.running.client()
    client.cookies.update(dict(who.cookies))
    answer = client.post("/api/staff/changes", json=STAFF_BODIES["/api/staff/changes"], headers=dict(who.headers))
    assert answer.status_code == 200
    assert STAFF_BODIES["/api/staff/session"]["code"] == CODE
    known = {path for path in description(staff.running)["paths"] if path.startswith("/api/staff")}
    assert len(known) == 9, "a new route is tried out, too"


@pytest.mark.promise("R9")
def test_no_generated_request_of_staff_fails_or_tells_of_the_machine(
    staff: Staffed, places: list[str], figure: Figure
) -> None:
    found = server_errors(
        staff.running.url, description(staff.running), each=10, caller=signed_in(staff), places=places
    )
    note("requests made from the schema, as staff", found, figure)


@pytest.mark.promise("R9")
def test_no_odd_body_of_staff_fails_or_tells_of_the_machine(staff: Staffed, places: list[str], figure: Figure) -> None:
    found = odd_answers(staff.running.url, every=3, paths=tuple(STAFF_BODIES), caller=signed_in(staff), places=places)
    note("requests with an odd body, as staff", found, figure)


@pytest.mark.promise("R9")
def test_no_odd_order_of_what_staff_do_fails_or_tells_of_the_machine(
    staff: Staffed, places: list[str], figure: Figure
) -> None:
    note(
        "requests of staff in an odd order",
        staff_walk(staff.running.url, signed_in(staff), steps=200, places=places),
        figure,
    )
    assert len(staff.signed_in().state()["jobs"]) > 3, "documents arrived"


@pytest.mark.soak
@pytest.mark.promise("R9")
def test_no_request_of_thousands_by_staff_fails_or_tells_of_the_machine(
    staff: Staffed, places: list[str], figure: Figure
) -> None:
    who, url = signed_in(staff), staff.running.url
    made = server_errors(url, staff_description(staff), each=2000, caller=who, places=places)
    note("requests made from the schema, as staff", made, figure)
    odd = odd_answers(url, paths=tuple(STAFF_BODIES), caller=who, places=places)
    note("requests with an odd body, as staff", odd, figure)
    note("requests of staff in an odd order", staff_walk(url, who, steps=5000, places=places), figure)


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


@pytest.mark.promise("R9", broken=True)
def test_a_staff_route_that_breaks_is_found(staff: Staffed, places: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(*_: object) -> None:
        raise IndexError

    monkeypatch.setattr(staff_desk.Desk, "change", careless)
    who, url = signed_in(staff), staff.running.url
    assert any("/changes" in wrong for wrong in server_errors(url, staff_description(staff), each=10, caller=who).wrong)
    assert any("/changes" in wrong for wrong in odd_answers(url, paths=("/api/staff/changes",), caller=who).wrong)
    assert any("/changes" in wrong for wrong in staff_walk(url, who, steps=40).wrong)


@pytest.mark.promise("R9", broken=True)
def test_an_answer_that_tells_a_path_or_a_traceback_is_found(
    staff: Staffed, places: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    who, url = signed_in(staff), staff.running.url
    monkeypatch.setattr(staff_routes, "_SENTENCES", dict.fromkeys(staff_routes._SENTENCES, f"In {places[0]}."))
    assert any("in it" in wrong for wrong in staff_walk(url, who, steps=60, places=places).wrong)
    trace = 'Traceback (most recent call last):\n  File "x.py", line 3'
    monkeypatch.setattr(staff_routes, "_SENTENCES", dict.fromkeys(staff_routes._SENTENCES, trace))
    assert any("trace" in wrong for wrong in staff_walk(url, who, steps=60, places=places).wrong)
