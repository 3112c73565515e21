"""``bench``, ``bench compare`` and ``bench report`` as a person types them."""

import json
from pathlib import Path

import pytest

from tests.bench.cases import run as made
from tests.cli.conftest import Run


def test_a_run_a_comparison_and_a_report(run: Run, model: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        options = ("--part", "speed", "--length", "16", "--tokens", "8", "--rounds", "2", "--budget", "0")
        done = run("bench", str(model), "-o", str(tmp_path / f"{name}.json"), *options)
        assert done.returncode == 0, done.stderr
        assert "decode@0" in done.stdout
        assert "takes 6 rounds at least" in done.stdout
    files = [str(tmp_path / "a.json"), str(tmp_path / "b.json")]
    done = run("bench", "compare", *files, "--fail-on-regression", "5%", "--json")
    assert done.returncode == 0, done.stderr
    words = {item["figure"]: item["word"] for item in json.loads(done.stdout)["verdicts"]}
    assert words["decode@0"] == "cannot tell"
    summary, junit = tmp_path / "summary.md", tmp_path / "junit.xml"
    done = run("bench", "compare", *files, "--markdown", str(summary), "--junit", str(junit))
    assert done.returncode == 0
    assert summary.read_text().startswith("### Benchmark")
    assert junit.read_text().startswith("<?xml")
    done = run("bench", "report", *files, "-o", str(tmp_path / "page.html"))
    assert done.returncode == 0
    assert (tmp_path / "page.html").read_text().startswith("<!DOCTYPE html>")


def test_a_regression_ends_with_its_own_code(run: Run, tmp_path: Path) -> None:
    for name, factors in (("a", {}), ("b", {"decode@0": 0.8})):
        (tmp_path / name).write_text(json.dumps(made(len(name), factors).to_json()))
    files = [str(tmp_path / "a"), str(tmp_path / "b")]
    done = run("bench", "compare", *files, "--fail-on-regression", "5%")
    assert done.returncode == 8
    assert "Error: Worse than allowed: decode@0 by 20" in done.stderr
    assert "slower" in done.stdout
    assert run("bench", "compare", *files, "--fail-on-regression", "30%").returncode == 0


def test_a_folder_in_a_results_place_is_refused_with_a_name_that_would_do(run: Run, here: Path) -> None:
    for name in ("a", "b"):
        (here / name).write_text(json.dumps(made(1).to_json()))
    for options, words in (
        (("run", "a", "-o", "."), "such as result.json."),
        (("report", "a", "-o", "."), "such as result.html."),
        (("compare", "a", "b", "--junit", "."), "such as result.xml."),
        (("turns", "a", "-o", "b"), "Choose another folder"),
    ):
        done = run("bench", *options)
        assert done.returncode in {2, 6}
        assert words in done.stderr.partition("\nNext: ")[2]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("compare", "a", "b", "--fail-on-regression", "much"), "is no share"),
        (("compare", "a", "b", "--despite", "weather"), "is nothing that may differ"),
        (("compare", "none", "b"), "Cannot read none"),
        (("report", "none"), "Cannot read none"),
        (("run", "none.gguf", "--part", "all"), "is no part"),
    ],
)
def test_wrong_words_are_told(run: Run, tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    done = run("bench", *options)
    assert done.returncode == 2
    assert words in done.stderr
    assert "\nNext: " in done.stderr
