"""The quality report: it says what was decided, shows every number, and trusts no text it did not write itself."""

import json
import math
import random
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from lxml import etree
from lxml import html as lxml_html
from playwright.sync_api import Browser, sync_playwright

from publicai_edge.evaluate import report
from publicai_edge.evaluate.gate import choose, judge
from publicai_edge.evaluate.report import figures, render_html, render_json, render_terminal
from publicai_edge.evaluate.report.decision import decide
from publicai_edge.evaluate.report.languages import language
from publicai_edge.evaluate.report.plot import SHAPES, plot, position
from publicai_edge.evaluate.result import (
    Answer,
    Bounds,
    Candidate,
    Interval,
    LanguageLoss,
    Measured,
    Method,
    Quality,
    TextUse,
)
from tests.browser import ARGUMENTS, CHROMIUM

BOUNDS = Bounds(max_loss=0.06)
HARD = {"en": 0.7, "es": 0.9, "fr": 0.95, "sw": 2.0, "ru": 1.2, "ar": 1.5, "hi": 1.7, "zh": 1.1}
MORE_LANGUAGES = {"uk": 1.3, "yo": 2.4, "qu": 2.2, "pt-BR": 0.92}
TYPES = {
    "IQ4_XS": (4.4, 0.041),
    "Q4_0": (4.6, 0.048),
    "Q4_K_M": (4.9, 0.024),
    "Q5_K_M": (5.7, 0.0085),
    "Q8_0": (8.5, 0.0012),
}
MORE_TYPES = {"Q2_K": (3.2, 0.34), "Q3_K_M": (3.9, 0.11), "Q6_K": (6.6, 0.004)}
HOSTILE = (
    '</blockquote></main><script>alert("x")</script><img src="//evil.example/a.png" onerror=alert(1)>'
    "&\x00\x1b[31m\ud800\u202e"
)
ARABIC = Answer(
    "متى تفتح المكتبة؟",
    "ar",
    "ask",
    "من الساعة 10 حتى 4 مساءً.",
    "من الساعة 10.",
    ("10", "4 مساءً"),
    (True, True),
    (True, False),
)


def loss(tag: str, mean: float, margin: float = 0.12) -> LanguageLoss:
    def near(value: float) -> Interval:
        return Interval(value, value * (1 - margin), value * (1 + margin))

    agreement = 1 - min(0.6, 0.45 * math.sqrt(mean))
    ratio = Interval(1 + mean, 1 + mean * 0.9, 1 + mean * 1.1)
    top = Interval(agreement, agreement - 0.01, min(1.0, agreement + 0.01))
    return LanguageLoss(tag, 15, 6543, near(mean), near(mean / 3), near(mean * 14), top, ratio, 12.0, 12.0 * (1 + mean))


def quality(
    languages: dict[str, float] = HARD,
    types: dict[str, tuple[float, float]] = TYPES,
    bounds: Bounds = BOUNDS,
    answers: tuple[Answer, ...] = (ARABIC,),
    too_large: tuple[str, ...] = (),
    **changes: object,
) -> Quality:
    """A result as the pipeline makes one: judged and chosen by the gate, small to large."""
    candidates = []
    for name, (bits, mean) in sorted(types.items(), key=lambda item: item[1]):
        losses = tuple(loss(tag, mean * hard) for tag, hard in languages.items())
        measured = Measured(name, f"{hash_of(name):064x}", int(16_930_352 * bits), losses, answers)
        candidates.append(
            Candidate(measured, judge(measured, bounds), "too large for the device" if name in too_large else None)
        )
    chosen = choose(candidates)
    known = {
        "title": "Riverside Library",
        "reference": "SmolLM2-135M-Instruct",
        "reference_type": "F16",
        "reference_bytes": 270_885_632,
        "reference_is_quantized": False,
        "candidates": tuple(candidates),
        "chosen": chosen.measured.name if chosen else None,
        "reason": "It is the smallest that passes." if chosen else "None passes.",
        "bounds": bounds,
        "texts": (TextUse("Declaration", "CC0-1.0", "https://example.org/licence", tuple(languages), 14, 16),),
        "method": Method("llama.cpp b1234", 512, 20_000, 1000, imatrix=False),
    }
    return Quality(**{**known, **changes})  # type: ignore[arg-type]


