"""Large text, high contrast, the system's own wishes, and the page on paper."""

import asyncio
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from publicai_edge.bundle.open import Bundle
from tests.kiosk.conftest import Running, running
from tests.kiosk.fakes import FakeDocuments, FakeEngine

pytestmark = pytest.mark.slow
GROUND = "element => getComputedStyle(element).backgroundColor"
SIZE = "parseFloat(getComputedStyle(document.querySelector('#services')).fontSize)"


@pytest.fixture
def page(browser: Browser, kiosk: Running) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(60_000)
    held = context.new_page()
    held.goto(kiosk.url)
    expect(held.locator("#services button")).to_have_count(2)
    yield held
    context.close()


def ask(page: Page) -> None:
    page.get_by_role("button", name="Ask about the library").click()
    page.get_by_label("Your question").fill("When does the library open?")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#announcer")).to_contain_text("The answer is complete.")


def test_large_text_is_a_third_larger_until_the_button_is_pressed_again(page: Page) -> None:
    before = page.evaluate(SIZE)
    button = page.get_by_role("button", name="Large text")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    assert page.evaluate(SIZE) == pytest.approx(before * 4 / 3)
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")
    assert page.evaluate(SIZE) == before


def test_high_contrast_is_white_on_black(page: Page) -> None:
    page.get_by_role("button", name="High contrast").click()
    assert page.locator("body").evaluate(GROUND) == "rgb(0, 0, 0)"
    assert page.locator("body").evaluate("e => getComputedStyle(e).color") == "rgb(255, 255, 255)"


def test_letters_and_contrast_last_for_the_session_and_are_kept_nowhere(page: Page, kiosk: Running) -> None:
    for name in ("Large text", "High contrast"):
        page.get_by_role("button", name=name).click()
    ask(page)
    assert page.evaluate("localStorage.length + sessionStorage.length + document.cookie.length") == 0
    page.get_by_role("button", name="End session").click()
    expect(page.locator("#ended-text")).not_to_be_empty()
    # The one who pressed the button can still read that all was wiped; the next one finds an ordinary page.
    assert page.locator("body").evaluate(GROUND) == "rgb(0, 0, 0)"
    page.get_by_role("button", name="Start").click()
    for name in ("Large text", "High contrast"):
        expect(page.get_by_role("button", name=name)).to_have_attribute("aria-pressed", "false")
    assert page.locator("html").evaluate("e => ({...e.dataset})") == {}


def test_a_language_and_letters_chosen_and_left_are_gone_for_the_next_patron(browser: Browser, kiosk: Running) -> None:
    page = browser.new_page()
    page.clock.install()
    page.goto(kiosk.url)
    expect(page.locator("#end")).to_be_hidden()
    page.get_by_role("button", name="Large text").click()
    page.get_by_role("button", name="Español").click()
    expect(page.get_by_role("button", name="Terminar sesión")).to_be_visible()
    page.clock.fast_forward(11 * 60 * 1000)
    expect(page.locator("#ended-title")).to_have_text("Your session has ended")
    assert page.locator("html").evaluate("e => [e.lang, {...e.dataset}]") == ["en", {}]
    page.close()


def test_the_words_of_the_end_turn_to_the_first_language_when_nobody_goes_on(browser: Browser, kiosk: Running) -> None:
    page = browser.new_page()
    page.clock.install()
    page.goto(kiosk.url)
    page.get_by_role("button", name="Español").click()
    page.locator("#end").click()
    expect(page.locator("html")).to_have_attribute("lang", "es")
    expect(page.locator("#ended-text")).to_contain_text("de la memoria")
    page.clock.fast_forward(31_000)
    expect(page.locator("#ended-title")).to_have_text("Your session has ended")
    expect(page.locator("#ended-text")).to_contain_text("Nothing was stored")
    page.close()


def test_the_end_is_shown_before_the_kiosk_confirms_it_and_told_when_it_never_does(page: Page) -> None:
    ask(page)
    page.route("**/api/session/end", lambda route: route.abort())
    page.get_by_role("button", name="End session").click()
    expect(page.locator("#ended-title")).to_be_focused()
    expect(page.locator("#ended-text")).to_contain_text("The kiosk did not confirm")


def test_a_place_in_line_is_seen_and_heard(page: Page, kiosk: Running) -> None:
    kiosk.engine.queue = (2, 1)
    kiosk.engine.gate = asyncio.Event()
    page.get_by_role("button", name="Ask about the library").click()
    page.get_by_label("Your question").fill("When does the library open?")
    page.keyboard.press("Enter")
    last = "Others are being answered first. Your place in line: 1."
    expect(page.locator("#working")).to_have_text(last)
    assert page.locator("#announcer p").all_text_contents()[-2:] == [last.replace("1", "2"), last]
    kiosk.open_gate()
    expect(page.locator("#announcer")).to_contain_text("The answer is complete.")


