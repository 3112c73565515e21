"""The choice of types: fits the bytes, the best there is, the same each time."""

import itertools
import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from publicai_edge import gguf
from publicai_edge.errors import RecipeError
from publicai_edge.progress import Silent
from publicai_edge.quantize import mix, quantize
from publicai_edge.quantize.mix import Candidate


def _choices(seed: int, tensors: int) -> dict[str, list[Candidate]]:
    """Tensors of several sizes whose loss falls with the bytes, as quantization's does, but not evenly."""
    chance = random.Random(seed)
    found = {}
    for number in range(tensors):
        size, weight = chance.choice([576, 1536, 4096]), chance.uniform(0.1, 10)
        offered = []
        for bits in (3, 4, 5, 6, 8):
            losses = {tag: weight * chance.uniform(0.7, 1.4) * 4.0**-bits for tag in ("en", "sw")}
            offered.append(Candidate(f"{bits} bits", size * bits, losses))
        found[f"blk.{number}.weight"] = offered
    return found


def _best(choices: Mapping[str, list[Candidate]], room: int) -> float:
    """The least mean loss of all mixes that fit, by trying every one."""
    fitting = (
        sum(sum(one.losses.values()) / 2 for one in picked)
        for picked in itertools.product(*choices.values())
        if sum(one.bytes for one in picked) <= room
    )
    return min(fitting)


@pytest.mark.parametrize("seed", range(8))
def test_a_mix_fits_and_is_the_best_there_is(seed: int) -> None:
    choices = _choices(seed, 7)
    smallest = sum(offered[0].bytes for offered in choices.values())
    budget = 100 + int(smallest * 1.6)
    found = mix.assign(choices, budget, fixed=100)
    used = {name: next(c for c in offered if c.type == found.tensor_types[name]) for name, offered in choices.items()}
    assert found.bytes == 100 + sum(one.bytes for one in used.values()) <= budget
    assert found.loss == pytest.approx(sum(sum(one.losses.values()) / 2 for one in used.values()))
    assert found.loss == pytest.approx(_best(choices, budget - 100))


def test_the_same_candidates_in_another_order_give_the_same_mix() -> None:
    choices = _choices(3, 40)
    turned = {name: list(reversed(choices[name])) for name in reversed(choices)}
    assert mix.assign(choices, 700_000, fixed=0) == mix.assign(turned, 700_000, fixed=0)


def test_more_bytes_never_lose_more() -> None:
    choices = _choices(5, 40)
    smallest = sum(offered[0].bytes for offered in choices.values())
    losses = [mix.assign(choices, int(smallest * share / 10), fixed=0).loss for share in range(10, 28)]
    assert losses == sorted(losses, reverse=True)


def test_the_worst_language_loses_less_when_asked_for() -> None:
    chance = random.Random(7)
    choices = {}
    for tag, en, sw in (("en", 1.0, 0.1), ("sw", 0.1, 0.6)):
        for number in range(20):
            small = {"en": en * chance.uniform(0.3, 2), "sw": sw * chance.uniform(0.3, 2)}
            both = [Candidate("small", 100, small), Candidate("large", 200, {"en": 0.0, "sw": 0.0})]
            choices[f"{tag}.{number}"] = both
    mean = mix.assign(choices, 6000, fixed=0)
    worst = mix.assign(choices, 6000, fixed=0, objective="worst")
    assert max(worst.losses.values()) < 0.9 * max(mean.losses.values())
    assert worst.loss >= mean.loss


def test_too_few_bytes_are_refused_with_the_least_that_would_do() -> None:
    choices = _choices(1, 5)
    least = 10 + sum(offered[0].bytes for offered in choices.values())
    assert mix.assign(choices, least, fixed=10).bytes == least
    with pytest.raises(RecipeError, match=f"has {least:,} bytes; the budget is {least - 1:,}"):
        mix.assign(choices, least - 1, fixed=10)


def test_types_whose_blocks_do_not_fit_the_rows_are_no_candidates(model: Path) -> None:
    header = gguf.read(model)
    by_type = {"Q4_K": {"en": 0.2}, "Q5_0": {"en": 0.1}}
    found = mix.candidates(header, {"blk.0.attn_q.weight": by_type, "blk.0.ffn_down.weight": by_type})
    assert [one.type for one in found["blk.0.attn_q.weight"]] == ["Q5_0"]  # 576 columns
    assert [one.type for one in found["blk.0.ffn_down.weight"]] == ["Q4_K", "Q5_0"]  # 1,536 columns
    assert [one.bytes for one in found["blk.0.ffn_down.weight"]] == [497_664, 608_256]
    with pytest.raises(RecipeError, match=r"No type is left for blk\.0\.attn_q\.weight"):
        mix.candidates(header, {"blk.0.attn_q.weight": {"Q4_K": {"en": 0.2}}})


def test_the_file_has_exactly_the_bytes_foretold(model: Path, tmp_path: Path) -> None:
    header = gguf.read(model)
    by_type = {"IQ4_NL": {"en": 0.3}, "Q5_1": {"en": 0.1}, "Q8_0": {"en": 0.01}}
    named = mix.quantizable(model)
    assert set(named) == {tensor.name for tensor in header.tensors if len(tensor.dimensions) > 1}
    choices = mix.candidates(header, dict.fromkeys(named[::2], by_type))  # the others get the base type
    fixed = mix.fixed_bytes(model, choices, None)
    found = mix.assign(choices, 95_000_000, fixed=fixed)
    target = tmp_path / "mix.gguf"
    quantize(
        model, target, mix.BASE_TYPE, allow_requantize=True, progress=Silent(), tensor_types=dict(found.tensor_types)
    )
    assert target.stat().st_size == found.bytes <= 95_000_000
    types = {tensor.name: tensor.type for tensor in gguf.read(target).tensors}
    assert all(types[name] == kind for name, kind in found.tensor_types.items())
    assert len(set(found.tensor_types.values())) > 1
