"""What does not fit is said with its numbers, and what would fit is found."""

from dataclasses import replace

import pytest

from publicai_edge.engine import fit, warm
from publicai_edge.knowledge.zim import READER_BYTES
from publicai_edge.plan.forecast import (
    Forecast,
    Model,
    Problem,
    Use,
    Wanted,
    forecast,
    remedies,
    shared_tokens,
    why_not,
)
from tests.plan.cases import USE, device, model

TOO_MUCH = Problem("it takes {}", 1.0, "g", "GB")


def test_what_it_takes_is_counted() -> None:
    found = forecast(model(), USE, device())
    cells = warm.cells(2048, 2) + 100
    per_cell = 2 * 2 * 2 * 64 * 2  # layers, keys and values, heads, their width, bytes
    assert found.need.weights == 1_000_000_000
    assert found.need.cache == cells * per_cell
    assert found.disk == 1_000_000_000 + 10_000_000 + 100 * per_cell
    assert found.memory.low < found.memory.middle < found.memory.high
    assert found.asked > found.memory.middle > found.need.weights + found.need.cache
    assert found.asked > found.need.total
    assert found.free == 3_000_000_000
    assert found.fits


def test_without_a_search_model_it_takes_less() -> None:
    less = forecast(model(), replace(USE, search=False), device())
    assert less.memory.middle < forecast(model(), USE, device()).memory.middle


def test_each_zim_file_takes_a_reader_more() -> None:
    none, two = (forecast(model(), replace(USE, zims=count), device()) for count in (0, 2))
    assert two.asked - none.asked == 2 * READER_BYTES
    assert two.memory.middle - none.memory.middle == pytest.approx(2 * READER_BYTES, rel=0.01)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ({"model": model(size=3_000_000_000)}, "of memory, and of 4 GB the system leaves 3.00 GB"),
        ({"device": device(disk_gb=0.5)}, "GB of disk, and 0.50 GB are free"),
        ({"use": replace(USE, context=8192)}, "made for 4,096 tokens of context, and target.context is 8,192"),
        ({"wanted": Wanted(tokens_per_second=1e6)}, "target.tokens_per_second is 1e+06"),
        ({"wanted": Wanted(first_token_seconds=1e-6)}, "target.first_token_seconds is 1e-06"),
    ],
)
def test_what_does_not_fit_is_said_with_the_numbers(what: dict[str, object], told: str) -> None:
    values = {"model": model(), "use": USE, "device": device(), "wanted": Wanted(), **what}
    found = forecast(*values.values())  # type: ignore[arg-type]
    assert not found.fits
    assert told in " ".join(map(str, found.problems))


def test_types_that_fail_alike_are_told_in_one_sentence_with_the_range() -> None:
    sizes = {"Q8_0": 6.0, "Q6_K": 5.0, "Q5_K_M": 4.5, "Q4_0": 4.0, "Q3_K_M": 1.0}
    found = [forecast(model(name, int(size * 1e9)), USE, device(disk_gb=4.2)) for name, size in sizes.items()]
    assert [len(each.problems) for each in found] == [2, 2, 2, 1, 0]
    memory = [each.asked / 1e9 for each in found]
    told = why_not(found)
    assert len(told) == 2
    assert told[0].startswith("Q8_0, Q6_K, Q5_K_M: the bundle takes 4.51 to 6.01 GB of disk, and 4.20 GB are free.")
    assert told[1].startswith(f"Q8_0 to Q4_0, 4 types: it asks for {memory[3]:.2f} to {memory[0]:.2f} GB of memory")
    assert why_not(found[:1])[0].startswith("Q8_0: the bundle takes 6.01 GB of disk")
    assert why_not(found[-1:]) == []


def test_of_a_device_whose_speed_is_not_known_none_is_told() -> None:
    found = forecast(model(), USE, device(measured=None), Wanted(tokens_per_second=5))
    assert found.first_token is None
    assert found.tokens_per_second is None
    assert found.fits


def test_the_largest_smaller_type_the_most_patrons_and_the_longest_context_are_told() -> None:
    models = [model("Q8_0", 4_000_000_000), model("Q6_K", 2_000_000_000), model("Q4_0", 500_000_000)]

    def tried(model: Model, use: Use) -> Forecast:
        found = forecast(model, use, device())
        heavy = model.size + use.patrons * use.context * 300_000 > 5_500_000_000
        return replace(found, problems=(TOO_MUCH,) if heavy else ())

    found = remedies(models, replace(USE, patrons=4, context=4096), tried, "Q8_0")
    assert [words for words, _ in found] == ['quantize.type = "Q4_0"', "target.patrons = 1", "target.context = 1024"]
    assert all(each.fits for _, each in found)


def test_where_nothing_would_help_nothing_is_told() -> None:
    def never(model: Model, use: Use) -> Forecast:
        return replace(forecast(model, use, device()), problems=(TOO_MUCH,))

    assert remedies([model()], USE, never, "F16") == []


def test_tokens_of_prompts_are_counted_by_their_bytes() -> None:
    assert shared_tokens({}) == (0, 0)
    total, longest = shared_tokens({"ask en": "a" * 300, "ask ar": "ب" * 300})
    assert (total, longest) == (100 + 40 + 200 + 40, 240)


def test_the_caches_bytes_are_those_the_engine_takes() -> None:
    found = forecast(model(), USE, device())
    assert found.need.cache == (warm.cells(2048, 2) + 100) * fit.kv_bytes_per_cell(model().header)