def hash_of(name: str) -> int:
    return random.Random(name).getrandbits(256)


def tree(page: bytes) -> etree._Element:
    """The page as XML: unbalanced or unescaped markup raises here."""
    return etree.fromstring(page.replace(b"<!DOCTYPE html>", b"", 1), etree.XMLParser(resolve_entities=False))


def words(element: etree._Element) -> str:
    return " ".join("".join(element.itertext()).split())


CASES = {
    "chosen": quality(),
    "refused": quality(bounds=Bounds(max_loss=0.0001)),
    "too large": quality(bounds=Bounds(max_loss=0.03), too_large=("Q5_K_M", "Q8_0")),
    "own bounds": quality(bounds=Bounds(by_language={"sw": 0.1, "hi": 0.02})),
    "facts": quality(bounds=Bounds(max_facts_lost=0)),
    "no bounds": quality(bounds=Bounds(), chosen=None, reason=""),
    "smallest": quality({"en": 0.7}, {"Q4_0": (4.6, 0.048)}, answers=(), texts=()),
    "largest": quality({**HARD, **MORE_LANGUAGES}, {**TYPES, **MORE_TYPES}),
    "nothing measured": quality({}, {"Q4_0": (4.6, 0.048)}, too_large=("Q4_0",), chosen=None, answers=()),
}


@pytest.fixture(params=CASES, ids=lambda name: name.replace(" ", "-"))
def case(request: pytest.FixtureRequest) -> Quality:
    return CASES[request.param]


def test_the_same_result_gives_the_same_bytes() -> None:
    one, other = quality(), quality()
    assert render_html(one) == render_html(other)
    assert render_json(one) == render_json(other)
    assert render_terminal(one) == render_terminal(other)


def test_the_page_is_well_formed_and_needs_nothing_else(case: Quality) -> None:
    page = tree(render_html(case))
    assert page.find("head/title").text == f"Quality report: {case.title}"
    assert not page.findall(".//script")
    assert not page.findall(".//link")
    assert not page.findall(".//img")
    assert "url(" not in words(page.find("head/style"))
    assert "@import" not in words(page.find("head/style"))
    for element in page.iter():
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            if name in {"src", "href", "action", "data"}:
                assert value.startswith("#") or (element.tag == "a" and value == "https://example.org/licence")
    assert len({element.get("id") for element in page.iter() if element.get("id")}) == len(page.findall(".//*[@id]"))


def test_every_language_type_and_verdict_is_on_the_page(case: Quality) -> None:
    page = tree(render_html(case))
    text = words(page.find("body"))
    for candidate in case.candidates:
        assert candidate.measured.name in text
        assert candidate.measured.sha256 in text
        for item in candidate.measured.languages:
            assert language(item.language).name in text
    assert decide(case).headline in text


def test_tables_have_captions_and_scoped_headers(case: Quality) -> None:
    tables = tree(render_html(case)).findall(".//table")
    assert tables
    for table in tables:
        assert words(table.find("caption"))
        columns = table.findall("thead/tr/th")
        assert all(cell.get("scope") == "col" for cell in columns)
        for row in table.findall("tbody/tr"):
            assert row.find("th").get("scope") == "row"
            assert len(row) == len(columns)


def test_headings_leave_no_level_out(case: Quality) -> None:
    levels = [int(item.tag[1]) for item in tree(render_html(case)).iter("h1", "h2", "h3", "h4")]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


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


def test_few_documents_are_noted() -> None:
    few = quality({"sw": 1.0}, {"Q4_0": (4.6, 0.01)})
    text = json.dumps(few.to_json()).replace('"documents": 15', '"documents": 4')
    measured = Measured.from_json(json.loads(text)["candidates"][0]["measured"])
    page = render_html(quality(candidates=(Candidate(measured, judge(measured, Bounds())),), chosen="Q4_0"))
    assert "Fewer than 10 documents were read in Swahili" in words(tree(page).find("body"))


