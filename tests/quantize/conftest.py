"""A tiny model with experts, texts in two languages, and an importance matrix collected from them once."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from publicai_edge.corpus import Corpus, Document, TextSource
from publicai_edge.progress import Silent
from publicai_edge.quantize import ImatrixReport, collect
from tests.engine import tiny

SENTENCES = {
    "en": "The library opens at nine and closes at six. Bring your card when you borrow a book.",
    "es": "La biblioteca abre a las nueve y cierra a las seis. Traiga su carné cuando pida un libro prestado.",
}


def texts(first: int = 0, count: int = 6) -> Corpus:
    """Documents in English and Spanish; other numbers are other documents."""
    documents = tuple(
        Document(f"text-{number}", language, f"{number}. " + sentence * (2 + number % 3), f"{number}.{language}.txt")
        for number in range(first, first + count)
        for language, sentence in SENTENCES.items()
    )
    return Corpus(documents, (TextSource.of(documents, name="Notices", license="CC0-1.0", license_url=None),))


@dataclass(frozen=True)
class Calibrated:
    """A tiny model, its importance matrix, and what was said of collecting it."""

    model: Path
    imatrix: Path
    corpus: Corpus
    report: ImatrixReport


@pytest.fixture(scope="session")
def calibrated(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Calibrated:
    folder = tmp_path_factory.mktemp("calibrated")
    path, target = folder / "tiny.gguf", folder / "tiny.imatrix.gguf"
    tiny.write(path, model)
    report = collect(path, texts(), target, context=64, threads=1, progress=Silent())
    return Calibrated(path, target, texts(), report)
