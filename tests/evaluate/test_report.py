"""The quality report: it says what was decided, and the terminal and the JSON say the same."""

import dataclasses
import json
import math
import re

import pytest

from publicai_edge.evaluate import report
from publicai_edge.evaluate.gate import judge
from publicai_edge.evaluate.report import figures, render_html, render_json, render_terminal
from publicai_edge.evaluate.report.decision import decide
from publicai_edge.evaluate.report.languages import language
from publicai_edge.evaluate.result import (
    Bounds,
    Candidate,
    Interval,
    LanguageLoss,
    Measured,
    Quality,
    Verdict,
)
from tests.evaluate.report_cases import (
    CASES,
    KEPT,
    MORE_TYPES,
    TYPES,
    each_case,
    loss,
    quality,
    tree,
    words,
)


def test_the_same_result_gives_the_same_bytes() -> None:
    one, other = quality(), quality()
    assert render_html(one) == render_html(other)
    assert render_json(one) == render_json(other)
    assert render_terminal(one) == render_terminal(other)


def test_the_decision_names_the_type_the_size_and_the_worst_language_in_words() -> None:
    told = " ".join(decide(CASES["chosen"]).sentences)
    assert CASES["chosen"].chosen == "Q4_K_M"
    assert "83.0 MB instead of 271 MB, 31% of the size" in told
    assert "The language that loses most is Swahili: there, 90 of 100 next words stay the same" in told
    assert "0.054, where 0.060 is allowed" in told


def test_a_refusal_names_the_language_by_how_much_and_what_to_try() -> None:
    decision = decide(CASES["too large"])
    assert decision.outcome == "refused"
    told = " ".join(decision.sentences)
    assert "Q4_K_M" in told
    assert "fails in Swahili: there, the loss may be as high as 0.054, 1.8 times what is allowed (0.030)" in told
    steps = " ".join(decision.next_steps)
    assert "Q5_K_M keeps within every bound, but was set aside (too large for the device)" in steps
    assert "importance matrix" in steps
    text = words(tree(render_html(CASES["too large"])).find("body"))
    assert all(step in text for step in decision.next_steps)


def test_a_type_that_was_asked_for_and_fails_is_refused_and_the_one_that_passes_is_named() -> None:
    decision = decide(quality(chosen="Q4_0"))
    assert decision.headline == "Refused: Q4_0 is not good enough"
    assert decision.next_steps[0].startswith("Use Q4_K_M: it keeps within every bound")


def test_where_nothing_was_quantized_the_ways_of_reading_passages_are_what_is_told() -> None:
    decision = decide(KEPT)
    assert decision.outcome == "measured"
    assert decision.headline == "Only the reading of passages was measured"
    assert decision.sentences == ("The model is packed as it was published.", 'The recipe names "exact".')
    rows = json.loads(render_json(KEPT))["passages"]
    assert [(row["composition"], row["language"], row["facts"], row["expected"]) for row in rows] == [
        ("exact", None, 4, 4),
        ("shifted", None, 3, 4),
        ("recomputed", None, 4, 4),
        ("exact", "en", 3, 3),
        ("shifted", "en", 3, 3),
        ("recomputed", "en", 3, 3),
        ("exact", "es", 1, 1),
        ("shifted", "es", 0, 1),
        ("recomputed", "es", 1, 1),
    ]
    assert rows[0]["mean_kl"] is None
    assert rows[7]["mean_kl"]["value"] == 0.5
    text = render_terminal(KEPT, 80)
    assert re.search(r"^shifted, Spanish\s+0\.5000\s+0\.5000-0\.5000\s+0/1\s+9$", text, re.MULTILINE)
    wide = render_terminal(KEPT, 100)
    assert re.search(r"^shifted, Spanish\s+0\.5000\s+0\.5000-0\.5000\s+1\s+0/1\s+9$", wide, re.MULTILINE)
    narrow = render_terminal(KEPT, 50)
    assert "margin" not in narrow
    assert max(map(len, narrow.splitlines())) <= 50


def test_answers_are_side_by_side_where_they_differ_and_once_where_not() -> None:
    section = tree(render_html(KEPT)).find(".//section[@aria-labelledby='reading']")
    first, *others = (words(article) for article in section.findall("article"))
    assert first.startswith("¿Cuándo?")
    assert "exact and recomputed, 16 tokens · 1 of 1 fact A las diez." in first
    assert "shifted · 0 of 1 fact A las dos." in first
    assert len(others) == 3
    assert all("Word for word the same in every way" in other for other in others)
    assert len(tree(render_html(CASES["chosen"])).findall(".//section[@aria-labelledby='reading']")) == 0


EASY = {"en": 1.0}


