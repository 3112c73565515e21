"""`staff-code`: a code is drawn, told once, and taken away."""

import json
from pathlib import Path

from publicai_edge.kiosk import staff_code
from tests.cli.conftest import Run
from tests.kiosk.conftest import manifest, write_bundle


def test_a_code_is_drawn_and_the_one_before_stops_to_work(run: Run, tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle", manifest())
    command = ["staff-code", tmp_path / "bundle", "--documents-dir", tmp_path / "state"]
    first = run(*command)
    assert first.returncode == 0, first.stderr
    second = json.loads(run(*command, "--json").stdout)
    stored = staff_code.load(tmp_path / "state")
    assert stored
    assert stored.fits(second["code"])
    assert not stored.fits(first.stdout.strip())
    assert first.stdout.strip() not in first.stderr, "talk does not hold it"
    assert run(*command, "--remove").returncode == 0
    assert staff_code.load(tmp_path / "state") is None


def test_a_folder_that_cannot_be_written_is_told(run: Run, tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle", manifest())
    (tmp_path / "state").write_text("a file")
    done = run("staff-code", tmp_path / "bundle", "--documents-dir", tmp_path / "state")
    assert done.returncode == 6
    assert "state" in done.stderr
