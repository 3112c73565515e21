"""Bundles to install, and a folder to install them in."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bundle.synthetic import write_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Callable[..., Path]:
    """Writes a bundle of a version and a release."""
    return lambda version, release, **more: write_bundle(tmp_path / "bundles", version=version, release=release, **more)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "opt" / "kiosks"
