"""``file:`` sources."""

import hashlib
import pickle
from pathlib import Path

import pytest

from publicai_edge.errors import IntegrityError, ModelError, NotFoundError
from publicai_edge.store import Store

MODEL = b"GGUF" + b"\1" * 5000


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    (folder / "sub").mkdir(parents=True)
    (folder / "model.gguf").write_bytes(MODEL)
    (folder / "sub" / "config.json").write_bytes(b"{}")
    (folder / ".git").mkdir()
    (folder / ".git" / "index").write_bytes(b"x")
    return folder


def test_a_file_is_copied_relative_to_the_recipe(fetch, store: Store, tmp_path: Path):
    pin = fetch("file:models/model.gguf")
    assert pin.files.files.keys() == {"model.gguf"}
    assert store.read_bytes(pin.files.only()) == MODEL
    assert (tmp_path / "models" / "model.gguf").read_bytes() == MODEL
    assert fetch(f"file:{tmp_path}/models/model.gguf").files == pin.files


def test_a_folder_is_copied_without_hidden_files(fetch):
    for source in ("file:models/", "file:models"):
        assert sorted(fetch(source).files.files) == ["model.gguf", "sub/config.json"]


def test_a_folder_of_links_is_followed(fetch, tmp_path: Path):
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "model.gguf").symlink_to(tmp_path / "models" / "model.gguf")
    assert list(fetch("file:snapshot/").files.files) == ["model.gguf"]


def test_a_missing_file_is_named_with_the_nearest(fetch, tmp_path: Path):
    with pytest.raises(NotFoundError, match=r"models/modell\.gguf") as caught:
        fetch("file:models/modell.gguf")
    assert "model.gguf" in str(caught.value.hint)
    with pytest.raises(NotFoundError) as caught:
        fetch("file:nowhere/model.gguf")
    assert "no folder" in str(caught.value.hint)
    with pytest.raises(NotFoundError, match="not a folder"):
        fetch("file:models/model.gguf/")


def test_an_edited_file_does_not_pass_for_the_pinned_one(fetch, files: Path):
    pin = fetch("file:models/model.gguf")
    (files / "model.gguf").write_bytes(b"GGUX" + MODEL)
    with pytest.raises(IntegrityError, match=pin.files.only().sha256):
        fetch("file:models/model.gguf", pin)
    (files / "model.gguf").unlink()
    assert fetch("file:models/model.gguf", pin) == pin


def test_a_pinned_folder_with_another_file_is_refused(fetch, files: Path):
    pin = fetch("file:models/")
    (files / "extra.json").write_bytes(b"{}")
    with pytest.raises(IntegrityError, match=r"does not pin: extra\.json"):
        fetch("file:models/", pin)


def test_a_wrong_digest_is_refused(fetch):
    with pytest.raises(IntegrityError, match=hashlib.sha256(MODEL).hexdigest()):
        fetch("file:models/model.gguf", sha256="0" * 64)
    assert fetch("file:models/model.gguf", sha256=hashlib.sha256(MODEL).hexdigest())
    folder = fetch("file:models/").files.sha256
    assert fetch("file:models/", sha256=folder)


def test_a_pickle_is_refused_by_content_whatever_its_name(fetch, files: Path):
    (files / "model.gguf").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ModelError, match="by its content"):
        fetch("file:models/model.gguf")
    (files / "shard.bin").write_bytes(b"\x00\x01plain data")
    assert sorted(fetch("file:models/").files.files) == ["shard.bin", "sub/config.json"]


def test_offline_a_local_file_is_still_read(fetch):
    assert fetch("file:models/model.gguf", offline=True)
