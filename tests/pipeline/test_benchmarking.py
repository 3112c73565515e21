"""``bench`` with real models: every part of it, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from publicai_edge import gguf
from publicai_edge.bench import result
from publicai_edge.bench.settings import Effort, Settings
from publicai_edge.errors import ModelError, RecipeError
from publicai_edge.pipeline.benchmarking import choose, measure, predict
from publicai_edge.pipeline.build import Built
from publicai_edge.plan.cost import cost_of
from publicai_edge.progress import Silent
from tests.plan import cases

SHORT = Settings(threads=1, lengths=(32,), tokens=8, patrons=(1, 2), answer_tokens=8)
ONCE = Effort(rounds=2, within=0.5, seconds=0.0)
SPEED = {"bandwidth", "peak", "load", "decode@0", "prefill@32", "decode@32"}
SERVICE = {"start", "first_token_cold", "first_token_warm", "patrons@1", "patrons@2", "memory"}


@pytest.mark.slow
def test_every_part_of_a_bundle_is_measured(demo: Built, tmp_path: Path) -> None:
    chosen = choose(demo.folder, SHORT)
    found = measure(chosen, SHORT, ONCE, tmp_path / "out.json", Silent())
    names = {figure.name for figure in found.figures}
    assert names >= SPEED | SERVICE | {"embed", "search"}
    assert all(len(figure.samples) == 2 for figure in found.figures)
    assert found.subject.kind == "bundle"
    assert found.work.bytes_per_token > 50e6
    warm, cold = found.figure("first_token_warm"), found.figure("first_token_cold")
    assert warm
    assert cold
    assert max(cold.samples) < 60
    memory = found.figure("memory")
    assert memory
    assert memory.median.value > 100e6
    assert result.read(tmp_path / "out.json") == found


def test_a_model_is_measured_alone(model: Path, tmp_path: Path) -> None:
    settings = Settings(threads=1, lengths=(32,), tokens=8, parts=("speed",))
    found = measure(choose(model, settings), settings, ONCE, tmp_path / "out.json", Silent())
    assert {figure.name for figure in found.figures} >= SPEED
    assert "memory" not in {figure.name for figure in found.figures}
    assert found.engine["build"]
    assert (found.subject.format, found.subject.architecture) == ("GGUF", "llama")


def test_a_prompt_longer_than_the_model_knows_is_refused(model: Path, tmp_path: Path) -> None:
    settings = Settings(threads=1, lengths=(1 << 17,))
    with pytest.raises(RecipeError, match="131,072 tokens"):
        measure(choose(model, settings), settings, ONCE, tmp_path / "out.json", Silent())


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.gguf").write_text("no model")
    with pytest.raises(RecipeError, match="neither a bundle nor a model"):
        choose(tmp_path / "empty", SHORT)
    with pytest.raises(RecipeError, match="There is no file or folder"):
        choose(tmp_path / "none.gguf", SHORT)
    with pytest.raises(ModelError, match="not a GGUF file"):
        choose(tmp_path / "text.gguf", SHORT)


def test_what_a_device_predicts_is_shown_beside_what_was_measured(model: Path, tmp_path: Path) -> None:
    target = choose(model, SHORT).target
    planned = predict(target, SHORT, cases.device())
    assert set(planned.ranges) == {"decode@0", "prefill@32", "decode@32"}
    assert all(0 < low < expected < high for low, expected, high in planned.ranges.values())
    speed = cases.device().speed
    assert speed
    cost = cost_of(gguf.read(model))
    assert planned.ranges["decode@0"][1] == pytest.approx(1 / speed.token_seconds(cost, SHORT.tokens // 2))
    only_speed = replace(SHORT, parts=("speed",))
    found = measure(choose(model, only_speed), only_speed, ONCE, tmp_path / "out.json", Silent(), planned)
    assert result.read(tmp_path / "out.json").planned == found.planned == planned


def test_nothing_is_predicted_where_nothing_is_known(model: Path) -> None:
    with pytest.raises(RecipeError, match="town: its speed is not known"):
        predict(choose(model, SHORT).target, SHORT, cases.device(measured=None))
