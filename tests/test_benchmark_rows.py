"""A benchmark fails for a figure that was measured and is out of bounds, and for nothing else."""

import json
from pathlib import Path

import pytest

from benchmarks import rows


def test_what_is_not_built_is_named_and_fails_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    found = [rows.at_most("ours", "s", [1.0], 2.0), rows.missing("theirs", "llama-bench is not built", "s")]
    assert rows.report(found, None) == 0
    told = capsys.readouterr().out
    assert "missing: llama-bench is not built" in told
    assert "DOES NOT HOLD" not in told


def test_a_bound_that_does_not_hold_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert rows.report([rows.at_most("ours", "s", [3.0], 2.0)], None) == 1
    assert "DOES NOT HOLD" in capsys.readouterr().out


def test_what_there_is_no_figure_of_is_null_in_json(tmp_path: Path) -> None:
    """NaN and Infinity are no JSON (RFC 8259), and most other readers refuse the whole file over one."""
    few = [1.0, 1.1]
    found = [
        rows.missing("theirs", "llama-bench is not built", "s"),
        rows.missing("ours alone", "llama-bench is not built", "s", few),
        rows.against("few pairs", "s", few, "theirs", few, 2, paired=True),
    ]
    rows.report(found, tmp_path / "rows.json")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    none, alone, open_ended = json.loads((tmp_path / "rows.json").read_text(), parse_constant=refuse)["rows"]
    assert (none["ours"], none["runs"], none["run"]) == (None, [], False)
    assert alone["ours"] == pytest.approx(1.05)
    assert open_ended["interval"] == [0.0, None]
