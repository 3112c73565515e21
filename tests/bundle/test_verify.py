"""Verification: the signature first, each file once, bundle.json from the bytes that were hashed, and no quiet yes."""

import os
import shutil
import socket
from pathlib import Path

import pytest

from publicai_edge.bundle import bag, contents
from publicai_edge.bundle import manifest as bundle_manifest
from publicai_edge.bundle.signing import names, statement
from publicai_edge.bundle.signing import sign as signing
from publicai_edge.bundle.signing.trust import TrustStore
from publicai_edge.bundle.verify import verify, verify_here
from publicai_edge.errors import BundleError, SignatureError
from publicai_edge.progress import Silent, Task
from tests.bundle.signing.signers import Person, person
from tests.bundle.synthetic import KNOWLEDGE, MODEL, write_bundle


@pytest.fixture(scope="module")
def ada(tmp_path_factory: pytest.TempPathFactory) -> Person:
    return person(tmp_path_factory.mktemp("ada"), "ada")


@pytest.fixture
def signed(tmp_path: Path, ada: Person) -> Path:
    root = write_bundle(tmp_path / "bundles")
    ada.sign(root)
    return root


def test_each_file_is_opened_once_the_signature_first(
    signed: Path, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    real = os.open

    def counting(place: object, *rest: object, **more: object) -> int:
        opened.append(Path(str(place)).relative_to(signed).as_posix())
        return real(place, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(contents.os, "open", counting)
    verify(signed, Silent(), [ada.trusted])
    assert opened[0] == names.FILES[0]
    assert sorted(opened) == sorted(contents.look(signed).files)


def test_nothing_is_parsed_of_a_bundle_that_nobody_trusted_signed(
    signed: Path, ada: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def note(what: str) -> object:
        return lambda *_: read.append(what)

    monkeypatch.setattr(statement, "parse", note("statement"))
    monkeypatch.setattr(bag, "parse_manifest", note("bag"))
    monkeypatch.setattr(bundle_manifest, "parse", note("bundle.json"))
    monkeypatch.setattr(contents, "hash_all", note("files"))
    with pytest.raises(SignatureError, match="None of the trusted keys"):
        verify(signed, Silent(), [person(tmp_path, "stranger").trusted])
    (signed / names.FILES[0]).unlink()
    with pytest.raises(SignatureError, match="not signed"):
        verify(signed, Silent(), [ada.trusted])
    assert read == []


def test_manifests_and_bundle_json_are_parsed_only_after_all_files_hold(
    signed: Path, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.setattr(bag, "parse_manifest", lambda data, name: read.append(name))
    for path in (MODEL, "bundle.json", bag.PAYLOAD_MANIFEST):
        before = (signed / path).read_bytes()
        (signed / path).write_bytes(before[:-1])
        with pytest.raises(BundleError, match="is not what was signed"):
            verify(signed, Silent(), [ada.trusted])
        (signed / path).write_bytes(before)
    assert read == []


def test_bundle_json_is_taken_from_the_bytes_that_were_hashed(
    signed: Path, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is exchanged right after it was read gains nothing."""
    real = contents.read

    def exchanging(root: Path, path: str, most: int = contents.MOST_KEPT) -> bytes:
        data = real(root, path, most)
        if path == "bundle.json":
            (root / path).write_bytes(data.replace(b'"release": 1', b'"release": 9'))
        return data

    monkeypatch.setattr(contents, "read", exchanging)
    assert verify(signed, Silent(), [ada.trusted]).manifest.release == 1
    with pytest.raises(BundleError):
        verify(signed, Silent(), [ada.trusted])


def test_link_that_is_put_in_a_files_place_after_the_listing_is_not_followed(
    signed: Path, ada: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = contents.look

    def racing(root: Path) -> contents.Listing:
        listing = real(root)
        shutil.move(root / MODEL, tmp_path / "aside")
        (root / MODEL).symlink_to(tmp_path / "aside")
        return listing

    monkeypatch.setattr(contents, "look", racing)
    with pytest.raises(BundleError, match=r"Cannot read .*model\.gguf"):
        verify(signed, Silent(), [ada.trusted])


def test_pipe_that_is_put_in_a_files_place_after_the_listing_is_not_waited_for(
    signed: Path, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = contents.look

    def racing(root: Path) -> contents.Listing:
        listing = real(root)
        (root / MODEL).unlink()
        os.mkfifo(root / MODEL)
        return listing

    monkeypatch.setattr(contents, "look", racing)
    with pytest.raises(BundleError, match="no regular file any more"):
        verify(signed, Silent(), [ada.trusted])


def test_interruption_does_not_wait_for_the_end_of_a_large_file(tmp_path: Path) -> None:
    root = write_bundle(tmp_path, extra={f"data/large/{number}": bytes(64 << 20) for number in range(3)})
    told: list[int] = []

    class Ctrl(Silent):
        def task(self, *_: object, **__: object) -> Task:
            class Interrupting(Task):
                def advance(self, amount: int) -> None:
                    told.append(amount)
                    raise KeyboardInterrupt

            return Interrupting()

    with pytest.raises(KeyboardInterrupt):
        verify(root, Ctrl())
    assert sum(told) < 16 << 20


def test_machine_that_trusts_a_key_takes_no_unsigned_bundle(tmp_path: Path, ada: Person) -> None:
    store = TrustStore(tmp_path / "keys", tmp_path / "none")
    root = write_bundle(tmp_path / "bundles")
    assert verify_here(root, Silent(), store).signers == ()
    store.add(ada.public_file, "ada")
    with pytest.raises(SignatureError, match="not signed"):
        verify_here(root, Silent(), store)
    ada.sign(root)
    assert [key.name for key in verify_here(root, Silent(), store).signers] == ["ada"]


def test_bundle_that_asks_for_signatures_is_not_taken_where_none_can_be_checked(tmp_path: Path, ada: Person) -> None:
    store = TrustStore(tmp_path / "keys", tmp_path / "none")
    root = write_bundle(tmp_path / "bundles", signatures_required=1)
    ada.sign(root)
    with pytest.raises(SignatureError, match="no key is trusted on this machine"):
        verify_here(root, Silent(), store)
    with pytest.raises(SignatureError, match="no key is trusted"):
        verify_here(write_bundle(tmp_path / "other"), Silent(), store, require=1)
    store.add(ada.public_file, "ada")
    verify_here(root, Silent(), store)


def test_empty_list_of_keys_accepts_nothing(signed: Path) -> None:
    with pytest.raises(SignatureError):
        verify(signed, Silent(), [])


def test_folders_git_files_and_devices_are_told_of(signed: Path, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    def differing() -> list[str]:
        with pytest.raises(BundleError) as caught:
            verify(signed, Silent(), [ada.trusted])
        return list(caught.value.facts["added"])

    (signed / "data" / "empty" / "inner").mkdir(parents=True)
    assert differing() == ["data/empty/", "data/empty/inner/"]
    shutil.rmtree(signed / "data" / "empty")
    for name in (".git", "data/.GIT", "data/model/.github", ".gitignore"):
        (signed / name).mkdir()
        assert differing() == [name]
        (signed / name).rmdir()
    os.mkfifo(signed / "pipe")
    assert differing() == ["pipe"]
    (signed / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(signed)  # the path of a socket may not be long
        server.bind("socket")
        assert differing() == ["socket"]


def test_name_that_is_not_utf8_can_be_told(signed: Path, ada: Person) -> None:
    (signed / os.fsdecode(b"data/\xff\xfe.bin")).write_bytes(b"x")
    with pytest.raises(BundleError) as caught:
        verify(signed, Silent(), [ada.trusted])
    assert caught.value.message.encode()
    assert caught.value.facts["added"] == ["data/\\udcff\\udcfe.bin"]


def test_huge_bundle_json_is_not_read_into_memory(signed: Path) -> None:
    os.truncate(signed / "bundle.json", 1 << 40)
    with pytest.raises(BundleError, match="has more than"):
        verify(signed, Silent())


def test_bundle_json_that_names_what_is_not_there_is_refused(tmp_path: Path) -> None:
    """Built so: the bag is whole, and what its manifest names was never put in."""
    from publicai_edge.bundle.manifest import KnowledgeInfo

    other = KnowledgeInfo(file="data/other", license="x", documents=1, passages=1, top=1, min_relevance=0)
    root = write_bundle(tmp_path / "bundles", knowledge=other)
    with pytest.raises(BundleError, match="lacks data/other"):
        verify(root, Silent())
    assert KNOWLEDGE in contents.look(root).files


def test_signature_over_another_list_than_the_bags_is_refused(
    tmp_path: Path, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another tool signs whatever lies there; ours asks that the bag agrees."""
    root = write_bundle(tmp_path / "bundles")
    checked = verify(root, Silent())
    (root / "data" / "licenses" / "model.txt").write_bytes(b"changed")
    blobs = {**checked.blobs, "data/licenses/model.txt": contents.Blob(contents.digest.of_bytes(b"changed"), 7)}
    import dataclasses

    monkeypatch.setattr(signing, "verify", lambda *_: dataclasses.replace(checked, blobs=blobs))
    ada.sign(root)
    with pytest.raises(SignatureError, match=r"disagree on data/licenses/model\.txt"):
        verify(root, Silent(), [ada.trusted])
