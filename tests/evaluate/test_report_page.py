"""The report's page: it shows every number, needs nothing else, and trusts no text it did not write itself."""

import json
import math
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import pytest
from lxml import etree
from lxml import html as lxml_html
from playwright.sync_api import Browser, sync_playwright

from publicai_edge import pages
from publicai_edge.evaluate.gate import judge
from publicai_edge.evaluate.report import is_report_html, is_report_json, render_html, render_json, render_terminal
from publicai_edge.evaluate.report.decision import decide
from publicai_edge.evaluate.report.languages import language
from publicai_edge.evaluate.report.plot import SHAPES, plot, position
from publicai_edge.evaluate.result import (
    Answer,
    Bounds,
    Candidate,
    Measured,
    Quality,
    TextUse,
)
from tests.browser import ARGUMENTS, CHROMIUM
from tests.evaluate.report_cases import (
    ARABIC,
    CASES,
    each_case,
    quality,
    tree,
    words,
)

HOSTILE = (
    '</blockquote></main><script>alert("x")</script><img src="//evil.example/a.png" onerror=alert(1)>'
    "&\x00\x1b[31m\ud800\u202e"
)


@each_case
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


@each_case
def test_every_language_type_and_verdict_is_on_the_page(case: Quality) -> None:
    page = tree(render_html(case))
    text = words(page.find("body"))
    for candidate in case.candidates:
        assert candidate.measured.name in text
        assert candidate.measured.sha256 in text
        for item in candidate.measured.languages:
            assert language(item.language).name in text
    assert decide(case).headline in text


@each_case
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


@each_case
def test_headings_leave_no_level_out(case: Quality) -> None:
    levels = [int(item.tag[1]) for item in tree(render_html(case)).iter("h1", "h2", "h3", "h4")]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_what_putting_passages_together_costs_is_on_the_page_where_it_was_measured() -> None:
    text = words(tree(render_html(CASES["read once"])).find("body"))
    assert "It is within what the recipe allows." in text
    assert "recomputed, 16 tokens all languages (3) 0.0080 0.0040\u20130.0120 3 of 3 210" in text
    assert "Passages read once" not in words(tree(render_html(CASES["chosen"])).find("body"))


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


@each_case
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


def colours() -> tuple[dict[str, str], dict[str, str]]:
    css = (Path(pages.__file__).parent / "report.css").read_text("utf-8")
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


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_table_wider_than_a_phone_has_a_shadow_where_it_goes_on_and_its_caption_wraps(
    browser: Browser, tmp_path: Path, scheme: Literal["light", "dark"]
) -> None:
    file = tmp_path / "quality.html"
    file.write_bytes(render_html(CASES["chosen"]))
    page = browser.new_page(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page.goto(file.as_uri())
    boxes = page.locator(".scroll")
    for number in range(boxes.count()):
        scroller = boxes.nth(number)
        scroller.scroll_into_view_if_needed()
        box, caption = scroller.bounding_box(), scroller.locator("caption span").bounding_box()
        assert box and caption
        assert scroller.evaluate("element => element.scrollWidth > element.clientWidth")
        assert box["x"] <= caption["x"]
        assert caption["x"] + caption["width"] <= box["x"] + box["width"] + 1

        def strip(x: float, y: float = box["y"]) -> bytes:
            return page.screenshot(clip={"x": x, "y": y + 4, "width": 3, "height": 3})

        right, middle = box["x"] + box["width"] - 6, box["x"] + box["width"] / 2
        assert strip(right) != strip(middle), "there is more on the right"
        scroller.evaluate("element => { element.scrollLeft = element.scrollWidth }")
        assert strip(right) == strip(middle), "there is no more"
    page.close()


def test_a_report_is_told_from_other_files() -> None:
    assert is_report_html(render_html(CASES["refused"]))
    assert is_report_json(render_json(CASES["refused"]))
    assert not is_report_html(b"<!DOCTYPE html><title>Quality report: mine</title>")
    for other in (b"", b"\xff", b"[]", b'{"format": 3}', b'{"format": "other/quality/1"}'):
        assert not is_report_json(other)


def test_the_parser_of_these_tests_refuses_broken_markup() -> None:
    with pytest.raises(etree.XMLSyntaxError):
        tree(b"<!DOCTYPE html><html><p>open</html>")
    assert ElementTree.fromstring(render_html(CASES["smallest"]).replace(b"<!DOCTYPE html>", b"")) is not None
