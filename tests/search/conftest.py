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


BILINGUAL = {
    "printing.md": "# Printing\n\nYou can print at the machine beside the stairs. A page on A4 costs 10 cents, a page "
    "on A3 20 cents. Pay with coins or with your library card.",
    "impresion.md": "# Impresión\n\nSe puede imprimir en la máquina que está junto a la escalera. Una página en A4 "
    "cuesta 10 céntimos, una página en A3 20 céntimos. Se paga con monedas o con el carné.",
}


@pytest.fixture(scope="session")
def bilingual_index(embedder_folder, tmp_path_factory) -> Path:
    """The same rule in English and in Spanish."""
    folder = tmp_path_factory.mktemp("bilingual")
    for name, text in BILINGUAL.items():
        (folder / name).write_text(text, "utf-8")
    documents = {name: folder / name for name in BILINGUAL}
    build_index(documents, embedder_folder, folder / "index.sqlite", IndexSettings(120), Silent())
    return folder / "index.sqlite"


@pytest.fixture
def bilingual(bilingual_index, embedder):
    base = KnowledgeBase.open(bilingual_index, embedder)
    yield base
    base.close()


@pytest.fixture
def knowledge(demo_index, embedder):
    base = KnowledgeBase.open(demo_index, embedder)
    yield base
    base.close()
