from pathlib import Path

import pytest

from tests.convert import minilm

DEMO = Path(__file__).parents[2] / "recipes" / "documents" / "demo"


@pytest.fixture(scope="session")
def embedder_folder() -> Path:
    return minilm.converted_model()


@pytest.fixture(scope="session")
def demo_documents() -> dict[str, Path]:
    return {path.name: path for path in sorted(DEMO.glob("*.*"))}
