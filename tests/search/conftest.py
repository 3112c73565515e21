from pathlib import Path

import pytest

from publicai_edge.engine.embedder import Embedder
from publicai_edge.knowledge import IndexSettings, build_index
from publicai_edge.progress import Silent
from publicai_edge.search import KnowledgeBase


@pytest.fixture(scope="session")
def embedder(embedder_folder):
    return Embedder.open(embedder_folder)


@pytest.fixture(scope="session")
def demo_index(embedder_folder, demo_documents, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("index") / "knowledge.sqlite"
    build_index(demo_documents, embedder_folder, out, IndexSettings(120), Silent())
    return out


@pytest.fixture
def knowledge(demo_index, embedder):
    base = KnowledgeBase.open(demo_index, embedder)
    yield base
    base.close()
