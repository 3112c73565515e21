"""A small library whose staff page has a code, the kiosk that serves it, and staff who are signed in."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from publicai_edge.bundle.open import Bundle
from tests.kiosk.staff import Staff, Staffed, staffed, write_library


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_library(tmp_path_factory.mktemp("library") / "bundle")


@pytest.fixture
def kiosk(library: Bundle, tmp_path: Path) -> Iterator[Staffed]:
    with staffed(library, tmp_path / "state") as held:
        yield held


@pytest.fixture
def staff(kiosk: Staffed) -> Staff:
    return kiosk.signed_in()
