"""Taking turns: a machine that drifts by half does not hide a tenth, and what fails is named."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from publicai_edge.bench import result, turns
from publicai_edge.bench.compare import compare
from publicai_edge.bench.result import Run, Subject, Work
from publicai_edge.bench.settings import Effort, Settings, Target
from publicai_edge.bench.turns import Side
from publicai_edge.errors import EngineError, HostError
from publicai_edge.progress import Recorder, Silent
from tests.bench.lanes import CLOCK

ROOT = Path(__file__).parents[2]
SETTINGS = Settings(threads=1, lengths=(128,), tokens=32, parts=("speed",))
TARGET = Target(Subject("model", "model.gguf", "a" * 64, 1, "GGUF"), Path("model.gguf"), "llama", Work())
EFFORT = Effort(rounds=10, within=1.0, seconds=0.0)


@pytest.fixture(autouse=True)
def found_by_the_processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv(CLOCK, str(tmp_path / "clock"))


def side(kind: str = "", python: str = sys.executable) -> Side:
    return Side(TARGET, SETTINGS, Path(python), f"tests.bench.lanes{kind}")


def measured(folder: Path, before: Side, after: Side, effort: Effort = EFFORT) -> tuple[Run, Run]:
    return turns.run(before, after, effort, folder, Silent())


def test_a_tenth_is_found_on_a_machine_that_drifts_by_half(tmp_path: Path) -> None:
    before, after = measured(tmp_path, side(), side("_slow"))
    found = compare(before, after)
    assert {item.figure: item.word for item in found.verdicts} == dict.fromkeys(
        ("decode@0", "prefill@128", "decode@128"), "slower"
    )
    assert all(0.05 < item.loss < 0.15 for item in found.verdicts)
    assert found.regressions(0.05)
    turned = compare(after, before)
    assert {item.word for item in turned.verdicts} == {"faster"}
    assert not found.machine, "both had the same machine"


def test_the_files_say_the_same(tmp_path: Path) -> None:
    before, after = measured(tmp_path, side(), side("_slow"))
    read = [result.read(tmp_path / name) for name in ("before.json", "after.json")]
    assert read == [before, after]
    assert compare(*read) == compare(before, after)
    assert not (tmp_path / "turns.part").exists()


def test_runs_of_different_turns_are_compared_as_any_others(tmp_path: Path) -> None:
    first, _ = measured(tmp_path, side(), side())
    _, second = measured(tmp_path, side(), side())
    assert first.turns and second.turns and first.turns.id != second.turns.id
    raw = {item.figure: item.ratio for item in compare(first, second).verdicts}
    own = {item.figure: item.ratio for item in compare(first, measured(tmp_path, side(), side())[0]).verdicts}
    assert raw != own


def test_it_goes_on_where_it_was_ended(tmp_path: Path) -> None:
    begun = turns._pair(side(), side())
    kept = turns.Kept.open(tmp_path / "turns.part", "another comparison")
    kept.add(begun)
    before, _ = measured(tmp_path, side(), side())
    assert len(before.figures[0].samples) == EFFORT.rounds, "what another comparison kept does not count"

    class EndedError(Exception):
        pass

    class Impatient(Silent):
        def task(self, *_args: object, **_options: object) -> object:
            raise EndedError

    with pytest.raises(EndedError):
        turns.run(side(), side(), EFFORT, tmp_path, Impatient())  # type: ignore[arg-type]
    for _ in range(4):
        turns.Kept.open(tmp_path / "turns.part", _key(tmp_path)).add(begun)
    recorder = Recorder()
    again, _ = turns.run(side(), side(), EFFORT, tmp_path, recorder)
    assert "4 pairs of this comparison are there already" in " ".join(recorder.messages)
    assert len(again.figures[0].samples) == EFFORT.rounds


def _key(folder: Path) -> str:
    return str(json.loads((folder / "turns.part").read_text().splitlines()[0])["key"])


def test_a_process_that_ends_is_named_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"model\.gguf.*the model is too large for this machine") as told:
        measured(tmp_path, side(), side("_dead"))
    assert told.value.hint


def test_another_protocol_and_no_interpreter_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot take turns with this one"):
        measured(tmp_path, side(), side("_old"))
    with pytest.raises(HostError, match=r"/nowhere/python cannot be started"):
        measured(tmp_path, side(), side(python="/nowhere/python"))
    with pytest.raises(EngineError, match="No module named"):
        measured(tmp_path, side(), side("_that_do_not_exist"))


def test_a_real_model_takes_turns_with_itself(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "turns"
    options = ["--length", "32", "--tokens", "16", "--rounds", "2", "--budget", "0", "--output", str(out)]
    command = [sys.executable, "-m", "publicai_edge", "bench", "turns", str(model), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "decode@32" in done.stdout
    assert "cannot tell" in done.stdout, "two pairs are too few to say anything"
    before, after = (result.read(out / name) for name in ("before.json", "after.json"))
    assert before.engine == after.engine
    assert "llama-cpp-python" in before.engine
    assert {figure.name for figure in before.figures} == {"decode@0", "prefill@32", "decode@32"}
    assert all(1e4 > value > 1e-4 for values in before.turns.ratios.values() for value in values)  # type: ignore[union-attr]
