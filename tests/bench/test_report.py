"""The report as a page and in a terminal: whole, valid, safe, and with every figure."""

import re
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from lxml import etree
from playwright.sync_api import sync_playwright

from publicai_edge.bench.report import plot
from publicai_edge.bench.report.numbers import change, meaning, number, planned_rows, shown
from publicai_edge.bench.report.page import render_html
from publicai_edge.bench.report.terminal import render
from publicai_edge.bench.result import Planned, Run
from publicai_edge.bench.statistics import Estimate
from tests.bench.cases import VALUES, run
from tests.browser import ARGUMENTS, CHROMIUM

EVIL = "<script>alert('x')</script>\x00&amp;"


def typed(kind: str, seed: int = 0) -> Run:
    return run(seed, subject=replace(run().subject, name=f"m-{kind}.gguf", type=kind))


def test_the_page_is_xml_needs_nothing_and_has_every_figure() -> None:
    page = render_html([run(1), run(2)]).decode()
    etree.fromstring(page.encode())
    assert "<script" not in page
    assert not re.search(r'(src|href)="(?!#)', page)
    assert "default-src 'none'" in page
    for name in VALUES:
        assert f"<code>{name}</code>" in page


def test_strange_words_are_escaped() -> None:
    page = render_html([run(1, subject=replace(run().subject, name=EVIL), notes=(EVIL,))]).decode()
    ElementTree.fromstring(page)
    assert "<script" not in page


def test_losses_are_plotted_where_they_are_known() -> None:
    page = render_html([typed("Q4_0"), typed("Q8_0", 2)], {"Q4_0": 0.1, "Q8_0": 0.01}).decode()
    assert "Quality, size and speed" in page
    assert page.count('class="bubble"') == 2
    assert "Quality, size and speed" not in render_html([typed("Q4_0")]).decode()


def test_everything_lies_inside_its_plot() -> None:
    runs = [run(seed, everything=factor) for seed, factor in enumerate((0.1, 1.0, 3.0))]
    for panel in plot.panels(runs):
        assert panel.ticks[0].x == 0
        for line in panel.lines:
            assert len(line.marks) == 3
            for mark in line.marks:
                assert 0 <= mark.low <= mark.x <= mark.high <= 100
    for one in runs:
        drawn = plot.roofline(one)
        assert drawn
        for point in drawn.points:
            assert 0 < point.x < 100
            assert 0 < point.y < plot.HEIGHT
        labels = sorted(point.label_y for point in drawn.points if point.shape == "circle")
        assert all(after - before >= 15.9 for before, after in pairwise(labels))


_LEGIBLE = """
() => [...document.querySelectorAll("svg text")].map(text => {
  const scale = text.getScreenCTM().d, box = text.getBoundingClientRect();
  return [text.textContent, scale * parseFloat(getComputedStyle(text).fontSize), box.left, box.right];
})
"""
_LINES = """
() => [...document.querySelectorAll("th code")].map(
  code => [code.textContent, code.getClientRects().length])
"""


def test_on_a_phone_and_in_print_plots_are_legible_and_names_are_whole() -> None:
    runs = [typed("Q4_0"), typed("Q8_0", 2)]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.set_content(render_html(runs, {"Q4_0": 0.1, "Q8_0": 0.01}).decode())
        assert page.evaluate("document.documentElement.scrollWidth") == 390, "nothing sticks out"
        texts = page.evaluate(_LEGIBLE)
        assert {"512", "Q8_0"} <= {text for text, *_ in texts}
        for text, size, left, right in texts:
            assert size >= 12, text
            assert left >= 0, text
            assert right <= 390, text
        assert {name: lines for name, lines in page.evaluate(_LINES) if lines > 1} == {}
        page.emulate_media(media="print")
        page.set_viewport_size({"width": 680, "height": 960})  # a sheet of A4 within its margins
        assert min(size for _, size, *_ in page.evaluate(_LEGIBLE)) >= 9
        browser.close()


def test_a_run_without_limits_has_no_roofline() -> None:
    bare = run()
    bare = replace(bare, figures=tuple(figure for figure in bare.figures if figure.name != "bandwidth"))
    assert plot.roofline(bare) is None
    assert b"What the machine allows" not in render_html([bare])


def test_the_terminal_has_the_figures_the_shares_and_the_notes() -> None:
    text = render(run(1), 80)
    assert text.splitlines()[0] == "model.gguf, GGUF, Q4_0, 76.3 MiB"
    for name in VALUES:
        assert re.search(rf"^{re.escape(name)} ", text, re.MULTILINE)
    assert "decode@0 reaches 4" in text
    assert "decode@512 reaches" not in text
    assert "- A note." in text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0123, "s", "12.3 ms"),
        (12.345, "s", "12.3 s"),
        (1234.5, "tokens/s", "1,234 tokens/s"),
        (300e6, "bytes", "286 MiB"),
        (5, "bytes", "5.00 bytes"),
        (9.876, "tokens/s", "9.88 tokens/s"),
    ],
)
def test_numbers_have_three_digits_that_count(value: float, unit: str, text: str) -> None:
    assert shown(value, unit) == text


def test_what_is_not_known_is_a_question_mark() -> None:
    assert number(float("inf")) == "?"
    assert change(Estimate(0.9, 0.0, float("inf"))) == "-10.0 % (?)"
    assert change(Estimate(0.9, 0.88, 0.93)) == "-10.0 % (-12.0 … -7.0)"


def test_every_figure_has_words() -> None:
    for name in VALUES:
        assert meaning(name) != name
    assert meaning("patrons@1") == "one patron, prompt included"
    assert meaning("nothing@1") == "nothing@1"


def test_what_was_planned_stands_beside_what_was_measured() -> None:
    ranges = {"decode@0": (80.0, 100.0, 125.0), "prefill@512": (625.0, 700.0, 900.0), "decode@512": (30.0, 35.0, 60.0)}
    made = run(1, noise=0.0001, planned=Planned("kiosk & co", {**ranges, "unknown@1": (1.0, 2.0, 3.0)}))
    assert planned_rows(made) == [
        ("decode@0", "80.0 to 125", "100 tokens/s", "as planned"),
        ("prefill@512", "625 to 900", "500 tokens/s", "20% below the range"),
        ("decode@512", "30.0 to 60.0", "90.0 tokens/s", "50% above the range"),
    ]
    assert Run.from_json(made.to_json()) == made
    assert "Planned with kiosk & co:" in render(made)
    page = render_html([made, run(2)]).decode()
    etree.fromstring(page.encode())
    assert page.count("Planned and measured") == 1
    assert "20% below the range" in page
    assert "Planned" not in render(run(2)) + render_html([run(2)]).decode()
