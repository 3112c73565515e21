"""``publicai-edge slips``: counted, exported and cleared from a process of its own."""

import csv
import json
from pathlib import Path

import pytest

from publicai_edge.kiosk.slips import Slip, Slips
from tests.cli.conftest import Run
from tests.kiosk.conftest import manifest, write_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle", manifest()).root


@pytest.fixture
def slips(tmp_path: Path) -> Slips:
    held = Slips(tmp_path / "state")
    held.add(Slip("ask", "en", "wrong", words="=1+1"))
    held.add(Slip("ask", "en", "other"))
    return held


def test_they_are_counted_exported_and_cleared(run: Run, bundle: Path, slips: Slips, tmp_path: Path) -> None:
    where = ("--documents-dir", tmp_path / "state")
    assert run("slips", bundle, *where).stdout == "2 slips\n"
    sheet = tmp_path / "slips.csv"
    done = run("slips", bundle, *where, "--export", sheet, "--clear", "--json")
    assert json.loads(done.stdout) == {"slips": 2, "exported": str(sheet), "cleared": True}
    rows = list(csv.reader(sheet.read_text("utf-8-sig").splitlines()))
    assert sorted(row[6] for row in rows[1:]) == ["", "'=1+1"]
    assert slips.read() == []
    assert run("slips", bundle, *where).stdout == "0 slips\n"


def test_they_lie_where_the_service_keeps_its_own(run: Run, bundle: Path, slips: Slips, tmp_path: Path) -> None:
    assert run("slips", bundle, PUBLICAI_EDGE_DOCUMENTS=str(tmp_path / "state")).stdout == "2 slips\n"


def test_what_cannot_be_exported_is_not_cleared(run: Run, bundle: Path, slips: Slips, tmp_path: Path) -> None:
    done = run("slips", bundle, "--documents-dir", tmp_path / "state", "--export", tmp_path, "--clear")
    assert done.returncode == 2
    assert "is a folder" in done.stderr
    assert slips.count() == 2
