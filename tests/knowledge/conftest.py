from collections.abc import Callable
from pathlib import Path

import pytest

from publicai_edge.knowledge.blocks import Extracted
from publicai_edge.knowledge.extractor import Extractor, Limits
from tests.knowledge import scans


@pytest.fixture(scope="session")
def scan() -> bytes:
    """Two pages: a page of hours, and one about a flood."""
    return scans.pdf([scans.picture(scans.HOURS), scans.picture(scans.FLOOD, degrees=-1.2, seed=2)])


@pytest.fixture
def read_pdf(tmp_path: Path) -> Callable[..., Extracted]:
    def read(data: bytes, limits: Limits = scans.LIMITS) -> Extracted:
        (tmp_path / "file").write_bytes(data)
        with Extractor(limits) as extractor:
            return extractor.extract(tmp_path / "file", "a.pdf")

    return read
