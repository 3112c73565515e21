"""``hf:`` against a local server of the hub's shape."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from publicai_edge.artifact import Blob, FileSet
from publicai_edge.errors import (
    IntegrityError,
    ModelError,
    NotFoundError,
    OfflineError,
    SourceError,
)
from publicai_edge.progress import Recorder
from publicai_edge.recipe.lock import Pin
from publicai_edge.store import Store
from tests.sources.hub_server import HubServer
from tests.sources.town_model import FILE, MODEL, REPO, SHA256, publish


@pytest.fixture(autouse=True)
def published(hub: HubServer) -> None:
    publish(hub)


def test_a_file_is_fetched_and_pinned_to_its_commit(hub: HubServer, fetch, store: Store):
    pin = fetch(FILE)
    files = FileSet({"town-Q4_K_M.gguf": Blob(SHA256, len(MODEL))})
    assert pin == Pin(FILE, hub.repositories[REPO].commit, None, files)
    assert store.read_bytes(pin.files.only()) == MODEL
    assert not list(store.partial.glob("*.part"))


def test_a_whole_repository_is_fetched_without_hidden_files(fetch):
    assert sorted(fetch(f"hf:{REPO}").files.files) == ["README.md", "sub/config.json", "town-Q4_K_M.gguf"]


def test_a_folder_is_fetched_by_paths_below_it(fetch):
    assert list(fetch(f"hf:{REPO}/sub/").files.files) == ["config.json"]


def test_of_a_folder_only_the_wanted_files_are_fetched(hub: HubServer, fetch):
    assert list(fetch(f"hf:{REPO}", only=("*.gguf", "*.safetensors")).files.files) == ["town-Q4_K_M.gguf"]
    assert not hub.downloads("README.md")
    with pytest.raises(NotFoundError, match=r"holds none of \*\.onnx"):
        fetch(f"hf:{REPO}", only=("*.onnx",))


def test_a_pinned_source_in_the_store_needs_no_network(hub: HubServer, fetch):
    pin = fetch(FILE)
    hub.stop()
    count = len(hub.log)
    assert fetch(FILE, pin) is pin
    assert len(hub.log) == count


def test_a_pin_asks_for_its_commit_even_when_the_branch_moved(hub: HubServer, fetch, store: Store):
    old = fetch(FILE)
    commit = hub.repositories[REPO].commit
    store.path(old.files.only()).unlink()
    hub.log.clear()
    assert fetch(FILE, old) == old
    assert not any("/api/" in seen.path for seen in hub.log)
    assert any(f"/resolve/{commit}/" in seen.path for seen in hub.log)


def test_a_pin_of_another_revision_is_resolved_anew(hub: HubServer, fetch):
    pin = fetch(FILE)
    hub.repositories[REPO].refs.add("v2")
    hub.log.clear()
    assert fetch(FILE, pin, revision="v2").asked == "v2"
    assert any("/revision/v2" in seen.path for seen in hub.log)


def test_what_differs_from_the_pin_is_refused_by_name_and_digests(hub: HubServer, fetch, store: Store):
    pin = fetch(FILE)
    store.path(pin.files.only()).unlink()
    hub.repositories[REPO].files["town-Q4_K_M.gguf"] = b"GGUX" + MODEL[4:]
    with pytest.raises(IntegrityError) as caught:
        fetch(FILE, pin)
    found = hashlib.sha256(b"GGUX" + MODEL[4:]).hexdigest()
    assert all(text in caught.value.message for text in ("town-Q4_K_M.gguf", SHA256, found))
    assert not list(store.partial.glob("*.part"))


def test_bytes_that_differ_from_what_the_hub_lists_are_refused(hub: HubServer, fetch, store: Store):
    hub.corrupt.add("/cdn/")
    with pytest.raises(IntegrityError, match=SHA256):
        fetch(FILE)
    assert not list(store.root.glob("objects/*/*"))


def test_files_outside_lfs_are_checked_too(hub: HubServer, fetch):
    hub.corrupt.add("README.md")
    with pytest.raises(IntegrityError, match="git blob id"):
        fetch(f"hf:{REPO}/README.md")


def test_a_wanted_digest_that_the_hub_does_not_list_is_refused_before_the_download(hub: HubServer, fetch):
    with pytest.raises(IntegrityError, match="the hub lists " + SHA256):
        fetch(FILE, sha256="0" * 64)
    assert not hub.downloads("/cdn/")


def test_a_cut_download_continues_where_it_stopped(hub: HubServer, fetch):
    hub.cut("/cdn/", 300_000)
    hub.cut("/cdn/", 200_000)
    fetch(FILE)
    first, second, third = hub.downloads("/cdn/")
    assert first.range is None
    assert second.range == "bytes=300000-"
    assert third.range == "bytes=500000-"
    assert first.sent + second.sent + third.sent == len(MODEL)


def test_a_download_given_up_is_continued_by_the_next_run(hub: HubServer, fetch):
    hub.cut("/cdn/", 400_000)
    hub.cut("/cdn/", 0, times=10)
    with pytest.raises(SourceError, match=r"0\.4 MB have arrived and are kept"):
        fetch(FILE)
    tries = len(hub.downloads("/cdn/"))
    assert tries == 5  # one that brought something, and four in a row that did not
    hub._faults.clear()
    fetch(FILE)
    last = hub.downloads("/cdn/")[-1]
    assert last.range == "bytes=400000-"
    assert last.sent == len(MODEL) - 400_000


def test_a_killed_download_is_continued_by_the_next_run(hub: HubServer, fetch, store: Store, tmp_path: Path):
    hub.hold("/cdn/", 600_000)
    script = f"""
