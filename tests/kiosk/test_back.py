"""The browser's Back and Forward, in a real browser: steps within the page, and nothing of an ended session."""

import pytest
from playwright.sync_api import Page, expect

from tests.kiosk.test_page import CANARY, ask, page

__all__ = ["page"]  # a fixture
pytestmark = pytest.mark.slow


def test_back_goes_from_the_document_to_the_answer_the_question_and_the_services(page: Page) -> None:
    ask(page)
    expect(page.locator("#answer .mark")).to_have_count(1)
    page.get_by_role("button", name="Read in the document").first.click()
    expect(page.locator("#document-title")).to_be_visible()
    page.go_back()
    expect(page.locator("#answer")).to_contain_text("The library opens at 9 a.m.")
    expect(page.get_by_role("button", name="Read in the document").first).to_be_focused()
    page.go_back()
    expect(page.get_by_label("Your question")).to_be_focused()
    expect(page.get_by_label("Your question")).to_have_value("")
    page.go_back()
    expect(page.locator("#choose-title")).to_be_focused()


def test_the_pages_own_buttons_and_back_keep_in_step(page: Page) -> None:
    for _ in range(3):
        ask(page)
        expect(page.locator("#answer .mark")).to_have_count(1)
        page.get_by_role("button", name="Read in the document").first.click()
        page.get_by_role("button", name="Back to the answer").first.click()
        page.get_by_role("button", name="New question").click()
        page.locator("#to-services").click()
        expect(page.locator("#choose-title")).to_be_visible()
    page.wait_for_function("history.state.depth === 0")
    assert page.evaluate("history.length") <= 6


def test_who_goes_on_before_the_browser_has_gone_back_stays_there(page: Page) -> None:
    """Going back takes the browser a moment, and a quick hand does not wait for it."""
    ask(page)
    expect(page.locator("#answer .mark")).to_have_count(1)
    page.evaluate("""() => {
      document.getElementById("new").click();
      document.getElementById("to-services").click();
      document.querySelector("#services button").click();
    }""")
    page.wait_for_function("history.state.depth === 1")
    page.wait_for_timeout(500)
    expect(page.get_by_label("Your question")).to_be_visible()
    assert page.evaluate("history.state.depth") == 1
    page.go_back()
    expect(page.locator("#choose-title")).to_be_focused()


def test_the_skip_link_is_no_step(page: Page) -> None:
    ask(page)
    expect(page.locator("#answer .mark")).to_have_count(1)
    page.locator(".skip").press("Enter")
    expect(page.locator("#main")).to_be_focused()
    expect(page.locator("#answer")).to_be_visible()
    assert "#" not in page.url


def test_nothing_of_an_ended_session_comes_back(page: Page) -> None:
    ask(page)
    expect(page.locator("#answer .mark")).to_have_count(1)
    page.get_by_role("button", name="Read in the document").first.click()
    page.get_by_role("button", name="End session").click()
    expect(page.locator("#ended-text")).to_contain_text("Nothing was stored.")
    page.wait_for_function("history.state.depth === 0")
    page.go_forward()
    page.wait_for_function("history.state.depth === 0")
    expect(page.locator("#view-ended")).to_be_visible()
    page.get_by_role("button", name="Start").click()
    page.go_forward()
    page.wait_for_function("history.state.depth === 0")
    expect(page.locator("#view-choose")).to_be_visible()
    assert CANARY not in page.content()
