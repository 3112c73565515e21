"""Who vouches for a bundle that runs, told without reading all of it."""

from pathlib import Path

import pytest

from publicai_edge.bundle.signing import vouching
from publicai_edge.bundle.signing.trust import TrustStore
from publicai_edge.bundle.signing.vouching import Vouching
from tests.bundle.signing.signers import Person


@pytest.fixture
def store(tmp_path: Path, people: tuple[Person, ...]) -> TrustStore:
    """A machine that trusts the first two."""
    store = TrustStore(tmp_path / "user", tmp_path / "system")
    for someone in people[:2]:
        store.add(someone.public_file, someone.trusted.name)
    return store


def test_nobody(bundle: Path, store: TrustStore) -> None:
    assert vouching.of(bundle, store) == Vouching("unsigned")


def test_those_who_are_trusted_by_name(bundle: Path, store: TrustStore, people: tuple[Person, ...]) -> None:
    for someone in people:
        someone.sign(bundle)
    assert vouching.of(bundle, store) == Vouching("signed", ("ada", "ben"))


def test_a_stranger_has_no_name(bundle: Path, store: TrustStore, people: tuple[Person, ...]) -> None:
    people[2].sign(bundle)
    assert vouching.of(bundle, store) == Vouching("strange")


@pytest.mark.parametrize("changed", ["bundle.json", "tagmanifest-sha256.txt", "signature.sigstore.json"])
def test_a_signature_over_something_else_is_broken(
    bundle: Path, store: TrustStore, people: tuple[Person, ...], changed: str
) -> None:
    people[0].sign(bundle)
    with (bundle / changed).open("ab") as file:
        file.write(b"\n")
    assert vouching.of(bundle, store) == Vouching("broken")


def test_a_signature_that_was_made_for_another_bundle_is_broken(
    bundle: Path, store: TrustStore, people: tuple[Person, ...], tmp_path: Path
) -> None:
    people[0].sign(bundle)
    manifest = (bundle / "bundle.json").read_bytes().replace(b'"release": 1', b'"release": 2')
    (bundle / "bundle.json").write_bytes(manifest)
    assert vouching.of(bundle, store) == Vouching("broken")
