"""The account of the promises says what the tests showed, and cannot be filled by what was not run."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.promises import PROMISES, holds

ROOT = Path(__file__).parent.parent
SETTINGS = "[pytest]\naddopts = -p tests.promises --strict-markers\nmarkers = soak: long\n"
TESTS = """
import pytest

@pytest.mark.promise("R1")
def test_short(figure):
    figure("kills survived", 168, "", bound=">= 168")

@pytest.mark.soak
@pytest.mark.promise("R1")
def test_long(figure):
    figure("kills survived", 2000, "")

@pytest.mark.promise("R1", broken=True)
@pytest.mark.parametrize("build", range(2))
def test_naive_installer_is_found(figure, build):
    figure("broke at", 9, "kills")

@pytest.mark.promise("R2", "R3")
def test_two(figure):
    figure("slowest", 11.5, "s", bound=10)

@pytest.mark.promise("R2", broken=True)
@pytest.mark.parametrize("found", [False, True])
def test_broken_build_is_not_always_found(found):
    assert found

@pytest.mark.promise("R4")
def test_skipped():
    pytest.skip("there is no strace")

@pytest.fixture
def breaks():
    yield
    raise RuntimeError

@pytest.mark.promise("R5")
def test_that_breaks_while_it_is_cleared_up(breaks):
    pass

@pytest.fixture
def never():
    raise RuntimeError

@pytest.mark.promise("R6")
def test_that_never_starts(never):
    pass
"""


def run(folder: Path, tests: str, *options: str) -> "subprocess.CompletedProcess[str]":
    (folder / "pytest.ini").write_text(SETTINGS)
    (folder / "test_it.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, check=False, cwd=folder, env=env, capture_output=True, text=True)


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("run")
    run(folder, TESTS, "-m", "not soak", "--promises=build/account.json")
    return json.loads((folder / "build/account.json").read_text())


def test_several_processes_keep_no_account(tmp_path: Path) -> None:
    done = run(tmp_path, TESTS, "-n", "2", "--promises=account.json")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "leave out -n" in done.stderr
    assert not (tmp_path / "account.json").exists()


def test_every_promise_has_its_account_whether_or_not_it_was_run(account: dict[str, Any]) -> None:
    assert tuple(account["promises"]) == PROMISES
    silent = account["promises"]["R15"]
    assert silent == {
        "passed": 0,
        "failed": 0,
        "skipped": 0,
        "broken_build_found": None,
        "form": None,
        "not_run": [],
        "figures": [],
    }


def test_tests_are_counted_by_how_they_ended(account: dict[str, Any]) -> None:
    counts = {name: (kept["passed"], kept["failed"], kept["skipped"]) for name, kept in account["promises"].items()}
    assert counts["R1"] == (1, 0, 0), "the tests of a broken build do not count, nor do those left out"
    assert counts["R2"] == counts["R3"] == (0, 1, 0)
    assert counts["R4"] == (0, 0, 1)
    assert counts["R5"] == counts["R6"] == (0, 1, 0), "a test that breaks before or after it ran did not pass"
    assert account["promises"]["R4"]["not_run"] == ["there is no strace"]


def test_a_broken_build_counts_as_found_only_when_every_test_found_it(account: dict[str, Any]) -> None:
    found = {name: kept["broken_build_found"] for name, kept in account["promises"].items()}
    assert (found["R1"], found["R2"], found["R3"]) == (True, False, None)


def test_the_form_says_whether_there_is_a_longer_one(account: dict[str, Any]) -> None:
    forms = {name: kept["form"] for name, kept in account["promises"].items()}
    assert (forms["R1"], forms["R2"], forms["R4"]) == ("short", "only", None)


def test_a_figure_is_noted_with_its_bound_and_fails_its_test_outside_it(account: dict[str, Any]) -> None:
    (slow,) = account["promises"]["R3"]["figures"]
    assert slow == {
        "name": "slowest",
        "value": 11.5,
        "unit": "s",
        "bound": "<= 10",
        "form": "short",
        "broken_build": False,
    }
    assert [figure["broken_build"] for figure in account["promises"]["R1"]["figures"]] == [False, True, True]


def test_the_account_says_where_and_when_and_not_on_whose_machine(account: dict[str, Any]) -> None:
    assert set(account["machine"]) == {"cpu", "cores", "memory_gib"}
    assert os.uname().nodename not in json.dumps(account) or len(os.uname().nodename) < 4
    assert account["date"].endswith("+00:00")


def test_a_promise_that_is_none_ends_the_run(tmp_path: Path) -> None:
    done = run(tmp_path, TESTS.replace('"R6"', '"R16"'))
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "there is no promise 'R16'" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("value", "bound", "held"),
    [(5, "<= 5", True), (5, "< 5", False), (0.97, ">= 0.97", True), (1, "== 0", False), (0, "== 0", True)],
)
def test_a_bound_is_a_comparison(value: float, bound: str, *, held: bool) -> None:
    assert holds(value, bound) is held


def test_a_bound_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(AssertionError, match="a bound is a comparison"):
        holds(1, "about 5")


@pytest.mark.parametrize("name", PROMISES)
def test_every_promise_has_tests_and_a_broken_build(name: str) -> None:
    marks = "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("*/test_*.py"))
    assert f'promise("{name}")' in marks
    assert f'promise("{name}", broken=True)' in marks