@pytest.mark.parametrize(
    ("bound", "names", "headline"),
    [
        (0.01, ["Q4_0", "Q4_K_M", "Q8_0"], "1 of 3 types is within every bound: Q8_0"),
        (0.01, ["Q4_0", "Q5_K_M", "Q8_0"], "2 of 3 types are within every bound: Q5_K_M and Q8_0"),
        (0.06, ["IQ4_XS", "Q4_0", "Q4_K_M", "Q5_K_M", "Q8_0"], "All 5 types are within every bound"),
        (0.047, ["IQ4_XS", "Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0"], "5 of 6 types are within every bound: the "),
        (0.06, ["Q4_0"], "Q4_0 is within every bound"),
        (0.001, ["Q4_0", "Q4_K_M", "Q8_0"], "Refused: none of the 3 types is within every bound"),
        (0.001, ["Q4_0"], "Refused: Q4_0 is not good enough"),
        (None, ["Q4_0", "Q8_0"], "2 types measured; no bound was set"),
        (None, ["Q4_0"], "Q4_0 measured; no bound was set"),
    ],
)
def test_the_headline_of_a_measurement_counts_the_types_that_pass(
    bound: float | None, names: list[str], headline: str
) -> None:
    types = {name: {**TYPES, **MORE_TYPES}[name] for name in names}
    result = quality(EASY, types, Bounds(max_loss=bound), answers=(), chosen=None, reason="")
    assert decide(result).headline.startswith(headline)
    told = " ".join(decide(result).sentences)
    passing = [item.measured.name for item in result.candidates if item.verdict.passes]
    failing = [item.measured.name for item in result.candidates if not item.verdict.passes]
    assert ("Not within every bound: " in told) is bool(passing and failing)
    if passing and failing:
        listed = told.partition("Not within every bound: ")[2]
        assert all(name in listed for name in failing)
        assert not any(name in listed for name in passing)
    smallest = f"The smallest type within every bound, {passing[0]}, takes" if passing else ""
    assert (bool(smallest) and smallest in told) is (bound is not None and len(passing) > 1)


def test_a_build_says_how_many_of_the_types_it_could_measure_fail() -> None:
    tight = quality(bounds=Bounds(max_loss=0.03), types={name: TYPES[name] for name in ("Q4_0", "Q4_K_M")})
    unmeasured = Candidate(Measured("Q8_0", "", 150_000_000, ()), Verdict(passes=False), "too large for the device")
    result = dataclasses.replace(tight, candidates=(*tight.candidates, unmeasured))
    assert decide(result).headline == "Refused: none of the 2 types that were measured is within every bound"
    alone = dataclasses.replace(tight, candidates=(unmeasured,))
    assert decide(alone).headline == "Refused: Q8_0 may not be used"


def test_a_refusal_names_the_next_larger_type_when_one_was_not_measured() -> None:
    tight = Bounds(max_loss=0.0001)
    untried = quality(bounds=tight, types={"Q4_0": TYPES["Q4_0"]}, untested=("Q5_K_S", "Q8_0"))
    step = "Try Q5_K_S, the next larger type: it was not measured."
    assert step in decide(untried).next_steps
    assert step in words(tree(render_html(untried)).find("body"))
    assert not any("larger type" in step for step in decide(quality(bounds=tight)).next_steps)


def test_a_margin_alone_over_the_bound_asks_for_more_documents() -> None:
    decision = decide(quality({"sw": 1.0}, {"Q4_0": (4.6, 0.0598)}, answers=()))
    assert decision.outcome == "refused"
    assert any("more documents in Swahili" in step for step in decision.next_steps)


def test_numbers_that_differ_are_never_shown_alike_where_one_fails() -> None:
    slight = quality({"sw": 1.0}, {"Q4_0": (4.6, 0.0600001 / 1.12)}, answers=())
    assert not slight.candidates[0].verdict.passes
    assert "0.0600001" not in (told := " ".join(decide(slight).sentences))
    assert "just over what is allowed" in told
    slight = quality({"sw": 1.0}, {"Q4_0": (4.6, 0.06003 / 1.12)}, answers=())
    assert "as high as 0.06003, just over what is allowed (0.06000)" in " ".join(decide(slight).sentences)


def test_the_reference_is_called_unquantized_only_when_it_is() -> None:
    once = quality(reference_is_quantized=True)
    for text in (words(tree(render_html(once)).find("body")), render_terminal(once, 200)):
        assert "the unquantized model" not in text
        assert "was itself quantized once" in text
    assert "the unquantized model" in render_terminal(CASES["chosen"])