from pathlib import Path
from publicai_edge.progress import Silent
from publicai_edge.sources import Fetcher, Request
from publicai_edge.store import Store
Fetcher(Store(Path({str(store.root)!r})), Silent()).fetch(Request({FILE!r}, None, None, Path(".")))
"""
    settings = {"HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(tmp_path / "hub-cache")}
    with subprocess.Popen([sys.executable, "-c", script], env={**os.environ, **settings}) as child:
        try:
            assert hub.held.wait(60)
            partial = _wait_for_bytes(store, 600_000)
        finally:
            child.send_signal(signal.SIGKILL)
    hub.release.set()
    assert partial.stat().st_size == 600_000
    fetch(FILE)
    assert hub.downloads("/cdn/")[-1].range == "bytes=600000-"
    assert sum(seen.sent for seen in hub.downloads("/cdn/")) == len(MODEL)


def _wait_for_bytes(store: Store, size: int) -> Path:
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        for path in store.partial.glob("*.part"):
            if path.stat().st_size >= size:
                return path
        time.sleep(0.02)
    raise AssertionError("the child did not get that far")


def test_a_spoilt_partial_is_thrown_away_and_fetched_again_once(hub: HubServer, fetch, store: Store):
    hub.cut("/cdn/", 400_000)
    hub.cut("/cdn/", 0, times=10)
    with pytest.raises(SourceError):
        fetch(FILE)
    hub._faults.clear()
    (partial,) = store.partial.glob("*.part")
    partial.write_bytes(b"\0" * 400_000)
    hub.log.clear()
    assert fetch(FILE).files.only().sha256 == SHA256
    assert [seen.range for seen in hub.downloads("/cdn/")] == ["bytes=400000-", None]


def test_a_server_without_ranges_is_read_from_the_start_again(hub: HubServer, fetch):
    hub.ranges = False
    hub.cut("/cdn/", 300_000)
    assert fetch(FILE).files.only().sha256 == SHA256
    assert [seen.status for seen in hub.downloads("/cdn/")] == [200, 200]


def test_two_processes_share_one_download(hub: HubServer, fetch, store: Store, progress: Recorder):
    from concurrent.futures import ThreadPoolExecutor

    hub.hold("/cdn/", 500_000)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(fetch, FILE)
        assert hub.held.wait(60)
        second = pool.submit(fetch, FILE)
        while not progress.messages:
            assert not second.done()
            time.sleep(0.01)
        hub.release.set()
        assert first.result() == second.result()
    assert "Another process is fetching" in progress.messages[0]
    assert sum(seen.sent for seen in hub.downloads("/cdn/")) == len(MODEL)


def test_an_unreachable_hub_without_cache_is_an_offline_error(hub: HubServer, fetch):
    hub.stop()
    with pytest.raises(OfflineError, match="cannot be reached") as caught:
        fetch(FILE)
    assert "HF_ENDPOINT" in str(caught.value.hint)


def test_an_unreachable_hub_falls_back_to_what_was_resolved_last(hub: HubServer, fetch, progress: Recorder):
    pin = fetch(FILE)
    hub.stop()
    assert fetch(FILE) == pin
    assert "last time" in progress.warnings[0]


def test_a_commit_fetched_before_needs_no_network(hub: HubServer, fetch):
    commit = hub.repositories[REPO].commit
    pin = fetch(FILE, revision=commit)
    hub.stop()
    assert fetch(FILE, revision=commit) == pin


def test_offline_uses_the_record_and_never_the_network(hub: HubServer, fetch):
    pin = fetch(FILE)
    hub.log.clear()
    assert fetch(FILE, offline=True) == pin
    with pytest.raises(OfflineError, match=r"README\.md is not in the cache") as caught:
        fetch(f"hf:{REPO}/README.md", offline=True)
    assert "publicai-edge pull" in str(caught.value.hint)
    assert hub.log == []


def test_offline_names_the_pinned_files_that_are_missing(hub: HubServer, fetch, store: Store):
    pin = fetch(f"hf:{REPO}")
    store.path(pin.files.files["README.md"]).unlink()
    with pytest.raises(OfflineError, match=r"missing: README\.md\)"):
        fetch(f"hf:{REPO}", pin, offline=True)


@pytest.mark.parametrize("variable", ["PUBLICAI_EDGE_OFFLINE", "HF_HUB_OFFLINE"])
def test_the_environment_can_say_offline(hub: HubServer, fetch, variable: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(variable, "1")
    with pytest.raises(OfflineError):
        fetch(FILE)
    assert hub.log == []


def test_a_file_in_the_hub_librarys_own_cache_is_linked_not_fetched(hub: HubServer, fetch, store: Store):
    place = _hub_download(hub, "town-Q4_K_M.gguf")
    hub.log.clear()
    pin = fetch(FILE)
    assert not hub.downloads("/cdn/")
    assert place.samefile(store.path(pin.files.only()))
    assert place.read_bytes() == MODEL


def test_offline_the_hub_librarys_own_cache_is_enough(hub: HubServer, fetch):
    _hub_download(hub, "town-Q4_K_M.gguf")
    hub.log.clear()
    pin = fetch(FILE, offline=True)
    assert (pin.revision, pin.files.only().sha256) == (hub.repositories[REPO].commit, SHA256)
    assert hub.log == []


def test_a_damaged_file_in_the_hub_librarys_cache_is_fetched_instead(hub: HubServer, fetch):
    _hub_download(hub, "town-Q4_K_M.gguf").write_bytes(b"\0" * len(MODEL))
    assert fetch(FILE).files.only().sha256 == SHA256


def _hub_download(hub: HubServer, name: str) -> Path:
    """Download with the real library: this also shows that the local server has the hub's shape."""
    import huggingface_hub

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Path(huggingface_hub.hf_hub_download(REPO, name, endpoint=hub.url)).resolve()


