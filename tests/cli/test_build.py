"""``publicai-edge build``: what it tells of what was done."""

from pathlib import Path

from publicai_edge.artifact import FileSet
from publicai_edge.cli.build import _rows
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