@pytest.mark.parametrize(
    ("tag", "name", "own"),
    [
        ("pt-BR", "Portuguese (Brazil)", "português (Brasil)"),
        ("swh", "Swahili", "Kiswahili"),
        ("zh-Hans", "Chinese (Simplified)", "中文 (简体)"),
        ("ay", "Aymara", None),
        ("x-town", "x-town", None),
        ("../../etc", "../../etc", None),
        ("", "", None),
    ],
)
def test_a_language_is_named_or_keeps_its_tag(tag: str, name: str, own: str | None) -> None:
    assert (language(tag).name, language(tag).own_name) == (name, own)


@each_case
def test_json_holds_the_same_numbers_under_documented_keys(case: Quality) -> None:
    text = render_json(case)
    value = json.loads(text)
    assert value["format"] == "publicai-edge/quality/1"
    assert list(value) == sorted(value)
    read = tuple(Measured.from_json(item["measured"]) for item in value["candidates"])
    assert read == tuple(item.measured for item in case.candidates)
    assert value["decision"]["sentences"] == list(decide(case).sentences)
    documented, own = report.record.__doc__ or "", {"format", "decision", "summary", "passages"}
    assert all(f"``{key}``" in documented for key in {"format", "decision", "notes", *own, *value["decision"]})
    assert set(value) == set(case.to_json()) | own


def test_a_loss_that_is_no_number_is_told_and_is_null_in_json() -> None:
    broken = loss("sw", 0.01)
    nan = Interval(math.nan, math.nan, math.nan)
    broken = LanguageLoss("sw", 15, 100, nan, nan, nan, nan, nan, 12.0, math.inf)
    measured = Measured("Q4_0", "0" * 64, 1000, (loss("en", 0.01), broken))
    result = quality(candidates=(Candidate(measured, judge(measured, Bounds(max_loss=0.06))),), chosen=None)
    assert "It fails in Swahili: there, the loss is no number." in decide(result).sentences
    assert "not known" in words(tree(render_html(result)).find("body"))
    told = json.loads(render_json(result))["candidates"][0]["measured"]["languages"][1]
    assert told["mean_kl"]["value"] is None
    assert "not known" in render_terminal(result)


@pytest.mark.parametrize("width", [40, 60, 80, 132])
@each_case
def test_no_line_on_the_terminal_is_wider_than_it(case: Quality, width: int) -> None:
    text = render_terminal(case, width)
    assert max(map(len, text.splitlines())) <= width
    assert " ".join(text.split()).startswith(f"{case.title}: {decide(case).headline}.")
    for candidate in case.candidates if decide(case).focus else ():
        assert candidate.measured.name in text


def test_eight_languages_and_six_types_are_one_table_in_80_columns() -> None:
    text = render_terminal(quality(types={**TYPES, "Q6_K": MORE_TYPES["Q6_K"]}), 80)
    assert text.count("\nVerdict") == 1
    assert re.search(r"\nVerdict +FAILS +FAILS +chosen +passes +passes +passes\n", text)
    assert re.search(r"\nSwahili +0\.082! +0\.096! +0\.048 ", text)
    assert "Allowed: 0.060." in text
    assert render_terminal(CASES["largest"], 80).count("\nVerdict") == 2


def test_colour_only_repeats_what_words_say() -> None:
    plain, painted = render_terminal(CASES["chosen"], 80), render_terminal(CASES["chosen"], 80, colour=True)
    assert "\x1b" not in plain
    assert "\x1b[" in painted
    assert re.sub(r"\x1b\[\d+m", "", painted) == plain


def test_a_terminal_without_unicode_gets_ascii() -> None:
    result = quality(title="Bücherei \N{EN DASH} Nord", reason="中文")
    assert render_terminal(result).startswith("Bücherei \N{EN DASH} Nord")
    text = render_terminal(result, encoding="ascii")
    assert text.isascii()
    assert text.startswith("Bucherei - Nord")


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.93, "93 of 100"), (0.9967, "more than 99 of 100"), (1.0, "100 of 100"), (0.001, "fewer than 1 of 100")],
)
def test_nearly_all_is_not_all(share: float, text: str) -> None:
    assert figures.of_hundred(share) == text


def test_sizes_and_losses_are_short() -> None:
    assert [figures.size(value) for value in (98_362_432, 1_117_320_768, 999_700_000, 512)] == [
        "98.4 MB",
        "1.12 GB",
        "1.00 GB",
        "512 B",
    ]
    assert [figures.loss(value) for value in (0.412, 0.0432, 0.00213, 0.0, 0.000001)] == [
        "0.41",
        "0.043",
        "0.0021",
        "0.00",
        "<0.0001",
    ]
    assert figures.percent(0.99996, 1) == ">99.9%"
