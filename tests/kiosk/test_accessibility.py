"""Every view of the page, in every language, both contrasts and large text: axe-core finds nothing wrong in it.

And nothing runs off a screen of 320 by 256 pixels, which is what a zoom of 400 % leaves of a usual one.
"""

import asyncio
import itertools
from collections.abc import Iterator

import pytest
from _pytest.mark import ParameterSet
from playwright.sync_api import Browser, Page, expect

from publicai_edge.errors import EngineError, OverloadedError
from publicai_edge.kiosk.words import shipped
from tests.kiosk import ten
from tests.kiosk.axe import rules, violations
from tests.kiosk.conftest import Running, running
from tests.kiosk.contrast import AAA, ratios
from tests.kiosk.fakes import FakeDocuments, FakeEngine

pytestmark = pytest.mark.slow
WIDE = {"width": 1280, "height": 1024}
ZOOMED = {"width": 320, "height": 256}
SIGHTS: dict[str, dict[str, str]] = {
    "plain": {},
    "high contrast": {"contrast": "high"},
    "large text": {"text": "large"},
}
IN_ALL_SIGHTS = ("en", "ar")  # with every run; the other languages' contrast and size are part of the long form
SEE = """
sight => {
  for (const name of ["contrast", "text"]) delete document.documentElement.dataset[name];
  Object.assign(document.documentElement.dataset, sight);
}
"""
TOO_SMALL = """
() => [...document.querySelectorAll("button, summary, textarea")]
  .filter(e => e.checkVisibility() && !e.closest("[inert]"))
  .map(e => [e, e.getBoundingClientRect()])
  .filter(([, box]) => box.width < 43.5 || box.height < 43.5)
  .map(([e, box]) => `${e.id || e.className} ${e.textContent}: ${box.width} by ${box.height}`)
"""


def in_sights() -> list[ParameterSet]:
    """Return each language with the sights it is looked at in, as parameters of a test."""
    found = []
    for language in shipped():
        first, *others = SIGHTS
        if language in IN_ALL_SIGHTS:
            found.append(pytest.param(language, tuple(SIGHTS), id=f"{language}-all"))
        else:
            found.append(pytest.param(language, (first,), id=f"{language}-{first}"))
            found.append(pytest.param(language, tuple(others), id=f"{language}-others", marks=pytest.mark.soak))
    return found


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    bundle = ten.bundle(tmp_path_factory.mktemp("ten") / "bundle")
    with running(bundle, FakeEngine(), FakeDocuments(ten.PASSAGES)) as held:
        yield held


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport=WIDE, reduced_motion="reduce")
    context.set_default_timeout(60_000)
    held = context.new_page()
    held.clock.install()
    yield held
    context.close()


def ask(page: Page, question: str) -> None:
    if page.locator("#result").is_visible():
        page.locator("#new").click()
    page.locator("#question").fill(question)
    page.locator("#form .main-button").click()


def answered(page: Page) -> None:
    expect(page.locator("#asked")).to_be_visible()
    expect(page.locator("#answer")).not_to_be_empty()
    expect(page.locator("#stop")).to_be_hidden()


def views(page: Page, kiosk: Running, language: str) -> Iterator[str]:
    """Go through the page as a patron does; yields the name of each view while it is shown."""
    engine = kiosk.engine
    engine.state, engine.failure, engine.queue, engine.text = "loading", None, (), ten.ANSWERED[language]
    engine.gate = asyncio.Event()
    page.goto(kiosk.url)
    page.locator(f"#languages [lang={language}]").click()
    expect(page.locator("#notice")).to_be_visible()
    yield "choice of a service, while the model gets ready"
    engine.state = "ready"
    page.locator("#services button").first.click()
    expect(page.locator("#notice")).to_be_hidden()
    yield "question"
    page.locator("#form .main-button").click()
    expect(page.locator("#problem")).not_to_be_empty()
    yield "question that was not typed"
    engine.queue = (3,)
    ask(page, ten.ASKED[language])
    expect(page.locator("#working")).to_contain_text("3")
    yield "passages, and a place in line"
    kiosk.open_gate()
    answered(page)
    expect(page.locator("#answer .mark").first).to_be_visible()
    page.locator(".about summary").click()
    yield "passages and answer, and who stands behind it"
    page.locator("#answer .mark").first.click()
    yield "passage that a mark led to"
    page.locator("#passage-1 button:visible").last.click()
    expect(page.locator("#found")).to_be_focused()
    yield "document"
    page.locator("#to-answer").click()
    engine.text, engine.queue = "Dragons guard the treasure.", ()
    ask(page, ten.ASKED[language])
    answered(page)
    expect(page.locator("#unsupported")).to_be_visible()
    page.locator("#earlier summary").click()
    yield "answer without a source, and an earlier one"
    ask(page, ten.UNFOUND)
    expect(page.locator("#nothing-person")).to_be_visible()
    yield "nothing found, and whom to ask"
    for failure in (OverloadedError("full", retry_after=7), EngineError("died")):
        engine.failure = failure
        ask(page, ten.ASKED[language])
        expect(page.locator("#ending")).to_be_visible()
        yield f"{type(failure).__name__}"
    page.clock.fast_forward(9 * 60 * 1000 + 5000)
    expect(page.get_by_role("dialog")).to_be_visible()
    yield "warning before the session is wiped"
    page.locator("#idle-end").click()
    expect(page.locator("#ended-title")).to_be_focused()
    expect(page.locator("#ended-text")).not_to_be_empty()
    yield "end of the session"


