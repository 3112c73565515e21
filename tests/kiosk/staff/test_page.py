"""The staff page in a real browser: with the keyboard alone, and with a file that is dropped."""

import base64
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from publicai_edge.kiosk.staff_sessions import IDLE_SECONDS
from tests.kiosk.staff import CODE, Staffed
from tests.kiosk.staff.test_documents import pdf

pytestmark = pytest.mark.slow
DROP = """([name, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type: "application/pdf" }));
  return transfer;
}"""


@pytest.fixture
def page(browser: Browser, kiosk: Staffed, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The kiosk's page; its console holds no error, but for one that a test expects and names."""
    expected: str | None = getattr(request, "param", None)
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(60_000)
    held = context.new_page()
    problems: list[str] = []
    held.on("pageerror", lambda error: problems.append(str(error)))
    held.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    held.goto(kiosk.running.url)
    yield held
    context.close()
    assert [text for text in problems if expected is None or expected not in text] == []


def open_desk(page: Page) -> None:
    page.get_by_text("About this kiosk").click()
    page.get_by_role("link", name="For staff").click()
    expect(page.get_by_label("Staff code")).to_be_focused()
    page.keyboard.type(CODE)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Documents of this kiosk")).to_be_focused()


def test_a_dropped_pdf_is_found_by_the_next_patron(page: Page) -> None:
    open_desk(page)
    expect(page.locator("#limits")).to_contain_text("PDF")
    transfer = page.evaluate_handle(DROP, ["permits.pdf", base64.b64encode(pdf()).decode()])
    page.locator("#drop").dispatch_event("drop", {"dataTransfer": transfer})
    expect(page.locator("#jobs")).to_contain_text("permits.pdf: added as")
    expect(page.locator("#announcer")).to_contain_text("permits.pdf: added as")
    page.get_by_role("link", name="Back to the kiosk").click()
    page.get_by_role("button", name="Ask about the library").click()
    page.get_by_label("Your question").fill("Where do residents get a parking permit?")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#passages")).to_contain_text("counter seven")
    page.locator(".passage", has_text="counter seven").get_by_text("Read in the document").click()
    expect(page.locator("#found")).to_contain_text("counter seven")
    page.goto(page.url.rstrip("/") + "/staff")
    expect(page.get_by_label("Staff code")).to_be_visible()


def test_a_long_name_stays_on_a_narrow_screen_and_an_empty_file_is_called_so(page: Page, tmp_path: Path) -> None:
    file = tmp_path / f"Notice_of_the_roof_repair_{'in_the_reading_room_' * 3}(really_final).txt"
    file.write_text("The reading room is closed in February.")
    empty = tmp_path / "empty.txt"
    empty.touch()
    page.set_viewport_size({"width": 320, "height": 640})
    open_desk(page)
    page.get_by_label("Choose files").set_input_files([file, empty])
    expect(page.locator("#documents")).to_contain_text("really_final")
    expect(page.locator("#jobs")).to_contain_text("empty.txt: not added, because it is empty")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_everything_is_done_with_the_keyboard_and_taken_back(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "permits.md"
    file.write_text("# Parking permits\n\nResidents get a parking permit at counter seven.")
    open_desk(page)
    page.get_by_label("Choose files").set_input_files(file)
    row = page.locator("#documents li", has_text="Parking permits")
    expect(row).to_contain_text("Added here")
    expect(page.get_by_role("button", name="Remove")).to_have_accessible_description("Parking permits")
    page.get_by_role("button", name="Remove").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#announcer")).to_have_text("Removed: Parking permits")
    expect(row).to_contain_text("Removed, can still be brought back")
    page.get_by_label("Part of a title").fill("rules")
    expect(page.locator("#documents li")).to_have_count(1)
    page.get_by_role("button", name="Hide").press("Enter")
    expect(page.get_by_role("button", name="Show again")).to_be_focused()
    page.get_by_label("Part of a title").fill("")
    for _ in range(2):
        page.get_by_role("button", name="Undo the last change").press("Enter")
        expect(page.locator("#announcer")).to_have_text("The last change was undone.")
    expect(page.locator("#changes li")).to_have_text(["Added: Parking permits"])
    page.get_by_role("button", name="Sign out").press("Enter")
    expect(page.get_by_label("Staff code")).to_be_focused()
    expect(page.locator("#documents li")).to_have_count(0)


def test_a_document_is_deleted_for_good_with_the_keyboard_after_a_question(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "permits.md"
    file.write_text("# Parking permits\n\nResidents get a parking permit at counter seven.")
    open_desk(page)
    page.get_by_label("Choose files").set_input_files(file)
    page.get_by_role("button", name="Remove").press("Enter")
    row = page.locator("#documents li", has_text="Removed, can still be brought back")
    expect(row).to_contain_text("Parking permits")
    page.get_by_role("button", name="Delete for good").press("Enter")
    question = page.get_by_role("dialog", name="Delete for good")
    expect(question).to_contain_text("Parking permits")
    expect(question.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Escape")
    expect(row).to_have_count(1)
    expect(page.get_by_role("button", name="Delete for good")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#jobs")).to_contain_text("Parking permits: erased for good")
    expect(page.locator("#announcer")).to_contain_text("Parking permits: erased for good")
    expect(page.locator("#documents li")).to_have_count(2)
    expect(page.get_by_role("heading", name="All documents")).to_be_focused()
    expect(page.locator("#changes-part")).to_be_hidden()


# A kiosk that has signed staff out says so (401) to whatever asks next: the countdown, or one of the looks.
@pytest.mark.parametrize("page", ["status of 401"], indirect=True)
def test_before_staff_are_signed_out_they_are_asked_and_can_stay(page: Page, kiosk: Staffed) -> None:
    page.clock.install()
    page.reload()
    open_desk(page)
    sessions, now = kiosk.desk.sessions, time.monotonic()
    sessions._clock = lambda: now + IDLE_SECONDS - 50
    page.clock.fast_forward(16_000)
    dialog = page.get_by_role("dialog", name="Are you still there?")
    expect(dialog).to_contain_text("You will be signed out in")
    expect(dialog.get_by_role("button", name="I am still here")).to_be_focused()
    with page.expect_response("**/session/stay"):  # the dialog closes before the kiosk has heard
        page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    page.clock.fast_forward(16_000)
    expect(page.locator("#desk")).to_be_visible()
    expect(dialog).to_be_hidden()
    sessions._clock = lambda: now + 2 * IDLE_SECONDS - 100  # fifty seconds before
    page.clock.fast_forward(16_000)
    expect(dialog).to_be_visible()
    sessions._clock = lambda: now + 3 * IDLE_SECONDS
    page.clock.fast_forward(60_000)
    expect(page.get_by_label("Staff code")).to_be_focused()
    expect(dialog).to_be_hidden()
    expect(page.locator("#note")).to_contain_text("Nothing was changed for a while")


def test_what_cannot_be_added_is_said_in_the_language_of_the_page(page: Page, tmp_path: Path) -> None:
    for name, data in (("broken.pdf", b"%PDF-1.7 broken"), ("empty.txt", b""), ("tool.exe", b"x")):
        (tmp_path / name).write_bytes(data)
    open_desk(page)
    page.get_by_role("button", name="Español").click()
    page.locator("#files").set_input_files([tmp_path / "broken.pdf", tmp_path / "empty.txt"])
    expect(page.locator("#jobs")).to_contain_text("broken.pdf: no se añadió porque no se puede leer")
    expect(page.locator("#jobs")).to_contain_text("empty.txt: no se añadió")
    expect(page.locator("#jobs .job-detail").first).to_have_attribute("lang", "en")


def test_what_has_been_read_about_a_file_is_taken_off_the_list(page: Page, tmp_path: Path) -> None:
    for name, data in (("broken.pdf", b"%PDF-1.7 broken"), ("empty.txt", b"")):
        (tmp_path / name).write_bytes(data)
    open_desk(page)
    page.locator("#files").set_input_files([tmp_path / "broken.pdf", tmp_path / "empty.txt"])
    lines = page.locator("#jobs li")
    expect(page.locator("#jobs .is-wrong")).to_have_count(2)
    lines.filter(has_text="empty.txt").get_by_role("button", name="Take off the list").press("Enter")
    expect(lines).to_have_count(1)
    expect(lines.get_by_role("button", name="Take off the list")).to_be_focused()
    page.keyboard.press("Enter")
    expect(lines).to_have_count(0)
    expect(page.locator("#files")).to_be_focused()
    page.locator("#files").set_input_files([tmp_path / "empty.txt"])
    expect(page.locator("#jobs .is-wrong")).to_have_count(1)


def test_every_control_has_a_name_and_a_size_for_a_finger(page: Page) -> None:
    open_desk(page)
    for control in page.locator(
        "button:visible, input:visible:not(.only-heard), label.file-button, a:visible:not(.skip)"
    ).all():
        assert control.evaluate("(item) => item.textContent.trim() || item.labels?.length || item.ariaLabel")
        box = control.bounding_box()
        assert box is not None
        assert box["height"] >= 24, control.inner_text()
