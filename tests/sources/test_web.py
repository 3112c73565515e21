"""``https:`` against a local server with a real certificate."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from publicai_edge.errors import AccessError, IntegrityError, NotFoundError, OfflineError, SourceError
from publicai_edge.progress import Recorder
from publicai_edge.store import Store
from tests.sources.hub_server import HubServer

MODEL = b"GGUF" + bytes(range(256)) * 3000
SHA256 = hashlib.sha256(MODEL).hexdigest()


@pytest.fixture
def site(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with HubServer(certificate) as server:
        server.static["/m/model.gguf"] = MODEL
        yield server


def test_the_first_fetch_tells_the_digest_and_pins_it(site: HubServer, fetch, progress: Recorder):
    pin = fetch(f"{site.url}/m/model.gguf")
    assert pin.files.only().sha256 == SHA256
    assert SHA256 in progress.messages[0]
    site.stop()
    assert fetch(f"{site.url}/m/model.gguf", pin) is pin


def test_a_file_with_a_digest_needs_no_network_the_second_time(site: HubServer, fetch, progress: Recorder):
    pin = fetch(f"{site.url}/m/model.gguf", sha256=SHA256)
    assert progress.messages == []
    site.stop()
    assert fetch(f"{site.url}/m/model.gguf", sha256=SHA256) == pin


def test_a_wrong_digest_is_refused(site: HubServer, fetch, store: Store):
    with pytest.raises(IntegrityError, match=f"{'0' * 64}, found {SHA256}"):
        fetch(f"{site.url}/m/model.gguf", sha256="0" * 64)
    assert len(site.downloads("/m/")) == 1
    assert not list(store.partial.glob("*.part"))


def test_a_cut_is_resumed_only_while_the_file_is_the_same(site: HubServer, fetch):
    site.cut("/m/", 100_000)
    fetch(f"{site.url}/m/model.gguf")
    first, second = site.downloads("/m/")
    assert second.headers["if-range"] == f'"{SHA256}"'
    assert second.range == "bytes=100000-"
    assert first.sent + second.sent == len(MODEL)


def test_a_file_that_changed_in_between_is_fetched_whole(site: HubServer, fetch):
    site.cut("/m/", 100_000)
    site.cut("/m/", 0, times=10)
    with pytest.raises(SourceError):
        fetch(f"{site.url}/m/model.gguf")
    site._faults.clear()
    site.static["/m/model.gguf"] = changed = b"GGUF" + b"\7" * 300_000
    assert fetch(f"{site.url}/m/model.gguf").files.only().sha256 == hashlib.sha256(changed).hexdigest()


def test_without_validator_or_digest_nothing_is_resumed(site: HubServer, fetch):
    site.etags = False
    site.cut("/m/", 100_000)
    site.cut("/m/", 0, times=10)
    with pytest.raises(SourceError):
        fetch(f"{site.url}/m/model.gguf")
    site._faults.clear()
    site.log.clear()
    assert fetch(f"{site.url}/m/model.gguf").files.only().sha256 == SHA256
    assert [seen.range for seen in site.log] == [None]


def test_a_redirect_out_of_https_is_refused(site: HubServer, hub: HubServer, fetch):
    hub.static["/plain.gguf"] = MODEL
    site.redirects["/m/moved.gguf"] = f"{hub.url}/plain.gguf"
    with pytest.raises(SourceError, match="unencrypted"):
        fetch(f"{site.url}/m/moved.gguf")
    assert hub.log == []
    site.redirects["/m/moved.gguf"] = f"{site.cdn}/m/model.gguf"
    assert fetch(f"{site.url}/m/moved.gguf").files.files.keys() == {"moved.gguf"}


def test_a_redirect_without_end_is_given_up(site: HubServer, fetch):
    site.redirects["/m/round.gguf"] = f"{site.url}/m/round.gguf"
    with pytest.raises(SourceError, match="redirects more than"):
        fetch(f"{site.url}/m/round.gguf")


def test_the_users_netrc_is_used(site: HubServer, fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    site.basic = base64.b64encode(b"anna:secret").decode()
    with pytest.raises(AccessError, match="401") as caught:
        fetch(f"{site.url}/m/model.gguf")
    assert "netrc" in str(caught.value.hint)
    place = tmp_path / "netrc"
    place.write_text("machine 127.0.0.1 login anna password secret\n")
    place.chmod(0o600)
    monkeypatch.setenv("NETRC", str(place))
    assert fetch(f"{site.url}/m/model.gguf")


def test_a_missing_file_and_an_unreachable_host_are_told_apart(site: HubServer, fetch):
    with pytest.raises(NotFoundError, match="404"):
        site.answer("/m/none", 404)
        fetch(f"{site.url}/m/none.gguf")
    site.stop()
    with pytest.raises(OfflineError, match="cannot be reached"):
        fetch(f"{site.url}/m/model.gguf")


def test_an_untrusted_certificate_is_refused_at_once(site: HubServer, fetch, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(SourceError, match="not trusted") as caught:
        fetch(f"{site.url}/m/model.gguf")
    assert "SSL_CERT_FILE" in str(caught.value.hint)


def test_a_signature_in_the_query_is_not_shown(site: HubServer, fetch):
    site.answer("/m/", 403)
    with pytest.raises(AccessError) as caught:
        fetch(f"{site.url}/m/model.gguf?signature=secret")
    assert "secret" not in caught.value.message


def test_offline_says_what_is_missing(site: HubServer, fetch):
    with pytest.raises(OfflineError, match=r"model\.gguf is not in the cache"):
        fetch(f"{site.url}/m/model.gguf", offline=True)
    assert site.log == []