def test_a_renamed_repository_is_followed(hub: HubServer, fetch):
    old = hub.add("library/old-name", dict(hub.repositories[REPO].files))
    old.commit, old.renamed_to = hub.repositories[REPO].commit, REPO
    assert fetch("hf:library/old-name/town-Q4_K_M.gguf").files.only().sha256 == SHA256


def test_unsafe_and_colliding_names_in_a_repository_are_refused(hub: HubServer, fetch):
    hub.add("library/evil", {"m.gguf": b"GGUF", "../../evil": b"x"})
    with pytest.raises(SourceError, match="unsafe path"):
        fetch("hf:library/evil")
    hub.add("library/twins", {"m.gguf": b"GGUF", "M.GGUF": b"GGUX"})
    with pytest.raises(SourceError, match="one file on some systems"):
        fetch("hf:library/twins")


def test_a_pickle_is_refused_by_name_before_anything_is_fetched(hub: HubServer, fetch):
    with pytest.raises(ModelError, match="runs code") as caught:
        fetch(f"hf:{REPO}/pytorch_model.bin")
    assert "safetensors" in str(caught.value.hint)
    assert hub.log == []


def test_a_folder_is_fetched_without_its_pickles(hub: HubServer, fetch, progress: Recorder):
    import pickle

    hub.add(
        "library/mixed",
        {"model.safetensors": b"\x02\0\0\0\0\0\0\0{}", "pytorch_model.bin": b"x", "odd.bin": pickle.dumps({"a": [1]})},
    )
    assert list(fetch("hf:library/mixed").files.files) == ["model.safetensors"]
    assert "odd.bin, pytorch_model.bin" in progress.warnings[0]
    assert not hub.downloads("pytorch_model.bin")


def test_a_folder_with_no_other_weights_than_pickles_is_refused(hub: HubServer, fetch):
    hub.add("library/pickled", {"pytorch_model.bin": b"x", "config.json": b"{}"})
    with pytest.raises(ModelError, match=r"only as pickle files \(pytorch_model\.bin\)"):
        fetch("hf:library/pickled")


def test_a_full_disk_is_told_before_the_download(fetch, store: Store, monkeypatch: pytest.MonkeyPatch):
    from publicai_edge import atomic
    from publicai_edge.errors import HostError

    monkeypatch.setattr(atomic, "_free_bytes", lambda path: 1000)
    with pytest.raises(HostError, match=r"needs 1\.0 MB"):
        fetch(FILE)
    assert sum(path.stat().st_size for path in store.partial.iterdir()) == 0


def test_a_pin_survives_the_lock_file(fetch):
    pin = replace(fetch(FILE), asked="main")
    assert Pin.from_json(json.loads(json.dumps(pin.to_json()))) == pin
