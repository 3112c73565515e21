"""Which type is packed: the smallest that fits the device and passes everywhere, and no larger one is even made."""

from collections.abc import Mapping, Sequence

from publicai_edge.artifact import Blob, FileSet
from publicai_edge.evaluate.result import Bounds, Interval, LanguageLoss, Measured
from publicai_edge.pipeline.choosing import choose, reason
from publicai_edge.pipeline.steps import StepResult
from publicai_edge.progress import Silent

SIZES = {"Q8_0": 85, "Q4_0": 40, "Q5_K_M": 55, "Q3_K_M": 30}
LOSSES = {"Q3_K_M": {"en": 0.2, "sw": 0.5}, "Q4_0": {"en": 0.05, "sw": 0.3}, "Q5_K_M": {"en": 0.01, "sw": 0.05}}


class Laboratory:
    """Sizes and losses from a table; counts what was made."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def sizes(self, names: Sequence[str]) -> Mapping[str, int]:
        return {name: SIZES[name] for name in names}

    def quantized(self, name: str) -> StepResult:
        self.made.append(name)
        files = FileSet({"model.gguf": Blob("0" * 64, SIZES[name])})
        return StepResult("quantize", files, {}, {}, reused=False, seconds=0.0)

    def measured(self, name: str, model: Blob) -> Measured:
        flat = Interval(1.0, 1.0, 1.0)
        languages = tuple(
            LanguageLoss(tag, 9, 900, Interval(loss, loss * 0.8, loss * 1.2), flat, flat, flat, flat, 9.0, 9.1)
            for tag, loss in LOSSES[name].items()
        )
        return Measured(name, model.sha256, model.size, languages)


def test_the_smallest_that_passes_is_chosen_and_nothing_larger_is_made() -> None:
    laboratory = Laboratory()
    choice = choose(laboratory, list(SIZES), Bounds(0.1), lambda _size: None, Silent())
    assert choice.name == "Q5_K_M"
    assert laboratory.made == ["Q3_K_M", "Q4_0", "Q5_K_M"]
    assert [item.verdict.passes for item in choice.candidates] == [False, False, True]
    said = reason(choice, list(SIZES))
    assert "smallest of 4 types" in said
    assert said.endswith("; the larger one, Q8_0, needed no measuring.")


def test_the_reason_tells_of_the_types_that_needed_no_measuring() -> None:
    names = ["Q4_0", "Q5_K_M", "Q8_0"]
    choice = choose(Laboratory(), names, Bounds(0.5), lambda _size: None, Silent())
    assert reason(choice, names).endswith(
        "smallest of 3 types that keeps within every bound and fits the device; the 2 larger ones needed no measuring."
    )
    largest = choose(Laboratory(), names[:2], Bounds(0.1), lambda _size: None, Silent())
    assert reason(largest, names[:2]).endswith("fits the device.")


def test_a_bound_of_one_language_counts_in_place_of_the_overall_one() -> None:
    choice = choose(Laboratory(), ["Q3_K_M", "Q4_0"], Bounds(0.1, {"sw": 0.4}), lambda _size: None, Silent())
    assert choice.name == "Q4_0"


def test_the_upper_end_of_the_interval_is_judged() -> None:
    choice = choose(Laboratory(), ["Q5_K_M"], Bounds(0.055), lambda _size: None, Silent())  # sw: 0.05, up to 0.06
    assert choice.name is None
    assert choice.candidates[0].verdict.failures[0].language == "sw"


def test_what_does_not_fit_the_device_is_told_and_never_made() -> None:
    laboratory = Laboratory()
    fits = {30: None, 40: None}
    choice = choose(laboratory, list(SIZES), Bounds(0.1), lambda size: fits.get(size, "too large"), Silent())
    assert choice.name is None
    assert laboratory.made == ["Q3_K_M", "Q4_0"]
    assert [item.refused for item in choice.candidates] == [None, None, "too large", "too large"]
