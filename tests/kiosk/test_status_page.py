"""The operator's page, in a real browser."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from publicai_edge.engine.protocol import EngineMetrics
from tests.kiosk.conftest import Running

pytestmark = pytest.mark.slow


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
    context.set_default_timeout(60_000)
    held = context.new_page()
    problems: list[str] = []
    held.on("pageerror", lambda error: problems.append(str(error)))
    held.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    yield held
    context.close()
    assert problems == []


def test_the_operators_page_refreshes_and_leaves_the_focus_where_it_is(page: Page, kiosk: Running) -> None:
    page.clock.install()
    page.goto(f"{kiosk.url}/status")
    expect(page.get_by_role("status")).to_have_text("Everything works.")
    expect(page.locator("#model-name")).to_have_text("SmolLM2-135M-Instruct, Q4_0")
    expect(page.locator("#busy")).to_have_text("0 of 0")
    expect(page.get_by_text("Passages read ahead")).to_be_hidden()
    page.get_by_label("Language").focus()
    kiosk.engine.metrics = EngineMetrics(slots=4, slots_busy=3, queued=2, answered=1234)
    kiosk.engine.state = "failed"
    ahead = kiosk.kiosk.ahead
    ahead.state, ahead.done, ahead.all = "full", 5, 8
    page.clock.run_for(5000)
    expect(page.locator("#ahead")).to_have_text("62%; the disk space for them is used up")
    expect(page.locator("#busy")).to_have_text("3 of 4")
    expect(page.locator("#answered")).to_have_text("1,234")
    expect(page.get_by_role("status")).to_have_text("This needs attention.")
    expect(page.locator("#troubles li")).to_have_count(1)
    expect(page.get_by_label("Language")).to_be_focused()
    page.get_by_role("button", name="Stop refreshing").click()
    kiosk.engine.metrics = EngineMetrics(slots=4)
    page.clock.run_for(20_000)
    expect(page.locator("#busy")).to_have_text("3 of 4")
    page.get_by_role("button", name="Stop refreshing").click()
    expect(page.locator("#busy")).to_have_text("0 of 4")


def test_the_operators_page_speaks_the_languages_of_the_kiosk(page: Page, kiosk: Running) -> None:
    page.goto(f"{kiosk.url}/status")
    expect(page.get_by_role("status")).to_have_text("Everything works.")
    page.get_by_label("Language").select_option("ar")
    expect(page.get_by_role("status")).to_have_text("كل شيء يعمل.")
    assert page.evaluate("document.documentElement.dir") == "rtl"
    page.locator("#language").select_option("es")
    expect(page.get_by_role("heading", name="Cómo está este quiosco")).to_be_visible()
    assert page.evaluate("document.documentElement.lang + document.documentElement.dir") == "esltr"
    for name in (
        "model-state",
        "documents-state",
        "documents-extent",
        "uptime",
        "memory",
        "signed",
        "valid",
        "changed",
    ):
        text = page.locator(f"#{name}").inner_text()
        assert text, name
        assert "operator." not in text


def test_the_operators_page_fits_a_phone(page: Page, kiosk: Running) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    page.goto(f"{kiosk.url}/status")
    expect(page.get_by_role("status")).to_have_text("Everything works.")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