def test_passes_and_fails_are_words() -> None:
    asked = quality(bounds=Bounds(max_loss=0.06, by_language={"sw": 0.01}), chosen="Q4_K_M")
    table = tree(render_html(asked)).find(".//section[@aria-labelledby='figures']//tbody")
    verdicts = {words(row[0]): words(row[1]) for row in table}
    assert verdicts.pop("Swahili Kiswahili") == "✗ fails"
    assert set(verdicts.values()) == {"✓ passes"}
    failing = tree(render_html(CASES["refused"])).find(".//section[@aria-labelledby='figures']//tbody")
    assert {words(row[1]) for row in failing} == {"✗ fails"}
    passing = tree(render_html(CASES["chosen"])).find(".//section[@aria-labelledby='figures']//tbody")
    assert {words(row[1]) for row in passing} == {"✓ passes"}


def test_languages_have_their_own_name_marked_with_their_tag() -> None:
    page = tree(render_html(CASES["chosen"]))
    own = {item.get("lang"): item.text for item in page.iter("bdi") if item.get("class") == "own"}
    assert own["ar"] == "العربية"
    assert own["sw"] == "Kiswahili"
    assert "en" not in own


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


def test_nothing_a_model_wrote_becomes_markup() -> None:
    answer = Answer(HOSTILE, 'en"><script>', HOSTILE, HOSTILE, HOSTILE + "!", (HOSTILE,), (True,), (False,))
    hostile = quality(
        {'sw"><script>alert(1)</script>': 1.0},
        {"Q4_0<b>": (4.6, 0.01)},
        answers=(answer,),
        title=HOSTILE,
        reason=HOSTILE,
        notes=(HOSTILE,),
        texts=(TextUse(HOSTILE, HOSTILE, "javascript:alert(1)", ("sw",), 1, 1),),
    )
    page = render_html(hostile)
    parsed = tree(page)
    browser = lxml_html.document_fromstring(page)
    for document in (parsed, browser):
        assert not [item for item in document.iter() if item.tag in {"script", "img", "b", "iframe"}]
        assert [item.get("href") for item in document.iter("a")] == ["#figures"]
    assert b"\x00" not in page
    assert b"\x1b" not in page
    assert "default-src 'none'" in parsed.find("head/meta[@http-equiv]").get("content")
    terminal = render_terminal(hostile, 80)
    assert not set(terminal) & set("\x00\x1b\ud800\u202e")
    assert json.loads(render_json(hostile))["title"].startswith("</blockquote>")


def test_answers_carry_their_language_and_direction_and_lost_facts_are_named() -> None:
    section = tree(render_html(CASES["chosen"])).find(".//section[@aria-labelledby='questions']")
    quotes = section.findall(".//blockquote")
    assert [(item.get("lang"), item.get("dir")) for item in quotes] == [("ar", "auto")] * 2
    assert words(quotes[0]) == ARABIC.reference_text
    assert words(section.find(".//ul")) == "✓ kept: 10 ✗ lost: 4 مساءً"
    assert "Of the 2 expected facts" in words(section)
    assert tree(render_html(CASES["smallest"])).find(".//section[@aria-labelledby='questions']") is None


def test_positions_grow_with_the_loss_and_stay_inside_the_box() -> None:
    values = [0.0, 0.0005, 0.002, 0.01, 0.05, 0.2, 0.5, 0.9]
    places = [position(value, 0.9) for value in values]
    assert places == sorted(set(places))
    assert places[0] == 0
    assert places[-1] == 100
    assert position(0.4, 1.6) == pytest.approx(50), "four times the loss is twice as far"
    assert position(math.nan, 1.0) == 0
    assert position(math.inf, 1.0) == 100


