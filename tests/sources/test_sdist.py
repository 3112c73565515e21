"""``sdist:`` against a local index, with the settings of the real pip."""

import hashlib
import io
import json
import tarfile

import pytest

from publicai_edge.errors import IntegrityError, NotFoundError, OfflineError, RecipeError
from publicai_edge.sources.archive import open_tarball
from tests.sources.hub_server import HubServer

FILE = "town_model-1.0.tar.gz"


def sdist(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(f"town_model-1.0/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("town_model-1.0/tools/link.py")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return buffer.getvalue()


DATA = sdist({"tools/a.py": b"a", "tools/deep/b.py": b"b", "setup.py": b"raise SystemExit('was run')"})
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def index(hub: HubServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", f"{hub.url}/simple")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)

    def publish(sha256: str | None = SHA256, data: bytes = DATA, *, as_json: bool = False) -> str:
        hub.static[f"/files/{FILE}"] = data
        mark = f"#sha256={sha256}" if sha256 else ""
        page = f'<html><body><a href="../../files/{FILE}{mark}">{FILE}</a></body></html>'
        if as_json:
            hashes = {"sha256": sha256} if sha256 else {}
            page = json.dumps({"files": [{"url": f"../../files/{FILE}", "filename": FILE, "hashes": hashes}]})
        hub.static["/simple/town-model/"] = page.encode()
        return "sdist:town_model==1.0"

    return publish


def test_the_wanted_files_alone_are_taken_and_nothing_is_run(index, hub, fetch):
    pin = fetch(f"{index()}/tools/#sha256={SHA256}", only=("a.py", "deep/*.py"))
    assert sorted(pin.files.files) == ["a.py", "deep/b.py"]
    assert pin.archive == SHA256
    hub.stop()
    assert fetch(f"sdist:town_model==1.0/tools/#sha256={SHA256}", only=("a.py", "deep/*.py"), offline=True) == pin


def test_without_a_known_digest_the_indexs_is_used_and_said(index, fetch, progress):
    assert fetch(f"{index()}/tools/a.py").archive == SHA256
    assert SHA256 in progress.messages[0]


def test_without_any_digest_it_is_refused(index, fetch):
    with pytest.raises(IntegrityError, match="Nothing states the digest"):
        fetch(f"{index(sha256=None)}/tools/a.py")


def test_an_index_that_states_another_digest_is_refused_before_anything_is_fetched(index, hub, fetch):
    with pytest.raises(IntegrityError, match=SHA256):
        fetch(f"{index()}/tools/a.py#sha256={'1' * 64}")
    assert not hub.downloads("tar.gz$")


def test_a_file_that_is_not_what_its_digest_says_is_refused(index, fetch):
    with pytest.raises(IntegrityError, match="not what was asked for"):
        fetch(f"{index(data=DATA + b'x')}/tools/a.py#sha256={SHA256}")


def test_a_folder_of_pips_settings_is_used_without_a_network(index, hub, fetch, tmp_path, monkeypatch):
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / FILE).write_bytes(DATA)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    hub.stop()
    assert fetch(f"sdist:town-model==1.0/tools/a.py#sha256={SHA256}").archive == SHA256


def test_an_absent_version_and_an_absent_network_are_told_apart(index, hub, fetch):
    index()
    with pytest.raises(NotFoundError, match=r"no source distribution of town-model==2\.0"):
        fetch("sdist:town-model==2.0/tools/a.py")
    hub.stop()
    with pytest.raises(OfflineError, match="cannot be reached"):
        fetch("sdist:town-model==1.0/tools/a.py")


@pytest.mark.parametrize("source", ["sdist:town", "sdist:town==1/a#sha256=12", "sdist:town==1/../a"])
def test_a_malformed_source_is_told_the_form(fetch, source):
    with pytest.raises(RecipeError):
        fetch(source)


def test_a_link_in_it_is_never_followed(index, fetch):
    assert "tools/link.py" in _names(DATA)
    with pytest.raises(Exception, match="is a link"):
        fetch(f"{index()}/tools/link.py#sha256={SHA256}")


def _names(data: bytes) -> set[str]:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        path.write_bytes(data)
        with open_tarball(path, FILE) as archive:
            return set(archive.sizes)