def test_the_systems_wish_for_contrast_is_black_on_white(browser: Browser, kiosk: Running) -> None:
    page = browser.new_page(contrast="more")
    page.goto(kiosk.url)
    assert page.locator("body").evaluate(GROUND) == "rgb(255, 255, 255)"
    assert page.locator("body").evaluate("e => getComputedStyle(e).color") == "rgb(0, 0, 0)"
    page.get_by_role("button", name="High contrast").click()
    assert page.locator("body").evaluate(GROUND) == "rgb(0, 0, 0)", "the page's own button comes last"
    page.close()


def test_with_the_systems_own_colours_a_pressed_button_still_looks_pressed(browser: Browser, kiosk: Running) -> None:
    page = browser.new_page(forced_colors="active")
    page.goto(kiosk.url)
    width = "e => parseFloat(getComputedStyle(e).borderTopWidth)"
    assert page.get_by_role("button", name="English").evaluate(width) == 3
    assert page.get_by_role("button", name="Español").evaluate(width) == 1
    page.close()


def test_nothing_moves_for_those_who_asked_for_that(browser: Browser, kiosk: Running) -> None:
    page = browser.new_page(reduced_motion="reduce")
    page.goto(kiosk.url)
    assert page.evaluate("getComputedStyle(document.querySelector('#searching'), '::before').animationName") == "none"
    page.emulate_media(reduced_motion="no-preference")
    assert (
        page.evaluate("getComputedStyle(document.querySelector('#searching'), '::before').animationName") == "breathe"
    )
    page.close()


def test_a_finger_finds_marks_of_44_pixels_that_do_not_overlap(browser: Browser, kiosk: Running) -> None:
    kiosk.engine.text = "The library opens at 9 a.m. and closes at 6 p.m. from Monday to Friday [1] [2]. " * 4
    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(kiosk.url)
    ask(page)
    boxes = page.evaluate("""
      [...document.querySelectorAll("#answer .mark")].map(e => {
        const box = e.getBoundingClientRect(), over = getComputedStyle(e, "::after");
        const top = box.top + box.height / 2 - 22;
        return [box.left - 3, top, box.right + 3, top + parseFloat(over.height)];
      })
    """)
    assert len(boxes) >= 4
    for box in boxes:
        assert box[2] - box[0] >= 43.5
        assert box[3] - box[1] >= 43.5
    for i, one in enumerate(boxes):
        for other in boxes[i + 1 :]:
            apart = (
                one[2] <= other[0] + 0.5
                or other[2] <= one[0] + 0.5
                or one[3] <= other[1] + 0.5
                or other[3] <= one[1] + 0.5
            )
            assert apart, (one, other)
    page.locator("#answer .mark").first.tap()
    expect(page.locator("#passage-1")).to_be_focused()
    context.close()


def test_an_answer_is_printed_under_a_name_that_tells_nothing(page: Page) -> None:
    page.evaluate("() => { window.printed = []; window.print = () => window.printed.push(document.title); }")
    button = page.get_by_role("button", name="Print")
    expect(button).to_be_hidden()
    ask(page)
    expect(button).to_be_visible()
    button.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("window.printed") == ["Ask about the library \u2013 Ask the Town Library"]
    assert page.evaluate("[localStorage.length, sessionStorage.length, location.search, location.hash]") == [
        0,
        0,
        "",
        "",
    ]
    expect(page.locator("#answer")).not_to_be_empty()
    page.get_by_role("button", name="New question").click()
    expect(button).to_be_hidden()


def test_where_nothing_is_printed_there_is_no_button(browser: Browser, bundle: Bundle) -> None:
    with running(bundle, FakeEngine(), FakeDocuments(), printing=False) as kiosk:
        page = browser.new_page()
        page.goto(kiosk.url)
        ask(page)
        expect(page.locator("#print")).to_have_count(0)
        page.close()


def test_paper_gets_question_passages_in_full_answer_and_whom_to_ask_in_black_on_white(page: Page) -> None:
    page.get_by_role("button", name="High contrast").click()
    ask(page)
    cut = "(e => e.scrollHeight - e.clientHeight)(document.querySelector('#passage-1 blockquote'))"
    page.emulate_media(media="print")
    for shown in ("#title", "#asked", "#passage-1", "#passage-2 .passage-place", "#answer", "#answer .mark", ".person"):
        expect(page.locator(shown).first).to_be_visible()
    assert page.evaluate(cut) <= 2, "the whole passage"
    expect(page.locator("main button:visible, .controls:visible, form:visible, .only-heard:visible")).to_have_count(0)
    assert page.locator("body").evaluate(GROUND) == "rgb(255, 255, 255)"
    dark = page.evaluate(
        "[...document.querySelectorAll('main *, .person *')].filter(e => e.checkVisibility())"
        ".every(e => getComputedStyle(e).color.match(/\\d+/g).slice(0, 3).every(part => +part < 60))"
    )
    assert dark
    assert len(page.pdf()) > 1000
