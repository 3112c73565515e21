"""The demo's recipe and its store, to be changed."""

import os
import shutil
from pathlib import Path

import pytest

from publicai_edge.store import Store
from tests.conftest import RECIPE


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A copy of the demo recipe, with its lock and documents, that a test may change."""
    folder = tmp_path / "recipes"
    shutil.copytree(RECIPE.parent, folder)
    return folder / RECIPE.name


@pytest.fixture
def warm_store(demo_store: Store, tmp_path: Path) -> Store:
    """A copy (of links) of the store that holds every stage of the demo."""
    shutil.copytree(demo_store.root, tmp_path / "cache", copy_function=os.link)
    return Store(tmp_path / "cache")
