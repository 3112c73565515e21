"""The model, laid out once in a run, and opened once in a module."""

from pathlib import Path

import pytest

from publicai_edge.engine.speech.whisper import Whisper
from tests import spoken
from tests.conftest import downloads


@pytest.fixture(scope="session")
def speech_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whisper tiny; read only."""
    return spoken.folder(downloads(), tmp_path_factory.mktemp("speech") / "whisper")


@pytest.fixture(scope="module")
def whisper(speech_folder: Path) -> Whisper:
    return Whisper.open(speech_folder, threads=2)
