"""A reference to measure against, made once: SmolLM2 in 16 bits, and two quantizations of it."""

from pathlib import Path

import pytest

from publicai_edge.corpus import Document
from publicai_edge.evaluate.reference import ReferenceFile, make_reference
from publicai_edge.progress import Silent
from publicai_edge.quantize import quantize

TEXTS = {
    "en": (
        "All human beings are born free and equal in dignity and rights.",
        "Everyone has the right to life, liberty and security of person.",
        "No one shall be held in slavery or servitude; the slave trade shall be prohibited in all its forms.",
        "Everyone has the right to recognition everywhere as a person before the law.",
        "Everyone has the right to rest and leisure, including reasonable limitation of working hours. " * 6,
    ),
    "es": (
        "Todos los seres humanos nacen libres e iguales en dignidad y derechos.",
        "Todo individuo tiene derecho a la vida, a la libertad y a la seguridad de su persona.",
    ),
}
DOCUMENTS = tuple(
    Document(f"article-{number}", language, text, "udhr")
    for language, texts in TEXTS.items()
    for number, text in enumerate(texts, 1)
)
CONTEXT = 64


@pytest.fixture(scope="session")
def q3(f16: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A coarse quantization."""
    target = tmp_path_factory.mktemp("q3") / "smollm2.q3.gguf"
    quantize(f16, target, "Q3_K_M", allow_requantize=True, progress=Silent())
    return target


@pytest.fixture(scope="session")
def reference(f16: Path, tmp_path_factory: pytest.TempPathFactory) -> ReferenceFile:
    """What the 16-bit model says of :data:`DOCUMENTS`."""
    return make_reference(
        tmp_path_factory.mktemp("reference") / "reference", f16, DOCUMENTS, context=CONTEXT, progress=Silent()
    )
