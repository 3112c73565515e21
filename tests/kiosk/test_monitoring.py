"""``/health`` and ``/metrics``: what an operator's own tools read; Prometheus's own parser reads it here."""

import os

import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from publicai_edge.engine.protocol import EngineMetrics
from tests.kiosk.conftest import Running, manifest, running, write_bundle
from tests.kiosk.fakes import FakeDocuments, FakeEngine

CANARY = "zanzibar-canary"
COUNTS = EngineMetrics(
    slots=4,
    slots_busy=2,
    queued=3,
    requests=21,
    answered=14,
    failed=1,
    cancelled=2,
    refused=3,
    restarts=5,
    prompt_tokens=900,
    reused_tokens=700,
    completion_tokens=300,
    queue_seconds=1.5,
    prefill_seconds=2.25,
    decode_seconds=1e-7,
)


def read(text: str) -> dict[tuple[str, str], float]:
    """Return every sample under its name and the values of its labels."""
    return {
        (sample.name, " ".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_health_is_200_when_the_model_answers_and_503_while_it_does_not(kiosk: Running) -> None:
    client = kiosk.client()
    answer = client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "engine": "ready"})
    for state in ("loading", "restarting", "failed", "closed"):
        kiosk.engine.state = state  # type: ignore[assignment]
        answer = client.get("/health")
        assert (answer.status_code, answer.json()) == (503, {"status": "unavailable", "engine": state})
        assert int(answer.headers["retry-after"]) > 0
    kiosk.engine.state = "ready"
    assert client.head("/health").status_code == 200


def test_health_tells_when_memory_allows_fewer_slots_than_were_asked_for(kiosk: Running) -> None:
    kiosk.engine.facts = {"slots_note": "2 of 4 slots"}
    assert kiosk.client().get("/health").json() == {"status": "ok", "engine": "ready", "note": "2 of 4 slots"}


def test_metrics_are_read_by_prometheus_own_parser(kiosk: Running) -> None:
    kiosk.engine.metrics = COUNTS
    kiosk.engine.facts = {"pid": os.getpid(), "states_reused": 4, "states_rebuilt": {"ask.en.state": "is gone"}}
    answer = kiosk.client().get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "access-control-allow-origin" not in answer.headers
    samples = read(answer.text)
    expected = {
        ("publicai_edge_slots", ""): 4,
        ("publicai_edge_slots_busy", ""): 2,
        ("publicai_edge_requests_queued", ""): 3,
        ("publicai_edge_requests_total", "answered"): 14,
        ("publicai_edge_requests_total", "failed"): 1,
        ("publicai_edge_requests_total", "cancelled"): 2,
        ("publicai_edge_requests_total", "refused"): 3,
        ("publicai_edge_prompt_tokens_total", ""): 900,
        ("publicai_edge_reused_tokens_total", ""): 700,
        ("publicai_edge_completion_tokens_total", ""): 300,
        ("publicai_edge_queue_seconds_total", ""): 1.5,
        ("publicai_edge_prefill_seconds_total", ""): 2.25,
        ("publicai_edge_decode_seconds_total", ""): 1e-7,
        ("publicai_edge_worker_restarts_total", ""): 5,
        ("publicai_edge_stored_states", "reused"): 4,
        ("publicai_edge_stored_states", "rebuilt"): 1,
        ("publicai_edge_engine_state", "ready"): 1,
        ("publicai_edge_engine_state", "loading"): 0,
    }
    assert {name: samples[name] for name in expected} == expected
    for process in ("web", "worker"):
        assert samples["publicai_edge_resident_memory_bytes", process] > 10 << 20


def test_every_metric_has_help_a_type_and_a_name_by_the_rules(kiosk: Running) -> None:
    families = list(text_string_to_metric_families(kiosk.client().get("/metrics").text))
    assert len({family.name for family in families}) == len(families) > 10
    for family in families:
        assert family.name.startswith("publicai_edge_")
        assert family.documentation.endswith(".")
        assert family.type in {"gauge", "counter"}
        assert all(sample.name.endswith("_total") == (family.type == "counter") for sample in family.samples)


def test_passages_that_are_read_ahead_are_counted_where_they_are(
    kiosk: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "publicai_edge_passages_read_ahead"
    assert not any(name == family for family, _ in read(kiosk.client().get("/metrics").text))
    for field, value in (("state", "reading"), ("done", 3), ("all", 8)):
        monkeypatch.setattr(kiosk.kiosk.ahead, field, value)
    samples = read(kiosk.client().get("/metrics").text)
    assert (samples[name, "yes"], samples[name, "not yet"]) == (3, 5)


def test_a_worker_that_is_gone_has_no_memory(kiosk: Running) -> None:
    kiosk.engine.facts = {"pid": 2**22 + 1}
    samples = read(kiosk.client().get("/metrics").text)
    assert ("publicai_edge_resident_memory_bytes", "web") in samples
    assert ("publicai_edge_resident_memory_bytes", "worker") not in samples


def test_labels_are_escaped(tmp_path_factory: pytest.TempPathFactory) -> None:
    bundle = write_bundle(tmp_path_factory.mktemp("odd") / "bundle", manifest(version='1"\\\n2'))
    with running(bundle, FakeEngine(), FakeDocuments()) as held:
        families = text_string_to_metric_families(held.client().get("/metrics").text)
        info = next(family for family in families if family.name == "publicai_edge_info")
        assert info.samples[0].labels["bundle_version"] == '1"\\\n2'


def test_nothing_of_a_request_is_in_the_metrics(kiosk: Running) -> None:
    kiosk.engine.text = CANARY
    with openai.OpenAI(base_url=f"{kiosk.url}/v1", api_key=CANARY, max_retries=0) as client:
        client.completions.create(model="SmolLM2-135M-Instruct", prompt=CANARY, user=CANARY, stop=CANARY + "!")
    kiosk.client().get(f"/v1/models/{CANARY}")
    client_names = {request.client for request in kiosk.engine.requests}
    told = kiosk.client().get("/metrics").text
    assert CANARY not in told
    assert not any(name in told for name in client_names)
