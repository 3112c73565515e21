"""The probe: its made-up models run, and from known times it finds the rates that made them."""

from pathlib import Path

import pytest

from publicai_edge import gguf
from publicai_edge.engine.llama import LlamaContext, LlamaModel
from publicai_edge.plan import probe as probing
from publicai_edge.plan.cost import FAMILIES, cost_of
from publicai_edge.plan.device import Measured, Speed
from publicai_edge.plan.probe import Shape, probe, write_model
from publicai_edge.progress import Silent

SMALL = {family: Shape(1, 256, family) for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_made_up_model_runs_and_gives_numbers(tmp_path: Path, family: str) -> None:
    path = tmp_path / "made-up.gguf"
    write_model(SMALL[family], path)
    assert gguf.read(path).quantization == family
    model = LlamaModel(path)
    context = LlamaContext(model, n_ctx=256, n_seq=1, threads=1)
    context.decode([1, 2, 3], sequence=0, position=0, logits=True)
    logits = context.logits(2)
    assert abs(logits).max() < 1e30, "neither infinite nor not a number"
    context.close()
    model.close()


def test_its_cost_is_that_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "made-up.gguf"
    for shape in SMALL.values():
        write_model(shape, path)
        assert cost_of(gguf.read(path)) == probing._cost(shape)


def test_known_rates_are_found_again() -> None:
    truth = Speed(
        read={family: 1e9 * place for place, family in enumerate(FAMILIES, 5)},
        work={family: 1e10 * place for place, family in enumerate(FAMILIES, 5)},
        layer_seconds=1e-4,
        vector_seconds={family: 2e-9 if family != "F16" else 3e-9 for family in FAMILIES},
        look_back_writing=3e9,
        look_back_reading=2e10,
        spread=0.0,
    )
    seconds = {}
    shapes = {**probing.WIDE, **{f"narrow {family}": shape for family, shape in probing.NARROW.items()}}
    for name, shape in shapes.items():
        cost = probing._cost(shape)
        seconds[f"{name} writing"] = truth.token_seconds(cost, 0)
        reading = truth.prompt_seconds(cost, probing._PIECE)
        behind = cost.look_back * probing._PIECE / 2 / truth.look_back_reading * probing._PIECE
        seconds[f"{name} reading"] = reading - behind
    wide = probing._cost(probing.WIDE["Q4_0"])
    deep = probing._DEEP - probing._TOKENS / 2
    seconds["deep writing"] = seconds["Q4_0 writing"] + wide.look_back * deep / truth.look_back_writing
    more = wide.look_back * probing._DEEP * probing._PIECE / truth.look_back_reading
    seconds["deep reading"] = seconds["Q4_0 reading"] + more
    found = probing._rates(seconds)
    # Of norms the truth has its own rate; they are a hundredth of a narrow model.
    for name in ("layer_seconds", "vector_seconds", "look_back_writing", "look_back_reading", "read", "work"):
        expected = getattr(truth, name)
        assert found[name] == pytest.approx(expected, rel=0.01), name


def test_times_that_noise_turned_round_give_no_negative_rate() -> None:
    narrow = [f"narrow {family}" for family in probing.NARROW]
    times = {f"{name} {way}": 0.01 for name in (*narrow, *FAMILIES) for way in ("writing", "reading")}
    found = probing._rates({**times, "deep writing": 0.005, "deep reading": 0.005})
    assert min(found["layer_seconds"], *found["vector_seconds"].values()) >= 0
    assert all(rate > 0 for table in ("read", "work") for rate in found[table].values())
    assert found["look_back_writing"] > 0


@pytest.mark.soak
def test_this_machine_is_probed_and_nothing_stays_behind(tmp_path: Path) -> None:
    found = probe(tmp_path, 1, Silent())
    Measured.model_validate(found)
    assert not list(tmp_path.iterdir())
    assert 1e8 < found["read"]["Q4_0"] < 1e12
    assert 1e8 < found["work"]["Q4_0"] < 1e14
