"""The page in a real browser: what a patron sees, and what is left when the session ends."""

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from publicai_edge.bundle.open import Bundle
from publicai_edge.errors import EngineError
from publicai_edge.kiosk.words import shipped
from tests.kiosk.conftest import Running, manifest, running, write_bundle
from tests.kiosk.contrast import AAA, ratios
from tests.kiosk.fakes import PASSAGES, FakeDocuments, FakeEngine

CANARY = "kanarienvogel"
QUESTION = f"When does the library open, {CANARY}?"
pytestmark = pytest.mark.slow


@pytest.fixture
def page(browser: Browser, kiosk: Running) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(60_000)
    held = context.new_page()
    problems: list[str] = []
    requests: list[str] = []
    held.on("pageerror", lambda error: problems.append(str(error)))
    held.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    held.on("request", lambda request: requests.append(request.url))
    held.goto(kiosk.url)
    yield held
    context.close()
    assert problems == []
    assert all(url.startswith(f"{kiosk.url}/") for url in requests), "no request beyond the kiosk"
    assert not any(CANARY in url for url in requests), "no question in an address"


def ask(page: Page, question: str = QUESTION) -> None:
    page.get_by_role("button", name="Ask about the library").click()
    page.get_by_label("Your question").fill(question)
    page.get_by_role("button", name="Ask", exact=True).click()


def test_a_patron_asks_sees_passages_then_a_streamed_answer_with_marks(page: Page, kiosk: Running) -> None:
    kiosk.engine.gate = asyncio.Event()
    ask(page)
    expect(page.locator(".passage")).to_have_count(2)
    expect(page.locator(".passage").first).to_contain_text("Opening hours")
    expect(page.locator("#answer")).to_be_empty()
    kiosk.open_gate()
    expect(page.locator("#answer")).to_contain_text("The library opens at 9 a.m. from Monday to Friday.")
    expect(page.locator("#answer .mark")).to_have_text(["1"])
    expect(page.locator("#stop")).to_be_hidden()
    expect(page.locator("#announcer")).to_contain_text("The answer is complete.")
    page.locator("#answer .mark").click()
    expect(page.locator("#passage-1")).to_be_focused()
    assert page.url == f"{kiosk.url}/"


def test_an_answer_that_no_passage_supports_is_marked_as_such(page: Page, kiosk: Running) -> None:
    kiosk.engine.text = "Dragons guard the treasure at midnight."
    ask(page)
    expect(page.locator("#unsupported")).to_be_visible()
    expect(page.locator("#unsupported")).to_contain_text("Nothing in this answer could be matched")
    expect(page.locator("#marks-note")).to_be_hidden()
    page.get_by_role("button", name="New question").click()
    kiosk.engine.text = "The library opens at 9 a.m. from Monday to Friday."
    page.get_by_label("Your question").fill(QUESTION)
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#marks-note")).to_be_visible()
    expect(page.locator("#unsupported")).to_be_hidden()


def test_a_passage_is_read_in_its_document_and_the_answer_is_still_there(page: Page) -> None:
    ask(page)
    page.locator("#passage-1").get_by_text("Read in the document").click()
    expect(page.locator("#document-title")).to_have_text("Opening hours")
    expect(page.locator("#found")).to_contain_text("The library opens at 9 a.m.")
    page.locator("#to-answer").click()
    expect(page.locator("#answer")).to_contain_text("The library opens")


