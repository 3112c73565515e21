"""``/status``: how the kiosk is, for whoever runs it, on that machine."""

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from publicai_edge.bundle.install import history
from publicai_edge.bundle.install.layout import Layout
from publicai_edge.bundle.open import Bundle
from publicai_edge.bundle.signing import vouching
from publicai_edge.engine.protocol import EngineMetrics
from publicai_edge.kiosk import operator_routes, words
from publicai_edge.kiosk.app import create_app
from publicai_edge.kiosk.slips import MOST, Slip, Slips
from tests.kiosk.conftest import Running, manifest, running, write_bundle
from tests.kiosk.fakes import FakeDocuments, FakeEngine

CANARY = "zanzibar-canary"
PATHS = ("/status", "/api/operator-status", "/api/operator-words")


def asked_from(address: str, bundle: Bundle, *, shared: bool) -> TestClient:
    app = create_app(bundle, FakeEngine(), None, allowed_hosts=frozenset({"kiosk:8017"}), share_status=shared)
    return TestClient(app, base_url="http://kiosk:8017", client=(address, 50000))


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1"])
def test_this_machine_reads_it(bundle: Bundle, address: str) -> None:
    client = asked_from(address, bundle, shared=False)
    assert [client.get(path).status_code for path in PATHS] == [200, 200, 200]


@pytest.mark.parametrize("address", ["192.168.1.20", "10.0.0.1", "fe80::1", "::ffff:10.0.0.1", "testclient", ""])
def test_no_other_machine_reads_it_unless_it_is_shared(bundle: Bundle, address: str) -> None:
    client = asked_from(address, bundle, shared=False)
    assert [client.get(path).status_code for path in PATHS] == [404, 404, 404]
    client = asked_from(address, bundle, shared=True)
    assert [client.get(path).status_code for path in PATHS] == [200, 200, 200]


@pytest.mark.parametrize("header", ["Forwarded", "Via", "X-Forwarded-For", "X-Real-IP"])
def test_a_request_that_was_passed_on_is_not_from_here(bundle: Bundle, header: str) -> None:
    client = asked_from("127.0.0.1", bundle, shared=False)
    assert client.get("/status", headers={header: "10.0.0.9"}).status_code == 404


