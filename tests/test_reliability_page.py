"""The page about reliability claims what was shown, and nothing else."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from scripts import make_reliability
from tests.promises import PROMISES

NOTHING = {
    "passed": 0,
    "failed": 0,
    "skipped": 0,
    "broken_build_found": None,
    "form": None,
    "not_run": [],
    "figures": [],
}
HELD = NOTHING | {"passed": 3, "broken_build_found": True, "form": "long"}


def run(date: str = "2026-11-29", **kept: dict[str, Any]) -> dict[str, Any]:
    machine = {"cpu": "A Processor | 3000", "cores": 2, "memory_gib": 8}
    promises = {name: copy.deepcopy(kept.get(name, NOTHING)) for name in PROMISES}
    return {"date": f"{date}T10:00:00+00:00", "commit": "c" * 40, "changed": False, "machine": machine} | {
        "promises": promises
    }


def line(name: str, *runs: dict[str, Any]) -> list[str]:
    rows = [row for row in make_reliability.page(runs).splitlines() if row.startswith(f"| {name} |")]
    assert len(rows) == 1
    return [cell.strip() for cell in rows[0].replace(r"\|", "¦").split("|")[4:-1]]


def figure(name: str, value: float, **more: Any) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": "s", "bound": None, "form": "short", "broken_build": False} | more


def test_there_is_a_line_for_each_promise_of_the_account() -> None:
    assert tuple(make_reliability.PROMISES) == PROMISES
    for name in PROMISES:
        assert line(name, run())[0] == "**not run**"
        assert line(name, run())[2] == "not run"


def test_what_holds_and_what_does_not() -> None:
    assert line("R1", run(R1=HELD))[0] == "holds: 3 tests"
    assert line("R1", run(R1=HELD | {"form": "short"}))[0] == "short form passed: 3 tests"
    assert line("R1", run(R1=HELD | {"failed": 1}))[0] == "**broken**: 1 of 4 tests failed"
    assert line("R1", run(R1=HELD | {"broken_build_found": False}))[2] == "**no**"
    skipped = {"skipped": 2, "not_run": ["there is no strace"] * 2}
    assert line("R1", run(R1=HELD | skipped))[0] == "holds: 3 tests; 2 not run: there is no strace"
    assert line("R1", run(R1=NOTHING | skipped))[0] == "**not run**: there is no strace"


def test_where_and_when_and_in_which_form() -> None:
    cells = line("R2", run(R2=HELD))
    assert cells[3:] == ["long", "2026-11-29, ccccccc"]
    assert "measured on: A Processor | 3000, 2 cores, 8 GiB of memory." in make_reliability.page([run(R2=HELD)])
    other = run(R3=HELD) | {"machine": {"cpu": "Another", "cores": 4, "memory_gib": 2}}
    both = [run(R2=HELD), other]
    assert line("R2", *both)[4] == "2026-11-29, ccccccc; A Processor ¦ 3000, 2 cores, 8 GiB of memory"
    assert line("R3", *both)[4].endswith("; Another, 4 cores, 2 GiB of memory")
    assert "measured on" not in make_reliability.page(both)


def test_the_page_begins_with_which_hold() -> None:
    kept = {"R1": HELD, "R2": HELD | {"form": "short"}, "R3": HELD | {"failed": 1}, "R4": HELD | {"form": "only"}}
    unseen = HELD | {"broken_build_found": False}
    others = ", ".join(name for name in PROMISES if name not in {*kept, "R5"})
    bullets = [row for row in make_reliability.page([run(**kept, R5=unseen)]).splitlines() if row.startswith("- ")]
    assert [bullet.partition(": ")[2] for bullet in bullets] == ["R1, R4", "R2", "R3, R5", others]
    assert [bullet.split()[1] for bullet in bullets] == ["Hold", "Passed", "Do", "Were"]


def test_the_last_run_of_each_promise_counts_and_one_that_skipped_it_does_not() -> None:
    old, new = run("2026-01-01", R1=HELD, R2=HELD), run("2026-02-02", R1=HELD, R2=NOTHING | {"not_run": ["no strace"]})
    assert line("R1", old, new)[-1].startswith("2026-02-02")
    assert line("R2", old, new)[-1].startswith("2026-01-01")


def test_the_long_forms_figure_takes_the_place_of_the_short_ones() -> None:
    short, long = figure("slowest", 1.0), figure("slowest", 2.5, form="long", bound="<= 10")
    other, broken = figure("kills", 50), figure("kills until it broke", 3, broken_build=True)
    cells = line("R3", run(R3=HELD | {"figures": [short, long, other, broken]}))
    assert cells[1] == "slowest: 2.5 s (bound: ≤ 10)<br>kills: 50 s"
    assert cells[2] == "yes<br>kills until it broke: 3 s"


def test_of_a_figure_that_was_measured_often_the_worst_is_shown() -> None:
    times = [figure("longest", value, bound="<= 2") for value in (0.5, 1.5, 0.25)]
    gains = [figure("gain", value, bound=">= 3") for value in (7, 3, 9)]
    wrong = [figure("accepted", value, bound="== 0") for value in (0, 2, 0)]
    kinds = [figure("broke at", value) for value in (4, 5)]
    cells = line("R3", run(R3=HELD | {"figures": times + gains + wrong + kinds}))
    assert cells[1].replace(" s", "").split("<br>") == [
        *("longest: 1.5 (bound: ≤ 2)", "gain: 3 (bound: ≥ 3)", "accepted: 2 (bound: 0)", "broke at: 4", "broke at: 5")
    ]


def test_an_account_that_is_not_there_is_told_with_what_makes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make_reliability.main([str(tmp_path / "none.json"), "-o", str(tmp_path / "page.md")]) == 3
    assert "make soak" in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()


def test_the_page_is_written_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "account.json").write_text(json.dumps(run(R1=HELD)))
    assert make_reliability.main([str(tmp_path / "account.json"), "-o", str(tmp_path / "page.md")]) == 0
    assert (tmp_path / "page.md").read_text() == make_reliability.page([run(R1=HELD)])


def test_a_short_form_that_passes_does_not_take_a_long_ones_place_and_one_that_fails_does() -> None:
    long, short = run("2026-01-01", R1=HELD), run("2026-02-02", R1=HELD | {"form": "short"})
    assert line("R1", long, short)[3:] == ["long", "2026-01-01, ccccccc"]
    assert line("R1", short, run("2026-03-03", R1=HELD))[3] == "long"
    failed = run("2026-02-02", R1=HELD | {"form": "short", "failed": 1})
    assert line("R1", long, failed)[0].startswith("**broken**")
    assert line("R1", failed, short)[0].startswith("short form passed"), (
        "a later run takes the place of one that failed"
    )


def test_what_counts_is_kept_beside_the_page_for_the_next_run(tmp_path: Path) -> None:
    runs = [run("2026-01-01", R1=HELD, R2=HELD), run("2026-02-02", R2=HELD, R3=HELD), run("2026-03-03", R3=HELD)]
    for number, account in enumerate(runs):
        file = tmp_path / f"{number}.json"
        file.write_text(json.dumps(account))
        assert make_reliability.main([str(file), "-o", str(tmp_path / "page.md")]) == 0
    kept = json.loads((tmp_path / "page.json").read_text())
    assert [(item["date"][:10], list(item["promises"])) for item in kept] == [
        ("2026-01-01", ["R1"]), ("2026-02-02", ["R2"]), ("2026-03-03", ["R3"])
    ]  # fmt: skip
    assert (tmp_path / "page.md").read_text() == make_reliability.page(runs)
