"""The keys a machine trusts: kept whole, shown by fingerprint, and never fewer without being told."""

from pathlib import Path

import pytest

from publicai_edge.bundle.signing.trust import TrustStore
from publicai_edge.errors import HostError, SignatureError
from tests.bundle.signing.signers import Person


@pytest.fixture
def store(tmp_path: Path) -> TrustStore:
    return TrustStore(tmp_path / "user" / "trusted-keys", tmp_path / "system" / "trusted-keys")


def listed(store: TrustStore) -> list[tuple[str, str]]:
    """Return name and scope of every key, in order."""
    known = store.keys()
    return [(key.name, key.scope) for key in known]


def test_no_key_is_trusted_at_first(store: TrustStore) -> None:
    assert store.keys() == ()


def test_key_is_trusted_until_it_is_removed(store: TrustStore, people: tuple[Person, ...]) -> None:
    ada, ben, _ = people
    added = store.add(ada.public_file, "hill-street")
    store.add(ben.public_file, "valley")
    assert added.fingerprint == ada.trusted.fingerprint
    assert added.place.read_bytes() == ada.public_file.read_bytes()
    assert listed(store) == [("hill-street", "user"), ("valley", "user")]
    store.remove("hill-street")
    store.remove(ben.trusted.fingerprint)
    assert store.keys() == ()
    with pytest.raises(SignatureError, match="trusted are: none"):
        store.remove("hill-street")


def test_system_and_user_count_and_a_key_counts_once(store: TrustStore, people: tuple[Person, ...]) -> None:
    ada, ben, _ = people
    store.add(ada.public_file, "from-the-office", "system")
    store.add(ben.public_file, "mine")
    (store.user / "again.pub").write_bytes(ada.public_file.read_bytes())
    assert listed(store) == [("from-the-office", "system"), ("mine", "user")]
    store.remove("from-the-office")
    assert listed(store) == [("mine", "user")]


def test_a_key_or_a_name_is_added_once(store: TrustStore, people: tuple[Person, ...]) -> None:
    ada, ben, _ = people
    store.add(ada.public_file, "hill-street")
    with pytest.raises(SignatureError, match="trusted already, as hill-street"):
        store.add(ada.public_file, "other")
    with pytest.raises(SignatureError, match="Another key is trusted as hill-street"):
        store.add(ben.public_file, "Hill-Street")
    assert len(store.keys()) == 1


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", ".hidden", "a" * 65, "two words", "é"])
def test_name_that_is_no_file_name_everywhere_is_refused(
    store: TrustStore, people: tuple[Person, ...], name: str
) -> None:
    with pytest.raises(SignatureError, match="cannot be the name of a key"):
        store.add(people[0].public_file, name)
    assert store.keys() == ()


def test_broken_file_in_the_store_is_an_error_and_not_a_key_less(store: TrustStore, people: tuple[Person, ...]) -> None:
    store.add(people[0].public_file, "hill-street")
    (store.user / "hill-street.pub").write_bytes(b"")
    with pytest.raises(SignatureError, match=r"hill-street\.pub is not a public key"):
        store.keys()
    (store.user / "hill-street.pub").unlink()
    store.user.rmdir()
    store.user.write_text("no folder")
    with pytest.raises(SignatureError, match="cannot be read"):
        store.keys()


def test_folder_that_cannot_be_written_is_told(tmp_path: Path, people: tuple[Person, ...]) -> None:
    (tmp_path / "file").write_text("")
    store = TrustStore(tmp_path / "file" / "keys", tmp_path / "none")
    with pytest.raises((HostError, SignatureError)):
        store.add(people[0].public_file, "hill-street")


def test_private_key_is_not_put_among_the_trusted(store: TrustStore, people: tuple[Person, ...]) -> None:
    with pytest.raises(SignatureError, match="private key"):
        store.add(people[0].private_file, "hill-street")
