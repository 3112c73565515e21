"""``hf:datasets/``: a data set is fetched as a model is, from its own addresses."""

import hashlib
import warnings

import pytest

from publicai_edge.artifact import Blob, FileSet
from publicai_edge.errors import AccessError, IntegrityError, NotFoundError, OfflineError, RecipeError
from publicai_edge.recipe.lock import Pin
from publicai_edge.sources import hub as hub_source
from publicai_edge.store import Store
from tests.sources.hub_server import HubServer

TEXTS = b"PAR1" + bytes(range(256)) * 2000
SHA256 = hashlib.sha256(TEXTS).hexdigest()
NAME = "library/town-texts"
REPO = f"datasets/{NAME}"
FILE = f"hf:{REPO}/de/texts.parquet"


@pytest.fixture(autouse=True)
def published(hub: HubServer) -> None:
    files = {"de/texts.parquet": TEXTS, "de/notes.md": b"# Notes", "en.jsonl": b'{"text": "A town"}', "README.md": b"#"}
    hub.add(REPO, files, lfs={"de/texts.parquet"})
    hub.add(NAME, {"de/texts.parquet": b"of the model that has the same name"})


def test_an_address_tells_a_data_set_from_a_model():
    assert hub_source.parse("hf:datasets/org/repo/a/b.txt") == hub_source.HubSource("datasets/org/repo", "a/b.txt")
    assert hub_source.parse("hf:datasets/org/repo") == hub_source.HubSource("datasets/org/repo", "")
    assert hub_source.parse("hf:org/datasets/x.txt") == hub_source.HubSource("org/datasets", "x.txt")


@pytest.mark.parametrize("source", ["hf:datasets/squad", "hf:datasets/squad/", "hf:datasets/", "hf:datasets"])
def test_a_data_set_without_an_organisation_is_answered_with_the_right_form(source: str):
    with pytest.raises(RecipeError) as caught:
        hub_source.parse(source)
    assert "(hf:datasets/… for a data set)" in str(caught.value.hint)


def test_a_file_is_fetched_from_the_data_set_and_not_from_the_model_of_its_name(hub: HubServer, fetch, store: Store):
    pin = fetch(FILE)
    files = FileSet({"texts.parquet": Blob(SHA256, len(TEXTS))})
    assert pin == Pin(FILE, hub.repositories[REPO].commit, None, files)
    assert store.read_bytes(pin.files.only()) == TEXTS
    asked = {seen.path for seen in hub.log if "/cdn/" not in seen.path}
    assert asked == {f"/api/{REPO}", f"/{REPO}/resolve/{pin.revision}/de/texts.parquet"}


def test_of_a_folder_only_the_wanted_files_are_fetched(hub: HubServer, fetch):
    wanted = ("*.jsonl", "*/*.parquet")
    assert sorted(fetch(f"hf:{REPO}/", only=wanted).files.files) == ["de/texts.parquet", "en.jsonl"]
    assert sorted(fetch(f"hf:{REPO}/de/").files.files) == ["notes.md", "texts.parquet"]
    assert not hub.downloads("README.md")


def test_a_cut_download_continues_where_it_stopped(hub: HubServer, fetch):
    hub.cut("/cdn/", 300_000)
    assert fetch(FILE).files.only().sha256 == SHA256
    assert [seen.range for seen in hub.downloads("/cdn/")] == [None, "bytes=300000-"]


def test_a_pin_stays_on_its_commit_when_the_branch_moved(hub: HubServer, fetch, store: Store):
    source = f"hf:{REPO}/"
    old = fetch(source)
    commit = hub.repositories[REPO].commit
    for _, blob in old.files:
        store.path(blob).unlink()
    hub.repositories[REPO].refs.clear()
    hub.log.clear()
    assert fetch(source, old) == old
    assert all(seen.path.startswith((f"/{REPO}/resolve/{commit}/", "/cdn/")) for seen in hub.log)


def test_bytes_that_differ_from_what_the_hub_lists_are_refused(hub: HubServer, fetch):
    with pytest.raises(IntegrityError, match=rf"texts\.parquet of {NAME} \(data set\)"):
        fetch(FILE, sha256="0" * 64)
    hub.corrupt.add("/cdn/")
    with pytest.raises(IntegrityError, match=SHA256):
        fetch(FILE)


def test_a_missing_file_brings_the_nearest_names(fetch):
    with pytest.raises(NotFoundError, match=rf"no file 'de/text\.parquet' in {NAME} \(data set\) at") as caught:
        fetch(f"hf:{REPO}/de/text.parquet")
    assert "de/texts.parquet" in str(caught.value.hint)


def test_a_missing_data_set_is_called_one(hub: HubServer, fetch, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(AccessError, match=r"library/absent \(data set\) is private, or does not exist"):
        fetch("hf:datasets/library/absent/")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.token = "hf_secret"
    with pytest.raises(NotFoundError, match=r"There is no repository library/absent \(data set\)"):
        fetch("hf:datasets/library/absent/")


def test_a_gated_data_set_says_where_to_accept_the_licence(hub: HubServer, fetch):
    hub.repositories[REPO].gated = True
    with pytest.raises(AccessError, match=r"\(data set\) is gated") as caught:
        fetch(FILE)
    assert f"{hub.url}/{REPO} with" in str(caught.value.hint)


def test_offline_the_hub_librarys_own_cache_is_enough(hub: HubServer, fetch):
    """The real library fills it: this also shows that the local server has the hub's shape for data sets."""
    import huggingface_hub

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        place = huggingface_hub.hf_hub_download(NAME, "de/texts.parquet", repo_type="dataset", endpoint=hub.url)
    assert "datasets--library--town-texts" in place
    hub.log.clear()
    pin = fetch(FILE, offline=True)
    assert (pin.revision, pin.files.only().sha256) == (hub.repositories[REPO].commit, SHA256)
    with pytest.raises(OfflineError, match="is not in the cache"):
        fetch(f"hf:{NAME}/de/texts.parquet", offline=True)
    assert hub.log == []
