"""``publicai-edge build``: what it tells of what was done."""

import shutil
import sys
from pathlib import Path

import pytest

from publicai_edge.artifact import FileSet
from publicai_edge.cli.build import _named, _program, _rows
from publicai_edge.pipeline.build import Built
from publicai_edge.pipeline.steps import StepResult


def step(name: str, seconds: float, peak: int = 0, *, reused: bool = False, **facts: object) -> StepResult:
    return StepResult(name, FileSet({}), facts, {"peak_rss_bytes": peak} if peak else {}, reused, seconds)


def test_steps_of_one_kind_are_told_in_one_line_with_their_total() -> None:
    steps = (
        step("inspect", 0.4),
        step("quantize", 2.0, 90_000_000, type="Q3_K_S"),
        step("loss", 10.0, 400_000_000),
        step("quantize", 3.0, 80_000_000, type="Q4_K_M"),
        step("loss", 12.5, 500_000_000),
        step("quantize", 0.0, 700_000_000, reused=True, type="Q5_K_M"),
        step("warm", 0.0, 1, reused=True),
    )
    assert _rows(Built(Path("dist/x"), True, steps, {})) == [
        ["inspect", "made", "0.4", ""],
        ["quantize", "2 made, 1 reused", "5.0", "90 MB"],
        ["loss", "2 made", "22.5", "500 MB"],
        ["warm", "reused", "", ""],
        ["pack", "written", "", ""],
    ]


def test_a_model_that_is_packed_unchanged_is_told_so() -> None:
    rows = _rows(Built(Path("dist/x"), False, (step("quantize", 0.0, reused=True, type="keep"),), {}))
    assert rows == [["quantize", "kept as it is", "", ""], ["pack", "unchanged", "", ""]]


def test_what_is_not_in_the_bundle_is_named_once_more_at_the_end() -> None:
    assert _named(["a.pdf"]) == "a.pdf is"
    assert _named(["a.pdf", "b.odt"]) == "a.pdf, b.odt are"
    assert _named([f"{letter}.pdf" for letter in "abcdefg"]) == "a.pdf, b.pdf, c.pdf, d.pdf, e.pdf and 2 more are"


def test_the_next_command_is_one_that_the_shell_finds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = Path(sys.executable).with_name("publicai-edge")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _program() == str(own)
    (tmp_path / "publicai-edge").symlink_to(own)
    assert shutil.which("publicai-edge")
    assert _program() == "publicai-edge"
