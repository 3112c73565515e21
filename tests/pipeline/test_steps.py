"""A step is done again when anything of its code changed."""

from pathlib import Path

import pytest

from publicai_edge.pipeline import runtimes
from publicai_edge.pipeline.steps import source_digest


def test_the_digest_of_a_package_counts_all_of_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "outer" / "inner"
    (package / "page").mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").write_text("x = 1\n")
    (package / "page" / "app.js").write_text("let x = 1;\n")
    monkeypatch.syspath_prepend(tmp_path)
    uncached = source_digest.__wrapped__
    before = uncached("outer.inner")
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "x.pyc").touch()
    assert uncached("outer.inner") == before
    (package / "page" / "app.js").write_text("let x = 2;\n")
    assert uncached("outer.inner") != before


def test_everything_that_a_runtime_holds_of_this_project_makes_another_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[str] = []

    def noted(name: str) -> str:
        named.append(name)
        return name

    monkeypatch.setattr(runtimes, "source_digest", noted)
    runtimes.source()
    assert {"publicai_edge.kiosk", "publicai_edge.recipe", "publicai_edge.store", "publicai_edge.cli"} <= set(named)
