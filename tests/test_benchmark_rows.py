"""A benchmark fails for a figure that was measured and is out of bounds, and for nothing else."""

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
