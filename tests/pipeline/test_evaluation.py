"""Measuring by hand: what the report and the refusal say of types that pass, fail, or were never measured."""

from collections.abc import Callable
from pathlib import Path

import pytest

from publicai_edge.errors import RecipeError
from publicai_edge.evaluate.report import render_html
from publicai_edge.evaluate.report.decision import decide
from publicai_edge.evaluate.result import Quality as Report
from publicai_edge.pipeline.evaluation import Wanted, check_bounds, evaluate, texts_of
from publicai_edge.pipeline.options import Options
from publicai_edge.progress import Recorder
from publicai_edge.recipe import Quality
from publicai_edge.store import Store
from tests.evaluate.conftest import TEXTS

Evaluate = Callable[..., Report]


@pytest.fixture(scope="module")
def measure(f16: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluate:
    """Measure SmolLM2 on a few short texts, with one cache for all."""
    folder = tmp_path_factory.mktemp("by-hand")
    for language, texts in TEXTS.items():
        for number, text in enumerate(texts):
            place = folder / "texts" / language / f"{language}-{number}.txt"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, "utf-8")
    (folder / "one.txt").write_text(TEXTS["en"][4], "utf-8")

    def run(
        *types: str,
        bound: float | None = None,
        texts: str = "texts",
        tags: tuple[str, ...] = ("en", "es"),
        **more: bool,
    ) -> Report:
        listed = texts_of([str(folder / texts)], tags)
        quality = Quality.model_validate({"max_loss": bound, "context": 128, "texts": listed})
        wanted = Wanted(f16, (), types, tags, quality, **more)
        return evaluate(wanted, Options(folder / "out", Store(folder / "cache"), Recorder()))

    return run


def test_types_that_all_fail_are_refused_with_the_next_larger_one_that_was_not_measured(measure: Evaluate) -> None:
    report = measure("Q4_K_M", "Q4_0", bound=0.0001)
    assert report.untested[0] == "Q5_K_S"
    assert report.untested[-1] == "Q8_0"
    assert decide(report).headline == "Refused: none of the 2 types is within every bound"
    assert "Try Q5_K_S, the next larger type" in render_html(report).decode()
    with pytest.raises(RecipeError, match="The next larger type, Q5_K_S, was not measured: try it"):
        check_bounds(report)


def test_nothing_is_named_to_try_where_a_type_passes_or_the_largest_fails(measure: Evaluate) -> None:
    report = measure("Q4_0", bound=50.0)
    assert report.untested == ()
    assert decide(report).headline == "Q4_0 is within every bound"
    check_bounds(report)
    with pytest.raises(RecipeError, match="There is no larger type to try"):
        check_bounds(measure("Q8_0", bound=1e-9))


def test_the_title_is_the_models_own_name_with_the_files_beside_it(measure: Evaluate, f16: Path) -> None:
    report = measure("Q4_0")
    assert report.title.startswith("Smollm2 135M")
    assert report.title.endswith(f" ({f16.name})")


def test_documents_that_were_left_out_of_the_calibration_are_not_counted(measure: Evaluate) -> None:
    assert [text.calibration_documents for text in measure("Q4_0", calibrate=False).texts] == [0]
    calibrated = measure("Q4_0")
    assert calibrated.method.imatrix
    texts = calibrated.texts[0]
    # Spanish has one short text to calibrate with, so not all of the English ones have a place beside it.
    assert 2 <= texts.calibration_documents < sum(map(len, TEXTS.values())) - texts.evaluation_documents


def test_one_text_is_measured_when_nothing_is_calibrated(measure: Evaluate) -> None:
    with pytest.raises(RecipeError, match="there is one document, and at least two are needed"):
        measure("Q4_0", texts="one.txt", tags=("en",))
    report = measure("Q4_0", texts="one.txt", tags=("en",), calibrate=False)
    assert report.texts[0].evaluation_documents == 1
    assert not report.method.imatrix
