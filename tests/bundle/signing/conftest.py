"""A few people who sign, and a bundle of a few kilobytes."""

from pathlib import Path

import pytest

from tests.bundle.signing.signers import Person, person
from tests.bundle.synthetic import write_bundle


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> tuple[Person, Person, Person]:
    """Three people, each with a key on P-256."""
    folder = tmp_path_factory.mktemp("people")
    return person(folder, "ada"), person(folder, "ben"), person(folder, "eve")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle that nobody signed yet."""
    return write_bundle(tmp_path / "bundles")