@pytest.mark.parametrize(("language", "sights"), in_sights())
def test_axe_finds_nothing_and_nothing_runs_off_a_small_screen(
    page: Page, many: Running, language: str, sights: tuple[str, ...]
) -> None:
    found: list[str] = []
    seen = 0
    for view in views(page, many, language):
        seen += 1
        for name in sights:
            page.evaluate(SEE, SIGHTS[name])
            where = f"{language}, {view}, {name}"
            found += [f"{where}: {line}" for line in violations(page)]
            found += [f"{where}: contrast {ratio:.1f}: {name}" for name, ratio in ratios(page) if ratio < AAA]
            page.set_viewport_size(ZOOMED)
            if (width := page.evaluate("document.documentElement.scrollWidth")) > ZOOMED["width"]:
                found.append(f"{where}: {width} pixels wide on a screen of {ZOOMED['width']}")
            found += [
                f"{where}, at {ZOOMED['width']} pixels: too small to touch: {it}" for it in page.evaluate(TOO_SMALL)
            ]
            page.set_viewport_size(WIDE)
        page.evaluate(SEE, {})
    assert seen == 13
    assert found == [], "\n" + "\n".join(found)


def test_what_axe_should_find_is_found(page: Page, many: Running) -> None:
    for _ in zip(range(2), views(page, many, "en"), strict=False):
        pass
    assert violations(page) == []
    assert rules(page) > 30
    page.evaluate("""() => {
      document.getElementById("question").labels[0].remove();
      document.getElementById("question").placeholder = "";
      document.getElementById("privacy").style.color = "#999";
      document.getElementById("main").setAttribute("lang", "xx-notone");
    }""")
    named = {line.split()[0] for line in violations(page)}
    assert {"label", "color-contrast", "valid-lang"} <= named


@pytest.mark.parametrize("language", ["en", "ar", "hi"])
def test_wider_spaces_between_letters_words_and_lines_lose_nothing(page: Page, many: Running, language: str) -> None:
    """WCAG 1.4.12."""
    page.set_viewport_size({"width": 390, "height": 800})
    spaces = "line-height: 1.5; letter-spacing: 0.12em; word-spacing: 0.16em"
    for view in views(page, many, language):
        page.evaluate(
            "spaces => { for (const e of document.querySelectorAll('body *')) e.style.cssText += `;${spaces}` }", spaces
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, view
        cut = page.evaluate(
            "[...document.querySelectorAll('button, summary, label, h1, h2, h3')].filter(e => e.checkVisibility())"
            ".filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 2).map(e => e.textContent)"
        )
        assert cut == [], view


def test_headings_go_down_by_one_and_landmarks_hold_everything(page: Page, many: Running) -> None:
    for view in views(page, many, "en"):
        levels = page.evaluate(
            "[...document.querySelectorAll('h1, h2, h3')].filter(e => e.checkVisibility()).map(e => +e.tagName[1])"
        )
        if not page.get_by_role("dialog").is_visible():
            assert levels[0] == 1, view
        assert all(below - above <= 1 for above, below in itertools.pairwise(levels)), view
        assert page.locator("header, main, footer, aside").count() == 4
