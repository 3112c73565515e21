"""The slip under an answer, in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from publicai_edge.bundle.open import Bundle
from publicai_edge.kiosk.slips import Slips
from tests.kiosk.conftest import Running, manifest, running, write_bundle
from tests.kiosk.fakes import FakeDocuments, FakeEngine

CANARY = "kanarienvogel"
QUESTION = f"When does the library open, {CANARY}?"
pytestmark = pytest.mark.slow


@pytest.fixture
def slips(tmp_path: Path) -> Slips:
    return Slips(tmp_path / "state")


@pytest.fixture
def kiosk(bundle: Bundle, slips: Slips) -> Iterator[Running]:
    with running(bundle, FakeEngine(), FakeDocuments(), slips=slips) as held:
        yield held


@pytest.fixture
def page(browser: Browser, kiosk: Running) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
    context.set_default_timeout(60_000)
    held = context.new_page()
    problems: list[str] = []
    held.on("pageerror", lambda error: problems.append(str(error)))
    yield held
    context.close()
    assert problems == []


def ask(page: Page, url: str, question: str = QUESTION) -> None:
    page.goto(url)
    page.get_by_role("button", name="Ask about the library").click()
    page.get_by_label("Your question").fill(question)
    page.get_by_role("button", name="Ask", exact=True).click()


def test_a_patron_leaves_a_slip_by_the_keyboard(page: Page, kiosk: Running, slips: Slips) -> None:
    ask(page, kiosk.url)
    opener = page.get_by_role("button", name="This answer is wrong")
    opener.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Tell the staff what is wrong")).to_be_focused()
    page.get_by_role("button", name="Leave the slip").press("Enter")
    expect(page.get_by_role("alert").filter(has_text="Please choose what is wrong.")).to_be_visible()
    page.get_by_role("radio", name="It is out of date").check()
    page.get_by_role("button", name="Leave the slip").click()
    expect(page.get_by_text("The slip is kept for the staff.").first).to_be_focused()
    (slip,) = slips.read()
    assert (slip["reason"], slip["service"], slip["language"]) == ("outdated", "ask", "en")
    assert [passage["source"] for passage in slip["passages"]] == ["hours.md", "rules.pdf"]
    assert CANARY not in slips.place.read_text("utf-8"), "the question was not ticked"


def test_the_question_goes_along_where_it_is_ticked(page: Page, kiosk: Running, slips: Slips) -> None:
    ask(page, kiosk.url, f"zzzz {CANARY}")
    expect(page.get_by_role("heading", name="Not found in these documents")).to_be_visible()
    page.get_by_role("button", name="This should have been found").click()
    page.get_by_role("radio", name="It should have been found").check()
    box = page.get_by_role("checkbox", name="Add my question to the slip")
    expect(box).not_to_be_checked()
    box.check()
    page.get_by_role("button", name="Leave the slip").click()
    expect(page.get_by_text("The slip is kept for the staff.").first).to_be_visible()
    (slip,) = slips.read()
    assert (slip["question"], slip["passages"]) == (f"zzzz {CANARY}", [])


def test_the_slip_is_gone_with_the_question_and_the_session(page: Page, kiosk: Running, slips: Slips) -> None:
    ask(page, kiosk.url)
    page.get_by_role("button", name="This answer is wrong").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="This answer is wrong")).to_be_focused()
    page.get_by_role("button", name="New question").click()
    expect(page.locator(".slip button")).to_have_count(0)
    page.get_by_label("Your question").fill(QUESTION)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="This answer is wrong").click()
    page.get_by_role("button", name="End session").click()
    expect(page.get_by_role("heading", name="Your session has ended")).to_be_focused()
    expect(page.locator(".slip *")).to_have_count(0)
    assert CANARY not in page.content()
    assert slips.read() == []


def test_who_left_a_slip_is_told_that_it_alone_is_kept(page: Page, kiosk: Running, slips: Slips) -> None:
    ask(page, kiosk.url)
    page.get_by_role("button", name="This answer is wrong").click()
    page.get_by_role("radio", name="It is out of date").check()
    page.get_by_role("button", name="Leave the slip").click()
    expect(page.get_by_text("The slip is kept for the staff.").first).to_be_focused()
    page.get_by_role("button", name="End session").click()
    expect(page.locator("#ended-text")).to_contain_text("Only the slip that you left for the staff is kept.")
    assert len(slips.read()) == 1
    page.get_by_role("button", name="Start").click()
    page.get_by_role("button", name="Ask about the library").click()
    page.get_by_label("Your question").fill(QUESTION)
    page.get_by_role("button", name="End session").click()
    expect(page.locator("#ended-text")).to_contain_text("Nothing was stored.")


def test_where_the_kiosk_takes_no_slips_none_is_offered(browser: Browser, tmp_path: Path, slips: Slips) -> None:
    bundle = write_bundle(tmp_path / "off", manifest(slips="off"))
    with running(bundle, FakeEngine(), FakeDocuments(), slips=slips) as held:
        page = browser.new_page()
        ask(page, held.url)
        expect(page.locator("#announcer")).to_contain_text("The answer is complete.")
        expect(page.get_by_role("button", name="This answer is wrong")).to_have_count(0)
        page.close()


def test_own_words_are_asked_for_where_the_recipe_allows_them(browser: Browser, tmp_path: Path, slips: Slips) -> None:
    bundle = write_bundle(tmp_path / "words", manifest(slips="words"))
    with running(bundle, FakeEngine(), FakeDocuments(), slips=slips) as held:
        page = browser.new_page()
        ask(page, held.url)
        page.get_by_role("button", name="This answer is wrong").click()
        page.get_by_role("radio", name="Something else").check()
        page.get_by_label("In a few words").fill("the branch moved")
        page.get_by_role("button", name="Leave the slip").click()
        expect(page.get_by_text("The slip is kept for the staff.").first).to_be_visible()
        page.close()
    assert slips.read()[0]["words"] == "the branch moved"