def test_the_plot_holds_every_type_in_every_language_worst_first(case: Quality) -> None:
    focus = decide(case).focus
    if focus is None:
        assert tree(render_html(case)).find(".//figure") is None
        return
    drawn = plot(case, focus)
    means = {item.language: item.mean_kl.value for item in focus.measured.languages}
    assert [means[row.language] for row in drawn.rows] == sorted(means.values(), reverse=True)
    assert drawn.ticks[0].x == 0
    assert all(after.x - before.x > 10 for before, after in pairwise(drawn.ticks))
    for row in drawn.rows:
        assert [mark.name for mark in row.marks] == [item.measured.name for item in case.candidates]
        assert [mark.strong for mark in row.marks].count(True) == 1
        assert row.bound is None or 0 <= row.bound <= 100
        for mark in row.marks:
            assert 0 <= mark.low <= mark.x <= mark.high <= 100
            assert abs(mark.y) <= drawn.height / 2
    count = len(drawn.rows) * len(case.candidates)
    page = tree(render_html(case))
    shapes = [item.get("href") for item in page.findall(".//figure//svg[@class='row']//use")]
    assert len(shapes) == count
    assert len(set(shapes)) == len(case.candidates), "types differ by shape, not by colour alone"
    assert {f"#{name}" for name in SHAPES} == {f"#{item.get('id')}" for item in page.findall(".//defs/path")}


def test_json_holds_the_same_numbers_under_documented_keys(case: Quality) -> None:
    text = render_json(case)
    value = json.loads(text)
    assert value["format"] == "publicai-edge/quality/1"
    assert list(value) == sorted(value)
    read = tuple(Measured.from_json(item["measured"]) for item in value["candidates"])
    assert read == tuple(item.measured for item in case.candidates)
    assert value["decision"]["sentences"] == list(decide(case).sentences)
    documented = report.record.__doc__ or ""
    assert all(f"``{key}``" in documented for key in {"format", "decision", "notes", "summary", *value["decision"]})
    assert set(value) == set(case.to_json()) | {"format", "decision", "summary"}


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


def colours() -> tuple[dict[str, str], dict[str, str]]:
    css = (Path(report.__file__).parent / "page.css").read_text("utf-8")
    light, dark = (
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", part)) for part in css.split("prefers-color-scheme", 1)
    )
    return light, light | dark


def contrast(one: str, other: str) -> float:
    """Contrast ratio by WCAG 2.2."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("palette", colours(), ids=["light", "dark"])
def test_contrast_is_enough_for_text_and_for_marks(palette: dict[str, str]) -> None:
    washes = ("paper", "surface", "good-wash", "bad-wash", "plain-wash")
    for text in ("ink", "quiet", "good", "bad", "accent"):
        for ground in washes:
            assert contrast(palette[text], palette[ground]) >= 4.5, (text, ground)
    for mark in ("mark", "accent", "bad", "quiet"):
        for ground in ("surface", "beyond"):
            assert contrast(palette[mark], palette[ground]) >= 3, (mark, ground)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        held = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield held
        held.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["largest", "too large", "smallest"])
def test_the_page_fits_a_phone_and_400_percent_zoom_and_asks_for_nothing(
    browser: Browser, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "quality.html"
    file.write_bytes(render_html(CASES[name]))
    context = browser.new_context(viewport={"width": 320, "height": 640})
    page = context.new_page()
    requests: list[str] = []
    problems: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: problems.append(message.text))
    page.goto(file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert page.locator(".plot .row").count() == len(decide(CASES[name]).focus.measured.languages)
    inside = """[...document.querySelectorAll('.plot .row use')].every(mark => {
        const [dot, box] = [mark.getBoundingClientRect(), mark.closest('.plot').getBoundingClientRect()];
        return dot.left >= box.left && dot.right <= box.right && dot.top >= box.top && dot.bottom <= box.bottom;
    })"""
    assert page.evaluate(inside)
    context.close()
    assert requests == [file.as_uri()]
    assert problems == []


def test_the_parser_of_these_tests_refuses_broken_markup() -> None:
    with pytest.raises(etree.XMLSyntaxError):
        tree(b"<!DOCTYPE html><html><p>open</html>")
    assert ElementTree.fromstring(render_html(CASES["smallest"]).replace(b"<!DOCTYPE html>", b"")) is not None
