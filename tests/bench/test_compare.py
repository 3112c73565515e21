"""Verdicts: what is found, what is not claimed, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from publicai_edge.bench import result
from publicai_edge.bench.compare import Comparison, Verdict, compare
from publicai_edge.bench.report import ci
from publicai_edge.bench.report.terminal import render_comparison
from publicai_edge.bench.result import Run
from publicai_edge.errors import RecipeError
from tests.bench.cases import MACHINE, SETTINGS, run


def words(comparison: Comparison) -> dict[str, str]:
    return {verdict.figure: verdict.word for verdict in comparison.verdicts}


def verdict(comparison: Comparison, name: str) -> Verdict:
    return next(item for item in comparison.verdicts if item.figure == name)


def test_a_build_compared_with_itself_raises_no_alarm() -> None:
    alarms = 0
    for seed in range(0, 400, 2):
        found = compare(run(seed, noise=0.05), run(seed + 1, noise=0.05))
        alarms += any(item.better is not None for item in found.verdicts)
    assert alarms <= 4, "2 of 100 are promised"


def test_what_is_a_tenth_slower_is_found_and_nothing_else_is_said() -> None:
    for seed in range(0, 40, 2):
        found = compare(run(seed), run(seed + 1, {"decode@0": 0.9, "first_token_warm": 1.12}))
        assert verdict(found, "decode@0").word == "slower"
        assert verdict(found, "first_token_warm").word == "slower"
        assert verdict(found, "prefill@512").word in {"same", "cannot tell"}
        assert 0.07 < verdict(found, "decode@0").loss < 0.13


def test_faster_and_smaller_are_told_with_their_direction() -> None:
    found = words(compare(run(1), run(2, {"prefill@512": 1.3, "load": 0.5, "memory": 0.8})))
    assert (found["prefill@512"], found["load"], found["memory"]) == ("faster", "faster", "smaller")
    found = words(compare(run(1), run(2, {"memory": 1.2})))
    assert found["memory"] == "larger"


def test_a_slower_machine_is_no_slower_program() -> None:
    found = compare(run(1), run(2, everything=0.8))
    assert found.machine["bandwidth"] == pytest.approx(0.8, rel=0.05)
    assert verdict(found, "decode@0").word == "cannot tell"
    assert "the machine itself changed" in verdict(found, "decode@0").why
    assert not found.regressions(0.05)


def test_of_two_machines_the_faster_one_is_told() -> None:
    other = run(2, everything=1.5, machine={**MACHINE, "cpu": "Example N305"})
    found = compare(run(1), other, despite=["machine"])
    assert verdict(found, "decode@0").word == "faster"
    assert found.machine == {}


def test_a_slower_program_on_a_faster_machine_is_not_called_the_same() -> None:
    found = compare(run(1), run(2, {"decode@0": 0.8}, everything=1.25))
    assert verdict(found, "decode@0").word == "cannot tell"


def test_too_few_rounds_and_too_much_noise_are_told_apart() -> None:
    few = verdict(compare(run(1, rounds=4), run(2, {"decode@0": 0.5}, rounds=4)), "decode@0")
    assert (few.word, few.why) == ("cannot tell", "too few rounds: 6 a side are needed")
    noisy = verdict(compare(run(1, noise=0.3), run(2, noise=0.3)), "decode@0")
    assert (noisy.word, noisy.why) == ("cannot tell", "too noisy")


def test_runs_that_differ_are_refused_and_every_difference_is_named() -> None:
    other = run(
        2,
        subject=replace(run().subject, sha256="b" * 64, type="Q8_0"),
        machine={**MACHINE, "cpu": "Example N95"},
        settings={**SETTINGS, "threads": 2},
    )
    with pytest.raises(RecipeError) as caught:
        compare(run(1), other)
    for part in ("model: type is Q4_0 and Q8_0", "cpu is Example N100 and Example N95", "threads is 4 and 2"):
        assert part in caught.value.message
    assert "--despite model --despite machine --despite settings" in str(caught.value.hint)
    found = compare(run(1), other, despite=("model", "machine", "settings"))
    assert found.changed["cpu"] == ("Example N100", "Example N95")


def test_a_model_of_another_name_is_the_same_model() -> None:
    assert compare(run(1), run(2, subject=replace(run().subject, name="copy.gguf"))).changed == {}


def test_another_version_is_what_is_compared() -> None:
    found = compare(run(1), run(2, engine={"publicai-edge": "0.2.0", "llama-cpp-python": "0.3.36"}))
    assert found.changed == {"publicai-edge": ("0.1.0", "0.2.0")}


def test_figures_of_one_run_only_are_named() -> None:
    less = run(2)
    less = replace(less, figures=tuple(figure for figure in less.figures if figure.name != "patrons@4"))
    assert compare(run(1), less).missing == ("patrons@4",)


def test_another_way_of_measuring_is_refused() -> None:
    with pytest.raises(RecipeError, match="different ways"):
        compare(run(1), run(2, form=2))


# What CI reads.


def test_markdown_is_a_table_with_a_row_a_figure() -> None:
    text = ci.markdown(compare(run(1), run(2, {"decode@0": 0.8})), 0.05)
    assert "**Slower or larger than allowed:** `decode@0`" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 8
    assert all(row.count("|") == 7 for row in rows)
    assert next(row for row in rows if "`decode@0`" in row).startswith("| 🔴 |")


def test_a_name_with_signs_of_markdown_cannot_break_the_table() -> None:
    evil = replace(run().subject, name="a|b <img src=x>\nc")
    text = ci.markdown(compare(run(1, subject=evil), run(2, subject=evil)))
    assert "<img" not in text
    assert text.splitlines()[0].startswith("### Benchmark: a\\|b")


def test_junit_fails_what_is_worse_and_skips_what_cannot_be_told() -> None:
    found = compare(run(1), run(2, {"decode@0": 0.8}, noise=0.02))
    suite = ElementTree.fromstring(ci.junit(found, 0.05))
    assert suite.attrib["tests"] == str(len(found.verdicts))
    failed = [case.attrib["name"] for case in suite if case.find("failure") is not None]
    skipped = [case.attrib["name"] for case in suite if case.find("skipped") is not None]
    assert failed == ["decode@0"]
    assert skipped == [item.figure for item in found.verdicts if item.word == "cannot tell"]
    assert int(suite.attrib["failures"]) == 1


def test_without_a_bound_nothing_fails() -> None:
    suite = ElementTree.fromstring(ci.junit(compare(run(1), run(2, {"decode@0": 0.5}))))
    assert suite.attrib["failures"] == "0"


def test_the_terminal_shows_every_figure_with_its_verdict() -> None:
    text = render_comparison(compare(run(1), run(2, {"decode@0": 0.8}, engine={"publicai-edge": "0.2.0"})))
    line = next(line for line in text.splitlines() if line.startswith("decode@0"))
    assert line.endswith("slower")
    assert "publicai-edge: 0.1.0 → 0.2.0" in text


# Files.


def test_a_result_goes_to_json_and_back(tmp_path: Path) -> None:
    place = tmp_path / "run.json"
    place.write_text(json.dumps(run(1).to_json()))
    assert result.read(place) == run(1)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"subject": 1}', "null"])
def test_a_file_that_is_no_result_is_refused(tmp_path: Path, text: str) -> None:
    place = tmp_path / "run.json"
    place.write_text(text)
    with pytest.raises(RecipeError, match=r"is not a result of|is no JSON, or was cut short"):
        result.read(place)


def test_a_result_that_was_measured_in_a_newer_way_is_refused_with_what_to_do(tmp_path: Path) -> None:
    place = tmp_path / "run.json"
    place.write_text(json.dumps({**run(1).to_json(), "form": 99}))
    with pytest.raises(RecipeError, match=r"in a newer way \(form 99\)") as refused:
        result.read(place)
    assert "measure again with this one" in str(refused.value.hint)


@pytest.mark.parametrize("samples", [[], [1.0, 0.0], [1.0, -1.0], [float("nan")]])
def test_samples_that_cannot_be_are_refused(tmp_path: Path, samples: list[float]) -> None:
    data = run(1).to_json()
    data["figures"][0]["samples"] = samples
    place = tmp_path / "run.json"
    place.write_text(json.dumps(data))
    with pytest.raises(RecipeError, match="is not a result of"):
        result.read(place)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="No such file"):
        result.read(tmp_path / "none.json")


def test_a_run_knows_its_figures() -> None:
    made: Run = run()
    assert made.figure("decode@0")
    assert made.figure("nothing") is None
