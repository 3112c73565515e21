"""A patron speaks at the page: the words come into the question field, and the microphone is held no longer than that.

Chromium plays a file for the microphone; the model is the real one where words matter.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from publicai_edge.engine.speech import SAMPLE_RATE
from publicai_edge.kiosk import screen
from tests import spoken
from tests.browser import ARGUMENTS, CHROMIUM
from tests.kiosk import ten
from tests.kiosk.axe import violations
from tests.kiosk.conftest import Running, manifest, running, write_bundle
from tests.kiosk.contrast import AAA, ratios
from tests.kiosk.fakes import FakeDocuments, FakeEngine
from tests.kiosk.test_dictation import Gate, with_model

pytestmark = pytest.mark.slow
FAKE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
TRACKS = """
const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
globalThis.tracks = [];
navigator.mediaDevices.getUserMedia = async (wanted) => {
  const stream = await open(wanted);
  globalThis.tracks.push(...stream.getTracks());
  return stream;
};
"""
HELD = "() => tracks.filter((track) => track.readyState === 'live').length"
SPEAK, STOP = "Speak your question", "Stop and write it down"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Callable[..., Browser]]:
    """Start a browser with these arguments."""
    held = []
    with sync_playwright() as playwright:

        def start(*arguments: str) -> Browser:
            held.append(playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, *arguments]))
            return held[-1]

        yield start
        for browser in held:
            browser.close()


@pytest.fixture(scope="module")
def listening(chromium: Callable[..., Browser], tmp_path_factory: pytest.TempPathFactory) -> Browser:
    """A browser whose microphone hears a sentence, over and over."""
    sound = np.pad(spoken.say(spoken.SENTENCE), (0, SAMPLE_RATE))
    place = spoken.write_wave(sound, tmp_path_factory.mktemp("sound") / "said.wav")
    return chromium(*FAKE, f"--use-file-for-fake-audio-capture={place}")


@pytest.fixture(scope="module")
def speaking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(with_model(tmp_path_factory.mktemp("page") / "bundle"), FakeEngine(), FakeDocuments()) as held:
        yield held


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def gated(tmp_path: Path, gate: Gate) -> Iterator[Running]:
    """A kiosk in ten languages, of which the model knows all but Swahili; what it writes down is made up."""
    root = tmp_path / "bundle"
    (root / "data" / "dictation").mkdir(parents=True)
    languages = [code for code in ten.content().languages if code != "sw"]
    info = spoken.INFO | {"languages": languages, "max_seconds": 5}
    content = ten.content().model_copy(update={"dictation": manifest(dictation=info).dictation})
    with running(write_bundle(root, content), FakeEngine(), FakeDocuments(ten.PASSAGES)) as held:
        assert held.kiosk.dictation
        held.kiosk.dictation._recognizer = held.kiosk.dictation._process = gate  # type: ignore[assignment]
        yield held


Opened = Callable[[Browser, Running], Page]


@pytest.fixture
def opened() -> Iterator[Opened]:
    contexts = []
    problems: list[str] = []

    def open_page(browser: Browser, kiosk: Running) -> Page:
        context = browser.new_context(viewport={"width": 1280, "height": 1024}, reduced_motion="reduce")
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda line: problems.append(line.text) if "Content Security" in line.text else None)
        page.add_init_script(TRACKS)
        page.goto(kiosk.url)
        page.locator("#services button").first.click()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


def state(page: Page, word: str) -> None:
    expect(page.locator("#dictation-state")).to_contain_text(word)
    expect(page.locator("#announcer")).to_contain_text(word)


def test_what_is_said_comes_into_the_question_field_and_is_asked_only_then(
    opened: Opened, listening: Browser, speaking: Running
) -> None:
    page = opened(listening, speaking)
    page.get_by_label("Your question").fill("Please: ")
    page.get_by_role("button", name=SPEAK).click()
    state(page, "Listening")
    assert page.evaluate(HELD) == 1
    page.wait_for_timeout(4500)
    page.get_by_role("button", name=STOP).click()
    expect(page.get_by_label("Your question")).to_be_focused()
    text = page.get_by_label("Your question").input_value()
    assert text.startswith("Please: ")
    said = set(spoken.words(spoken.SENTENCE)) & set(spoken.words(text))
    assert len(said) >= 2, f"{text!r}: what the model makes of it depends on where the recording begins"
    assert page.evaluate(HELD) == 0, "the microphone is let go"
    expect(page.locator("#announcer")).to_contain_text("Please check the words")
    assert speaking.engine.requests == []
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#asked")).to_have_text(text)


def test_by_keyboard_alone(opened: Opened, listening: Browser, gated: Running, gate: Gate) -> None:
    gate.open.set()
    page = opened(listening, gated)
    page.get_by_label("Your question").focus()
    page.keyboard.press("Tab")
    expect(page.locator("#dictate")).to_be_focused()
    page.keyboard.press("Enter")
    state(page, "Listening")
    expect(page.locator("#dictate")).to_be_focused()
    page.wait_for_timeout(300)
    page.keyboard.press("Space")
    expect(page.get_by_label("Your question")).to_be_focused()
    assert page.get_by_label("Your question").input_value().endswith(" bytes")


def test_it_stops_by_itself_at_the_bound(opened: Opened, listening: Browser, gated: Running, gate: Gate) -> None:
    gate.open.set()
    page = opened(listening, gated)
    page.locator("#dictate").click()
    expect(page.get_by_label("Your question")).to_have_value(f"{5 * 2 * SAMPLE_RATE} bytes")
    assert page.evaluate(HELD) == 0


@pytest.mark.parametrize("way", ["end", "language", "back", "button"])
def test_whatever_ends_it_drops_it(opened: Opened, listening: Browser, gated: Running, gate: Gate, way: str) -> None:
    page = opened(listening, gated)
    page.locator("#dictate").click()
    state(page, "Listening")
    if way == "end":
        page.locator("#end").click()
        expect(page.locator("#ended-title")).to_be_focused()
    elif way == "language":
        page.locator("#languages [lang=es]").click()
    elif way == "back":
        page.locator("#to-services").click()
    else:
        page.get_by_role("button", name=STOP).click()
        assert gate.entered.acquire(timeout=60)
        page.get_by_role("button", name="Cancel").click()
    assert page.evaluate(HELD) == 0
    expect(page.locator("#dictation-state")).to_be_hidden()
    expect(page.locator("#question")).to_have_value("")
    assert gate.entered.acquire(blocking=False) is False, "nothing is sent, or no more than was"


def test_where_nothing_was_said_it_says_so(
    opened: Opened, chromium: Callable[..., Browser], speaking: Running, tmp_path: Path
) -> None:
    place = spoken.write_wave(np.zeros(5 * SAMPLE_RATE, np.float32), tmp_path / "silence.wav")
    browser = chromium(*FAKE, f"--use-file-for-fake-audio-capture={place}")
    page = opened(browser, speaking)
    page.locator("#dictate").click()
    state(page, "Listening")
    page.wait_for_timeout(500)
    page.locator("#dictate").click()
    expect(page.get_by_role("alert")).to_contain_text("No words were heard")
    expect(page.get_by_role("button", name=SPEAK)).to_be_focused()
    page.get_by_label("Your question").fill("typed")
    expect(page.get_by_role("alert")).to_be_empty()


def test_where_the_microphone_is_refused_it_says_so(
    opened: Opened, chromium: Callable[..., Browser], gated: Running
) -> None:
    browser = chromium("--use-fake-device-for-media-stream", "--deny-permission-prompts")
    page = opened(browser, gated)
    page.locator("#dictate").click()
    expect(page.get_by_role("alert")).to_contain_text("The microphone cannot be used")
    expect(page.get_by_role("button", name=SPEAK)).to_be_visible()


def test_on_the_full_screen_nobody_is_asked_for_the_microphone(
    opened: Opened, chromium: Callable[..., Browser], gated: Running, gate: Gate
) -> None:
    gate.open.set()
    browser = chromium("--use-fake-device-for-media-stream", screen._LISTENING_OPTION)
    page = opened(browser, gated)
    page.locator("#dictate").click()
    state(page, "Listening")
    page.locator("#dictate").click()
    expect(page.locator("#question")).to_have_value(re.compile("bytes"))


def test_a_kiosk_that_is_busy_or_fails_says_so(opened: Opened, listening: Browser, gated: Running, gate: Gate) -> None:
    page = opened(listening, gated)
    for code, told in (
        ("overloaded", "Others are speaking to the kiosk at the moment. Please try again in 7 seconds."),
        ("dictation_failed", "What you said could not be written down."),
    ):
        body = json.dumps({"error": {"code": code, "message": "x"}})
        page.unroute_all()
        page.route(
            re.compile("/api/dictation"),
            lambda route, *, body=body: route.fulfill(status=503, body=body, headers={"Retry-After": "7"}),
        )
        page.locator("#dictate").click()
        state(page, "Listening")
        page.locator("#dictate").click()
        expect(page.get_by_role("alert")).to_contain_text(told)


def test_without_the_part_there_is_no_button(opened: Opened, listening: Browser, kiosk: Running) -> None:
    page = opened(listening, kiosk)
    page.wait_for_timeout(300)
    expect(page.locator("#dictation")).to_be_hidden()
    refused = page.evaluate("navigator.mediaDevices.getUserMedia({ audio: true }).then(() => 'given', (e) => e.name)")
    assert refused == "NotAllowedError"


def test_there_is_no_button_without_a_microphone_nor_for_a_language_that_is_not_known(
    opened: Opened, listening: Browser, gated: Running
) -> None:
    page = opened(listening, gated)
    expect(page.locator("#dictation")).to_be_visible()
    page.locator("#languages [lang=sw]").click()
    expect(page.locator("#dictation")).to_be_hidden()
    page.locator("#languages [lang=ar]").click()
    expect(page.locator("#dictation")).to_be_visible()
    page.add_init_script("navigator.mediaDevices.enumerateDevices = async () => []")
    page.goto(gated.url)
    page.locator("#services button").first.click()
    page.wait_for_timeout(300)
    expect(page.locator("#dictation")).to_be_hidden()


@pytest.mark.parametrize("language", ["en", "ar", "de"])
@pytest.mark.parametrize("sight", [{}, {"contrast": "high"}, {"text": "large"}], ids=["plain", "contrast", "large"])
def test_axe_finds_nothing_in_any_state(
    opened: Opened, listening: Browser, gated: Running, gate: Gate, language: str, sight: dict[str, str]
) -> None:
    page = opened(listening, gated)
    page.locator(f"#languages [lang={language}]").click()
    page.evaluate("sight => Object.assign(document.documentElement.dataset, sight)", sight)
    found: list[str] = []

    def look(where: str) -> None:
        nonlocal found
        found += [f"{where}: {line}" for line in violations(page)]
        found += [f"{where}: contrast {ratio:.1f}: {name}" for name, ratio in ratios(page) if ratio < AAA]
        page.set_viewport_size({"width": 320, "height": 256})
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, where
        box = page.locator("#dictate").bounding_box()
        assert box
        assert min(box["width"], box["height"]) >= 43.5, where
        page.set_viewport_size({"width": 1280, "height": 1024})

    expect(page.locator("#dictate")).to_be_visible()
    look("before")
    page.locator("#dictate").click()
    expect(page.locator("#dictation")).to_have_attribute("data-state", "listening")
    look("listening")
    if page.locator("#dictation").get_attribute("data-state") == "listening":
        page.locator("#dictate").click()
    expect(page.locator("#dictation")).to_have_attribute("data-state", "writing")
    look("writing")
    page.locator("#dictate").click()
    page.evaluate("() => { navigator.mediaDevices.getUserMedia = async () => { throw new Error('refused'); }; }")
    page.locator("#dictate").click()
    expect(page.locator("#problem")).not_to_be_empty()
    look("refused")
    assert found == [], "\n" + "\n".join(found)
