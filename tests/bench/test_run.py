"""Rounds: until it is known well enough, or the time is up; and on from where it was ended."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from publicai_edge.bench import result
from publicai_edge.bench.result import Run, Subject, Work
from publicai_edge.bench.run import run
from publicai_edge.bench.settings import Effort, Settings, Target
from publicai_edge.bench.speed import Samples
from publicai_edge.errors import EngineError
from publicai_edge.progress import Recorder

TARGET = Target(Subject("model", "m.gguf", "a" * 64, 1, "GGUF"), Path("m.gguf"), "llama", Work())
SETTINGS = Settings(threads=2)
SURE = Effort(rounds=6, within=0.03, seconds=60.0)


def steady() -> Samples:
    return Samples({"decode@0": 100.0, "memory": 1e6})


def measured(
    place: Path, part: Callable[[], Samples] = steady, effort: Effort = SURE, settings: Settings = SETTINGS
) -> tuple[Run, list[str]]:
    progress = Recorder()
    found = run(TARGET, settings, effort, place, progress, config=None, system="", measure={"speed": part})
    return found, progress.messages


def noisy(spread: float) -> Callable[[], Samples]:
    numbers = random.Random(3)
    return lambda: Samples({"decode@0": 100 * numbers.lognormvariate(0, spread)})


def test_steady_figures_take_the_fewest_rounds(tmp_path: Path) -> None:
    found, _ = measured(tmp_path / "out.json")
    assert [len(figure.samples) for figure in found.figures] == [6, 6]
    assert result.read(tmp_path / "out.json") == found
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"], "nothing is left beside it"


def test_noisy_figures_take_more_until_they_are_known(tmp_path: Path) -> None:
    found, _ = measured(tmp_path / "out.json", noisy(0.04))
    figure = found.figures[0]
    assert len(figure.samples) > 6
    assert figure.median.spread <= 0.03
    assert not any("noisy" in note for note in found.notes)


def test_what_cannot_be_known_in_time_is_told(tmp_path: Path) -> None:
    found, _ = measured(tmp_path / "out.json", noisy(0.5), Effort(8, 0.03, 0.0))
    assert len(found.figures[0].samples) == 8
    assert any("Too noisy to know within 3%: decode@0" in note for note in found.notes)


def test_too_few_rounds_are_told_as_that(tmp_path: Path) -> None:
    found, _ = measured(tmp_path / "out.json", effort=Effort(3, 0.03, 0.0))
    assert any("takes 6 rounds at least" in note for note in found.notes)


def test_an_ended_benchmark_goes_on_where_it_was(tmp_path: Path) -> None:
    calls: Iterator[int] = iter(range(100))

    def ends() -> Samples:
        if (number := next(calls)) == 4:
            raise KeyboardInterrupt
        return Samples({"decode@0": 100.0 + number})

    place = tmp_path / "out.json"
    with pytest.raises(KeyboardInterrupt):
        measured(place, ends, Effort(6, 0.5, 0.0))
    assert not place.exists()
    found, said = measured(place, ends, Effort(6, 0.5, 0.0))
    assert found.figures[0].samples == (100.0, 101.0, 102.0, 103.0, 105.0, 106.0)
    assert said == ["4 rounds of this benchmark are there already; it goes on after them."]


def test_rounds_of_another_benchmark_are_not_taken_up(tmp_path: Path) -> None:
    place = tmp_path / "out.json"
    other = tmp_path / "out.json.part"
    for text in ("", "nonsense", json.dumps({"key": "another"}) + "\n{}\n", "[]\n"):
        other.write_text(text)
        found, said = measured(place)
        assert len(found.figures[0].samples) == 6
        assert said == []


def test_a_half_written_round_is_dropped(tmp_path: Path) -> None:
    def ends() -> Samples:
        if len((tmp_path / "out.json.part").read_text().splitlines()) == 3:
            raise KeyboardInterrupt
        return steady()

    with pytest.raises(KeyboardInterrupt):
        measured(tmp_path / "out.json", ends)
    with (tmp_path / "out.json.part").open("a") as stream:
        stream.write('{"values": {"decode@0": 1')
    found, said = measured(tmp_path / "out.json")
    assert len(found.figures[0].samples) == 6
    assert said == ["2 rounds of this benchmark are there already; it goes on after them."]


def test_other_settings_are_another_benchmark(tmp_path: Path) -> None:
    place = tmp_path / "out.json"

    calls = iter(range(3))

    def ends() -> Samples:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return steady()

    with pytest.raises(KeyboardInterrupt):
        measured(place, ends)
    _, said = measured(place, settings=Settings(threads=1))
    assert said == []


def test_a_figure_that_not_every_round_has_is_left_out(tmp_path: Path) -> None:
    calls = iter(range(100))
    found, _ = measured(
        tmp_path / "out.json",
        lambda: Samples({"decode@0": 1.0, **({"patrons@4": 1.0} if next(calls) else {})}),
    )
    assert [figure.name for figure in found.figures] == ["decode@0"]


def test_disturbed_samples_are_counted_and_told(tmp_path: Path) -> None:
    found, _ = measured(tmp_path / "out.json", lambda: Samples({"decode@0": 1.0}, ["decode@0"]))
    assert found.figures[0].disturbed == 6
    assert any("Other programs used the processor in some rounds of decode@0 (6)" in note for note in found.notes)


def test_a_sample_of_no_time_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no time at all"):
        measured(tmp_path / "out.json", lambda: Samples({"decode@0": 0.0}))
