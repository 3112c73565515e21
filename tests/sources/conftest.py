"""A hub of one's own, a store of one's own, and nothing of the machine's accounts and caches."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from publicai_edge.progress import Recorder
from publicai_edge.recipe.lock import Pin
from publicai_edge.sources import Fetcher, Request
from publicai_edge.sources.retry import Patience
from publicai_edge.store import Store
from tests.sources.hub_server import HubServer

HASTY = Patience(tries=4, reach_tries=2, first_wait=0.01, longest_wait=0.02, longest_asked=2.0)

Fetch = Callable[..., Pin]


@pytest.fixture(autouse=True)
def own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's token, hub cache and offline switches out of the tests."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "PUBLICAI_EDGE_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def progress() -> Recorder:
    return Recorder()


@pytest.fixture
def fetch(store: Store, progress: Recorder, hub: HubServer, tmp_path: Path) -> Fetch:
    """Fetch a source from the local hub, impatiently."""

    def run(
        source: str,
        pin: Pin | None = None,
        *,
        revision: str | None = None,
        sha256: str | None = None,
        offline: bool = False,
        only: tuple[str, ...] = (),
    ) -> Pin:
        fetcher = Fetcher(store, progress, offline=offline, patience=HASTY, hub_endpoint=hub.url)
        found = fetcher.fetch(Request(source, revision, sha256, tmp_path, only), pin)
        assert store.has_all(found.files)
        return found

    return run


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and localhost that signs itself, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("needs the openssl program to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-days", "2", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    return cert, key