def test_it_tells_model_documents_machine_bundle_and_counts(
    kiosk: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kiosk.engine.metrics = EngineMetrics(slots=4, slots_busy=2, queued=3, answered=14, failed=1, cancelled=2, refused=5)
    kiosk.engine.facts = {"slots_note": "2 of 4 slots"}
    monkeypatch.setattr(operator_routes.host, "processor_celsius", lambda: 61.5)
    told = kiosk.client().get("/api/operator-status").json()
    assert told["model"] == {
        "name": "SmolLM2-135M-Instruct",
        "quantization": "Q4_0",
        "state": "ready",
        "restarts": 0,
        "note": "2 of 4 slots",
    }
    assert told["answering"] == {"slots": 4, "busy": 2, "waiting": 3}
    assert told["counts"] == {"answered": 14, "failed": 1, "cancelled": 2, "refused": 5}
    assert told["documents"] == {"state": "ready", "documents": 2, "passages": 4, "ahead": None}
    assert told["machine"]["celsius"] == 61.5
    assert 0 < told["machine"]["memory_available"] <= told["machine"]["memory_total"]
    assert told["uptime_seconds"] >= 0
    assert told["troubles"] == []
    bundle = told["bundle"]
    assert (bundle["name"], bundle["version"], bundle["signature"], bundle["signers"]) == (
        "town-library",
        "1.0.0",
        "unsigned",
        [],
    )
    assert (bundle["valid_until"], bundle["expired"], bundle["changed"]) == (None, False, None)
    assert told["slips"] is None


def test_it_tells_how_far_passages_are_read_ahead(kiosk: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    for field, value in (("state", "full"), ("done", 5), ("all", 8)):
        monkeypatch.setattr(kiosk.kiosk.ahead, field, value)
    told = kiosk.client().get("/api/operator-status").json()
    assert told["documents"]["ahead"] == {"state": "full", "done": 5, "all": 8}


def test_nothing_of_a_question_is_in_it(kiosk: Running) -> None:
    client = kiosk.client()
    client.post("/api/ask", json={"service": "ask", "language": "en", "question": f"library {CANARY}"})
    assert CANARY not in client.get("/api/operator-status").text


def test_what_is_not_known_is_null_and_no_error(kiosk: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator_routes.host, "processor_celsius", lambda: None)
    monkeypatch.setattr(operator_routes.host, "memory_bytes", lambda: (0, 0))
    machine = kiosk.client().get("/api/operator-status").json()["machine"]
    assert (machine["celsius"], machine["memory_total"], machine["memory_available"]) == (None, None, None)


def test_troubles_and_a_last_day_that_has_passed_are_told(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", manifest(valid_until="2020-01-31"))
    with running(bundle, FakeEngine(), FakeDocuments()) as kiosk:
        kiosk.engine.state = "failed"
        told = kiosk.client().get("/api/operator-status").json()
    assert (told["bundle"]["valid_until"], told["bundle"]["expired"]) == ("2020-01-31", True)
    assert told["troubles"] == ["The model cannot be used, so questions get passages and no answer."]


def test_slips_are_counted_and_not_shown(bundle: Bundle, tmp_path: Path) -> None:
    slips = Slips(tmp_path / "state")
    slips.add(Slip("ask", "en", "other", question=CANARY, words=CANARY))
    with running(bundle, FakeEngine(), FakeDocuments(), slips=slips) as kiosk:
        answer = kiosk.client().get("/api/operator-status")
    assert answer.json()["slips"] == {"count": 1, "most": MOST}
    assert CANARY not in answer.text


def test_an_installed_bundle_tells_its_last_update(tmp_path: Path) -> None:
    layout = Layout(tmp_path, "town-library")
    bundle = write_bundle(layout.versions / "1-1.0.0", manifest())
    history.record(layout, "installed", entry="1-1.0.0")
    history.record(layout, "refused", reason=CANARY)
    with running(bundle, FakeEngine(), FakeDocuments()) as kiosk:
        changed = kiosk.client().get("/api/operator-status").json()["bundle"]["changed"]
    assert (changed["action"], changed["version"]) == ("installed", "1.0.0")
    assert changed["time"].endswith("+00:00")


@pytest.mark.parametrize("state", ["signed", "strange", "broken"])
def test_who_signed_is_told(kiosk: Running, monkeypatch: pytest.MonkeyPatch, state: Any) -> None:
    found = vouching.Vouching(state, ("hill-street",) if state == "signed" else ())
    monkeypatch.setattr(operator_routes.vouching, "of", lambda _root: found)
    bundle = kiosk.client().get("/api/operator-status").json()["bundle"]
    assert (bundle["signature"], bundle["signers"]) == (state, list(found.signers))


def test_its_words_come_in_every_language_and_stay_off_the_patrons_page(kiosk: Running) -> None:
    told = kiosk.client().get("/api/operator-words").json()
    assert told.keys() == set(words.shipped())
    assert told["ar"]["direction"] == "rtl"
    assert told["es"]["words"]["operator.well"] == "Todo funciona."
    assert {key.split(".")[0] for language in told.values() for key in language["words"]} == {"operator"}
    assert "operator." not in json.dumps(kiosk.client().get("/api/kiosk").json()["words"])


def test_the_page_has_one_address(kiosk: Running) -> None:
    client = kiosk.client()
    assert client.get("/status").headers["content-type"] == "text/html; charset=utf-8"
    assert client.get("/static/status.html").status_code == 404
    assert client.get("/static/status.js").status_code == 200
