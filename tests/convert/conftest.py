from pathlib import Path

import pytest

from publicai_edge.child import ChildResult
from publicai_edge.convert.embedding import ConversionReport, convert_embedding
from publicai_edge.progress import Silent
from tests.convert import minilm


@pytest.fixture(scope="session")
def source() -> Path:
    return minilm.source_model()


@pytest.fixture(scope="session")
def converted(source, tmp_path_factory) -> tuple[Path, ConversionReport, ChildResult]:
    """A fresh conversion, never from the cache."""
    out = tmp_path_factory.mktemp("converted") / "model"
    return out, *convert_embedding(source, out, minilm.INT8, Silent())
