"""The voice with its pronunciation, laid out once in a run, and opened once in a module."""

from pathlib import Path

import pytest

from publicai_edge.engine.voice.normal import Reader
from publicai_edge.engine.voice.pronunciation import Pronunciation
from publicai_edge.engine.voice.talker import Talker
from tests import voiced
from tests.conftest import downloads


@pytest.fixture(scope="session")
def voice_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Joe; read only."""
    return voiced.folder(downloads(), tmp_path_factory.mktemp("voice"))


@pytest.fixture(scope="module")
def talker(voice_folder: Path) -> Talker:
    return Talker(voice_folder)


@pytest.fixture(scope="module")
def pronunciation(voice_folder: Path) -> Pronunciation:
    return Pronunciation(voice_folder)


@pytest.fixture(scope="module")
def reader(pronunciation: Pronunciation) -> Reader:
    return Reader(pronunciation)
