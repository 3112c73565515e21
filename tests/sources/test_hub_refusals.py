"""``hf:`` when the hub says no: a token is missing, something is not there, too many ask."""

import pytest

from publicai_edge.errors import AccessError, NotFoundError, SourceError
from publicai_edge.store import Store
from tests.sources.hub_server import HubServer
from tests.sources.town_model import FILE, REPO, publish


@pytest.fixture(autouse=True)
def published(hub: HubServer) -> None:
    publish(hub)


def test_the_token_goes_to_the_hub_and_not_to_its_cdn(hub: HubServer, fetch, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.token, hub.repositories[REPO].private = "hf_secret", True
    fetch(FILE)
    assert all("authorization" in seen.headers for seen in hub.log if "/cdn/" not in seen.path)
    assert not any("authorization" in seen.headers for seen in hub.log if "/cdn/" in seen.path)


def test_a_private_or_missing_repository_says_how_to_log_in(hub: HubServer, fetch):
    for source in ("hf:library/absent/x.gguf", "hf:library/absent"):
        with pytest.raises(AccessError, match=r"private, or does not exist.*401") as caught:
            fetch(source)
        assert "hf auth login" in str(caught.value.hint)
        assert "HF_TOKEN" in str(caught.value.hint)


def test_a_gated_repository_says_where_to_accept_the_licence(hub: HubServer, fetch):
    hub.repositories[REPO].gated = True
    with pytest.raises(AccessError, match="gated") as caught:
        fetch(FILE)
    assert f"{hub.url}/{REPO}" in str(caught.value.hint)
    assert "hf auth login" in str(caught.value.hint)


def test_a_refused_token_is_told(hub: HubServer, fetch):
    hub.answer("/resolve/", 403)
    with pytest.raises(AccessError, match="403"):
        fetch(FILE)


def test_a_missing_repository_is_told_to_someone_logged_in(hub: HubServer, fetch, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.token = "hf_secret"
    with pytest.raises(NotFoundError, match="There is no repository library/absent"):
        fetch("hf:library/absent/x.gguf")


def test_a_missing_revision_is_named(fetch):
    with pytest.raises(NotFoundError, match="no revision 'v9'"):
        fetch(FILE, revision="v9")


def test_a_missing_file_brings_the_nearest_names(fetch):
    with pytest.raises(NotFoundError, match=r"no file 'town-q4_k_m\.gguf'") as caught:
        fetch(f"hf:{REPO}/town-q4_k_m.gguf")
    assert "town-Q4_K_M.gguf" in str(caught.value.hint)
    with pytest.raises(NotFoundError, match="no folder 'subs/'") as caught:
        fetch(f"hf:{REPO}/subs/")
    assert "sub/" in str(caught.value.hint)


def test_a_pinned_file_that_has_gone_is_named(hub: HubServer, fetch, store: Store):
    pin = fetch(FILE)
    store.path(pin.files.only()).unlink()
    del hub.repositories[REPO].files["town-Q4_K_M.gguf"]
    with pytest.raises(NotFoundError, match=r"town-Q4_K_M\.gguf does not exist"):
        fetch(FILE, pin)


@pytest.mark.parametrize("part", ["/api/", "/resolve/", "/cdn/"])
def test_too_many_requests_are_waited_for_as_long_as_the_server_asks(hub: HubServer, fetch, part: str, monkeypatch):
    import time

    waits: list[float] = []
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: (waits.append(seconds), sleep(0))[1])
    hub.answer(part, 429, headers={"Retry-After": "1"}, times=2)
    fetch(FILE)
    assert waits.count(1.0) == 2


@pytest.mark.parametrize("part", ["/api/", "/cdn/"])
def test_a_server_that_stays_busy_is_given_up(hub: HubServer, fetch, part: str):
    hub.answer(part, 429, headers={"Retry-After": "0"}, times=100)
    with pytest.raises(SourceError, match="429"):
        fetch(FILE)
    assert sum(seen.status == 429 for seen in hub.log) == 4


@pytest.mark.parametrize("part", ["/api/", "/cdn/"])
def test_a_server_that_asks_for_an_hour_is_not_waited_for(hub: HubServer, fetch, part: str):
    hub.answer(part, 429, headers={"Retry-After": "3600"}, times=100)
    with pytest.raises(SourceError, match="asks to wait 3,600 s"):
        fetch(FILE)
