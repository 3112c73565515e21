"""Who may change a kiosk's documents, and from where: codes, sessions, other sites, other machines."""

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from publicai_edge.bundle.open import Bundle
from publicai_edge.kiosk import staff_code
from publicai_edge.kiosk.app import create_app
from publicai_edge.kiosk.staff_routes import HEADER
from tests.kiosk.conftest import Running, running
from tests.kiosk.fakes import FakeDocuments, FakeEngine
from tests.kiosk.staff import CODE, Staff, Staffed, staffed

CANARY = "kanarienvogel-1147"


def test_wrong_codes_are_refused_and_then_slowed_down(kiosk: Staffed) -> None:
    client = kiosk.running.client()
    tries = [client.post("/api/staff/session", json={"code": f"0000-0000-000{n}"}) for n in range(4)]
    assert [answer.status_code for answer in tries] == [403, 403, 429, 429]
    assert 1 <= int(tries[2].headers["retry-after"]) <= 5
    assert client.post("/api/staff/session", json={"code": CODE}).status_code == 429, "the right one waits, too"
    assert kiosk.running.client().get("/api/staff").json()["wait"] > 0
    assert "set-cookie" not in tries[0].headers


def test_without_a_stored_code_no_code_opens_the_page(library: Bundle, tmp_path: Path) -> None:
    with staffed(library, tmp_path, code=None) as kiosk:
        client = kiosk.running.client()
        assert client.get("/api/staff").json()["on"] is False
        assert client.post("/api/staff/session", json={"code": ""}).status_code == 404
        assert client.get("/api/kiosk").json()["staff"] is False
        staff_code.store(tmp_path, CODE)
        assert client.get("/api/kiosk").json()["staff"] is True, "it is on without a restart"
        assert kiosk.signed_in().state()["signed_in"]
        staff_code.remove(tmp_path)
    assert not (tmp_path / "documents" / "catalog.json").exists()


def test_how_long_a_session_lasts_is_told_and_begun_anew_on_request(kiosk: Staffed, staff: Staff) -> None:
    now = kiosk.desk.sessions._clock()
    kiosk.desk.sessions._clock = lambda: now + 550
    assert staff.state()["idle_left"] == pytest.approx(50, abs=2)
    assert staff.client.post("/api/staff/session/stay").status_code == 401, "not without the page's own token"
    assert staff.state()["idle_left"] == pytest.approx(50, abs=2), "looking on is no use"
    assert staff.client.post("/api/staff/session/stay", headers=staff.headers).json() == {"stays": True}
    assert staff.state()["idle_left"] == 600
    kiosk.desk.sessions._clock = lambda: now + 550 + 600
    assert staff.state()["signed_in"] is False
    assert staff.client.post("/api/staff/session/stay", headers=staff.headers).status_code == 401


CHANGES = [
    ("POST", "/api/staff/session/stay", {}),
    ("POST", "/api/staff/uploads", {"name": "a.txt", "size": 1}),
    ("PUT", "/api/staff/uploads/abc?at=0", {}),
    ("POST", "/api/staff/uploads/abc/end", {}),
    ("POST", "/api/staff/changes", {"kind": "hide", "subject": "rules.md"}),
]


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
def test_a_change_without_session_or_token_is_refused(
    kiosk: Staffed, staff: Staff, method: str, path: str, body: dict[str, object]
) -> None:
    assert kiosk.running.client().request(method, path, json=body, headers=staff.headers).status_code == 401
    for headers in ({}, {HEADER: "guessed"}):
        assert staff.client.request(method, path, json=body, headers=headers).status_code == 401
    assert staff.titles(hidden=True) == []


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
def test_another_sites_page_changes_nothing(staff: Staff, method: str, path: str, body: dict[str, object]) -> None:
    for foreign in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = staff.client.request(method, path, json=body, headers={**staff.headers, **foreign})
        assert answer.status_code == 403


def test_the_cookie_is_for_this_page_alone(kiosk: Staffed) -> None:
    answer = kiosk.running.client().post("/api/staff/session", json={"code": CODE})
    cookie = answer.headers["set-cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=Strict", "Path=/api/staff"))
    assert answer.json()["token"] not in cookie


@pytest.mark.parametrize(
    "header", ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via", "CF-Connecting-IP"]
)
def test_a_request_that_was_passed_on_is_refused(kiosk: Staffed, staff: Staff, header: str) -> None:
    for path in ("/staff", "/api/staff"):
        assert staff.client.get(path, headers={header: "127.0.0.1"}).status_code == 403
    answer = staff.client.post("/api/staff/session", json={"code": CODE}, headers={header: "127.0.0.1"})
    assert answer.status_code == 403
    assert staff.client.get("/api/kiosk", headers={header: "127.0.0.1"}).json()["staff"] is False


@pytest.mark.parametrize("peer", ["192.168.1.20", "::ffff:192.168.1.20", "2001:db8::1", "", "unix"])
def test_a_peer_on_another_machine_is_refused_everywhere(kiosk: Staffed, peer: str) -> None:
    name = "kiosk.library.lan"
    held = kiosk.running.kiosk
    app = create_app(held.bundle, FakeEngine(), None, allowed_hosts=frozenset([name]), staff=held.staff)

    async def codes() -> list[int]:
        transport = httpx.ASGITransport(app, client=(peer, 4000))
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{name}") as client:
            answers = [await client.get(path) for path in ("/staff", "/api/staff", "/api/staff/documents")]
            answers.append(await client.post("/api/staff/session", json={"code": CODE}))
            answers += [await client.request(method, path, json=body) for method, path, body in CHANGES]
            assert (await client.get("/api/kiosk")).json()["staff"] is False
            return [answer.status_code for answer in answers]

    assert set(asyncio.run(codes())) == {403}


def test_signing_out_ends_the_session_and_what_was_under_way(kiosk: Staffed, staff: Staff) -> None:
    staff.client.post("/api/staff/uploads", json={"name": "a.txt", "size": 10}, headers=staff.headers)
    cookies = dict(staff.client.cookies)
    assert staff.client.post("/api/staff/session/end").json() == {"ended": True}
    again = kiosk.running.client()
    again.cookies.update(cookies)
    assert again.get("/api/staff").json()["signed_in"] is False
    assert again.get("/api/staff/documents").status_code == 401
    assert list((kiosk.desk.place / "documents" / "incoming").iterdir()) == []


def test_nothing_a_patron_asked_is_on_the_staff_page(staff: Staff) -> None:
    staff.found(f"When does the library open, {CANARY}?")
    assert CANARY not in json.dumps([staff.state(), staff.documents()])


def test_a_bundle_without_documents_has_no_staff_page(bundle: Bundle) -> None:
    with running(bundle, FakeEngine(), FakeDocuments()) as held:
        check_there_is_none(held)


def check_there_is_none(held: Running) -> None:
    client = held.client()
    assert client.get("/api/staff").json() == {"on": False, "signed_in": False, "wait": 0}
    assert client.post("/api/staff/session", json={"code": CODE}).status_code == 404
    assert client.post("/api/staff/changes", json={"kind": "undo"}).status_code == 404