def test_stop_keeps_what_was_written_and_ends_the_engines_work(
    page: Page, kiosk: Running, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    kiosk.engine.pause = 0.5
    ask(page)
    expect(page.locator("#answer")).to_contain_text("The library")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#ending")).to_have_text("You stopped the answer here.")
    expect(page.locator("#answer")).to_contain_text("The library")
    eventually(lambda: kiosk.engine.closed_streams == 1)
    assert kiosk.engine.finished_streams == 0


def test_ending_the_session_leaves_nothing_on_the_page_or_in_the_kiosk(page: Page, kiosk: Running) -> None:
    kiosk.engine.text = f"You asked about {CANARY}."
    page.get_by_role("button", name="Say it in plain words").click()
    for question in (QUESTION, f"again {CANARY}"):
        page.get_by_label("Your question").fill(question)
        page.keyboard.press("Enter")
        expect(page.locator("#announcer")).to_contain_text("The answer is complete.")
        page.get_by_role("button", name="New question").click()
    page.get_by_label("Your question").fill(CANARY)
    assert CANARY in page.content()
    assert len(kiosk.kiosk.sessions) == 1
    page.get_by_role("button", name="End session").click()
    expect(page.get_by_role("heading", name="Your session has ended")).to_be_focused()
    expect(page.locator("#ended-text")).to_contain_text("removed from this page and from the kiosk")
    assert CANARY not in page.content()
    assert page.evaluate("document.getElementById('question').value") == ""
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0
    assert page.context.cookies() == []
    assert len(kiosk.kiosk.sessions) == 0
    page.get_by_role("button", name="Start").click()
    page.get_by_role("button", name="Say it in plain words").click()
    page.keyboard.press("Control+z")
    assert page.get_by_label("Your question").input_value() == ""


def test_leaving_the_page_ends_the_session(
    page: Page, kiosk: Running, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    ask(page)
    expect(page.locator("#announcer")).to_contain_text("The answer is complete.")
    assert len(kiosk.kiosk.sessions) == 1
    page.goto("about:blank")
    eventually(lambda: len(kiosk.kiosk.sessions) == 0)


def test_a_page_nobody_uses_asks_and_then_wipes_itself(browser: Browser, kiosk: Running) -> None:
    context = browser.new_context()
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.clock.install()
    page.goto(kiosk.url)
    ask(page)
    expect(page.locator("#answer")).to_contain_text("lovely place")
    page.clock.run_for(9 * 60 * 1000 + 5000)
    expect(page.get_by_role("dialog")).to_contain_text("Are you still there?")
    page.get_by_role("button", name="I am still here").click()
    page.clock.run_for(60 * 1000)
    expect(page.locator("#answer")).to_contain_text("lovely place")
    page.clock.run_for(10 * 60 * 1000)
    expect(page.locator("#view-ended")).to_contain_text("Nobody used this page")
    assert CANARY not in page.content()
    context.close()


def test_nothing_found_is_said_with_whom_to_ask(page: Page, kiosk: Running) -> None:
    ask(page, "zzzz qqqq")
    expect(page.get_by_role("heading", name="Not found in these documents")).to_be_visible()
    expect(page.locator("#nothing")).to_contain_text("information desk on the ground floor")
    assert kiosk.engine.requests == []


def test_when_the_model_fails_the_passages_stay_with_a_sentence(page: Page, kiosk: Running) -> None:
    kiosk.engine.failure = EngineError("died")
    ask(page)
    expect(page.locator(".passage")).to_have_count(2)
    expect(page.locator("#ending")).to_contain_text("The model cannot answer at the moment.")


def test_the_page_says_that_the_model_gets_ready_and_answers_by_itself(browser: Browser, bundle: Bundle) -> None:
    engine = FakeEngine()
    engine.state = "loading"
    engine.gate = asyncio.Event()
    with running(bundle, engine, FakeDocuments()) as held:
        page = browser.new_page()
        page.goto(held.url)
        expect(page.locator("#notice")).to_have_text("The model is getting ready. You can already ask.")
        ask(page)
        expect(page.locator(".passage")).to_have_count(2)
        expect(page.locator("#working")).to_contain_text("You can read the passages above in the meantime")
        engine.state = "ready"
        held.open_gate()
        expect(page.locator("#answer")).to_contain_text("lovely place")
        expect(page.locator("#notice")).to_be_hidden()
        expect(page.locator("#notice")).to_be_empty()
        page.close()


def test_markup_in_an_answer_or_a_passage_stays_text(page: Page, kiosk: Running) -> None:
    kiosk.engine.text = "Look: <img src=x onerror=alert(1)> and <b>this</b>."
    ask(page, "<script>document.title='x'</script> library <img src=x>")
    expect(page.locator("#answer")).to_contain_text("<img src=x onerror=alert(1)> and <b>this</b>.")
    assert page.locator("main img, main script, main b").count() == 0


def test_the_language_is_changed_in_place(page: Page) -> None:
    page.get_by_role("button", name="Español").click()
    expect(page.locator("html")).to_have_attribute("lang", "es")
    page.get_by_role("button", name="Preguntar sobre la biblioteca").click()
    page.get_by_label("Su pregunta").fill("library")
    page.get_by_role("button", name="Preguntar", exact=True).click()
    expect(page.get_by_role("heading", name="De los documentos")).to_be_visible()
    expect(page.locator(".person")).to_contain_text("mostrador de información")


def test_the_keyboard_alone_is_enough(page: Page) -> None:
    expect(page.locator("#services button")).to_have_count(2)
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.locator("#services button").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Your question")).to_be_focused()
    page.keyboard.type("library opening")
    page.keyboard.press("Enter")
    expect(page.locator("#asked")).to_be_focused()
    expect(page.locator("#announcer")).to_contain_text("The answer is complete.")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.className") == "mark":
            break
    page.keyboard.press("Enter")
    expect(page.locator("#passage-1")).to_be_focused()


def test_a_single_service_is_open_at_once_and_right_to_left_is_followed(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    one = manifest()
    arabic = {"ar": "اسأل المكتبة"}
    changed = manifest(
        languages=["ar", "en"],
        title=arabic | one.title,
        services=[one.services[0].model_dump() | {"title": arabic | one.services[0].title}],
    )
    bundle = write_bundle(tmp_path_factory.mktemp("single") / "bundle", changed)
    with running(bundle, FakeEngine(), FakeDocuments()) as held:
        page = browser.new_page()
        page.goto(held.url)
        expect(page.locator("#question")).to_be_focused()
        expect(page.locator("html")).to_have_attribute("dir", "rtl")
        expect(page.locator("#to-services")).to_be_hidden()
        page.close()


def test_documents_keep_their_own_direction_on_a_page_in_another_language(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bundle = in_arabic(tmp_path_factory.mktemp("arabic") / "bundle", ["ar", "en"])
    with running(bundle, FakeEngine(), FakeDocuments()) as held:
        page = browser.new_page()
        page.goto(held.url)
        page.locator("#question").fill(QUESTION)
        page.keyboard.press("Enter")
        expect(page.locator("#answer")).to_contain_text("lovely place")
        passage = page.locator("blockquote").first
        assert [direction_of(part) for part in (passage, page.locator("#asked"))] == ["ltr", "ltr"]
        assert direction_of(page.locator(".passage h3").first) == "rtl"
        expect(passage).to_have_attribute("lang", "")
        page.locator("#passage-1").get_by_text("القراءة في الوثيقة").click()
        assert direction_of(page.locator("#found p")) == "ltr"
        assert direction_of(page.locator("#found .found-note")) == "rtl"
        page.close()


def test_a_passage_whose_language_is_known_tells_it_to_a_screen_reader(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bundle = in_arabic(tmp_path_factory.mktemp("arabic") / "bundle", ["ar", "en-GB"])
    known = FakeDocuments([replace(passage, language="en") for passage in PASSAGES])
    with running(bundle, FakeEngine(), known) as held:
        page = browser.new_page()
        page.goto(held.url)
        page.locator("#question").fill(QUESTION)
        page.keyboard.press("Enter")
        expect(page.locator("#answer")).to_contain_text("lovely place")
        assert known.language == "ar"
        parts = ".passage blockquote, .passage h3 bdi, .passage-place bdi"
        assert page.locator(parts).count() == page.locator(parts).and_(page.locator("[lang=en]")).count() == 6
        page.locator("#passage-1").get_by_text("القراءة في الوثيقة").click()
        expect(page.locator("#found p")).to_have_attribute("lang", "en")
        expect(page.locator("#document-title")).to_have_attribute("lang", "en")
        page.locator("#to-answer").click()
        page.locator("#languages button").last.click()
        page.locator("#new").click()
        page.locator("#question").fill(QUESTION)
        page.keyboard.press("Enter")
        expect(page.locator("#answer")).to_contain_text("lovely place")
        expect(page.locator("blockquote").first).to_have_attribute("lang", "en-GB")
        page.close()


def test_a_document_is_taken_to_be_in_the_language_of_a_kiosk_that_has_one(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bundle = in_arabic(tmp_path_factory.mktemp("arabic") / "bundle", ["ar"])
    with running(bundle, FakeEngine(), FakeDocuments()) as held:
        page = browser.new_page()
        page.goto(held.url)
        page.locator("#question").fill(QUESTION)
        page.keyboard.press("Enter")
        expect(page.locator("blockquote")).to_have_count(2)
        assert page.locator("blockquote[lang]").count() == 0
        page.close()


def test_words_borrowed_from_english_say_that_they_are_english(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bundle = in_arabic(tmp_path_factory.mktemp("urdu") / "bundle", ["ur", "ar"])
    with running(bundle, FakeEngine(), FakeDocuments()) as held:
        page = browser.new_page()
        page.goto(held.url)
        expect(page.locator("html")).to_have_attribute("lang", "ur")
        expect(page.locator("#form .main-button")).to_have_attribute("lang", "en")
        assert direction_of(page.locator("#privacy")) == "ltr"
        page.get_by_role("button", name="العربية").click()
        expect(page.locator("#form .main-button")).to_have_text("طرح السؤال")
        assert page.locator("[data-word][lang]").count() == 0
        page.close()


def test_many_languages_take_one_line_of_a_narrow_screen_and_each_can_be_reached(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bundle = in_arabic(tmp_path_factory.mktemp("many") / "bundle", sorted(shipped()))
    with running(bundle, FakeEngine(), FakeDocuments()) as held:
        page = browser.new_page(viewport={"width": 390, "height": 800})
        page.goto(held.url)
        expect(page.locator("#languages button")).to_have_count(len(shipped()))
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.locator(".top").evaluate("element => element.clientHeight") < 200
        for name, code in (("Українська", "uk"), ("简体中文", "zh-Hans"), ("العربية", "ar")):
            page.get_by_role("button", name=name).click()
            expect(page.locator("html")).to_have_attribute("lang", code)
        page.close()


def in_arabic(root: Path, languages: list[str]) -> Bundle:
    one = manifest()
    name = dict.fromkeys(languages, "اسأل المكتبة")
    service = one.services[0].model_dump() | {"title": name, "description": name, "prompt": name}
    return write_bundle(root, manifest(languages=languages, title=name, services=[service]))


def direction_of(part: Locator) -> str:
    return str(part.evaluate("element => getComputedStyle(element).direction"))


@pytest.mark.parametrize(("width", "scale"), [(320, 1), (390, 1), (1280, 2)])
def test_nothing_runs_off_a_narrow_screen_and_targets_are_large(
    browser: Browser, kiosk: Running, width: int, scale: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 640})
    page.goto(kiosk.url)
    page.evaluate("scale => { document.documentElement.style.fontSize = `${112.5 * scale}%` }", scale)
    ask(page)
    expect(page.locator("#announcer")).to_contain_text("The answer is complete.")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    sizes = page.evaluate(
        "[...document.querySelectorAll('button, summary')].filter(e => e.offsetParent)"
        ".map(e => [e.textContent, e.getBoundingClientRect().height])"
    )
    assert sizes
    assert [name for name, height in sizes if height < 43.5] == []
    page.close()


@pytest.mark.parametrize("question", [f"deposit{'x' * 600}", f"https://library.example/find?by={'a+' * 80}#all"])
def test_a_word_without_an_end_stays_on_the_page(page: Page, question: str) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    ask(page, question)
    expect(page.locator("#asked")).to_have_text(question)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


@pytest.mark.parametrize("contrast", ["ordinary", "high"])
def test_text_stands_out_from_its_ground(page: Page, contrast: str) -> None:
    if contrast == "high":
        page.get_by_role("button", name="High contrast").click()
    ask(page)
    expect(page.locator("#announcer")).to_contain_text("The answer is complete.")
    found = ratios(page)
    assert len(found) > 15
    assert [entry for entry in found if entry[1] < AAA] == []


def test_the_page_names_nothing_outside_itself() -> None:
    from importlib import resources

    for item in (resources.files("publicai_edge.kiosk") / "page").iterdir():
        text = item.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|//[a-z]+\.[a-z]|localStorage|sessionStorage|innerHTML", text), item.name
