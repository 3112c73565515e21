"""Reading aloud: with a voice of this computer only, sentence by sentence.

A browser without a screen has no voices; these are played by a few lines of script that note what they are told to say.
"""

import json
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.kiosk.conftest import Running

pytestmark = pytest.mark.slow
HERE = {"lang": "en-GB", "name": "Here", "localService": True, "default": True}
SERVER = {"lang": "en-GB", "name": "Server", "localService": False, "default": True}
GERMAN = {"lang": "de-DE", "name": "Deutsch", "localService": True, "default": False}
VOICES = """
(() => {
  const said = [];
  let current = null, listeners = [], voices = %s;
  globalThis.SpeechSynthesisUtterance = class { constructor(text) { this.text = text; } };
  Object.defineProperty(globalThis, "speechSynthesis", { value: {
    getVoices: () => voices,
    speak(utterance) { said.push([utterance.voice.name, utterance.text]); current = utterance; },
    cancel() { current = null; said.push(["", "silence"]); },
    addEventListener(name, call) { listeners.push(call); },
  }});
  globalThis.said = said;
  globalThis.finish = () => current?.onend();
  globalThis.arrive = (more) => { voices = more; for (const call of listeners) call(); };
})();
"""
Opened = Callable[[list[dict[str, Any]]], Page]


@pytest.fixture
def opened(browser: Browser, kiosk: Running) -> Iterator[Opened]:
    contexts = []

    def open_with(voices: list[dict[str, Any]]) -> Page:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.add_init_script(VOICES % json.dumps(voices))
        page.goto(kiosk.url)
        page.get_by_role("button", name="Ask about the library").click()
        page.get_by_label("Your question").fill("When does the library open?")
        page.get_by_role("button", name="Ask", exact=True).click()
        expect(page.locator("#announcer")).to_contain_text("The answer is complete.")
        return page

    yield open_with
    for context in contexts:
        context.close()


def test_an_answer_is_read_sentence_by_sentence_without_its_marks(opened: Opened) -> None:
    page = opened([SERVER, HERE])
    button = page.locator("#aloud")
    expect(button).to_have_text("Read aloud")
    button.click()
    expect(button).to_have_text("Stop reading aloud")
    expect(page.locator(".is-spoken")).to_contain_text("The library opens at 9 a.m.")
    page.evaluate("finish()")
    expect(page.locator(".is-spoken")).to_contain_text("Books may be kept")
    page.evaluate("finish(), finish()")
    expect(button).to_have_text("Read aloud")
    expect(page.locator(".is-spoken")).to_have_count(0)
    assert page.evaluate("said.filter(([voice]) => voice)") == [
        ["Here", "The library opens at 9 a.m. from Monday to Friday."],
        ["Here", "Books may be kept for three weeks."],
        ["Here", "It is a lovely place."],
    ]


def test_a_passage_is_read_in_full(opened: Opened) -> None:
    page = opened([HERE])
    page.locator("#passage-1").get_by_role("button", name="Read aloud").click()
    expect(page.locator("#passage-1")).to_have_class("passage is-open")
    first = page.evaluate("said[0]")
    assert first[0] == "Here"
    assert first[1].startswith("The library opens at 9 a.m.")


def test_reading_stops_at_the_button_and_at_the_end_of_the_session(opened: Opened) -> None:
    page = opened([HERE])
    page.locator("#aloud").click()
    page.get_by_role("button", name="Stop reading aloud").click()
    assert page.evaluate("said.at(-1)") == ["", "silence"]
    page.evaluate("finish()")
    assert page.evaluate("said.length") == 2
    page.locator("#aloud").click()
    page.get_by_role("button", name="End session").click()
    expect(page.locator("#ended-title")).to_be_focused()
    assert page.evaluate("said.at(-1)") == ["", "silence"]
    expect(page.locator("#aloud")).to_be_hidden()


@pytest.mark.parametrize("voices", [[], [SERVER], [GERMAN], [{**HERE, "localService": None}]])
def test_no_button_where_this_computer_has_no_voice_for_the_language(
    opened: Opened, voices: list[dict[str, Any]]
) -> None:
    page = opened(voices)
    expect(page.get_by_text("Read aloud", exact=True)).to_have_count(3)
    expect(page.get_by_role("button", name="Read aloud")).to_have_count(0)


def test_voices_that_come_late_bring_the_button(opened: Opened) -> None:
    page = opened([])
    expect(page.locator("#aloud")).to_be_hidden()
    page.evaluate("voice => arrive([voice])", HERE)
    expect(page.locator("#aloud")).to_be_visible()


@pytest.mark.parametrize(
    ("language", "voice", "fits"),
    [
        ("en", "en_US", True),
        ("zh-Hans", "zh-CN", True),
        ("zh-Hans", "cmn-CN", True),
        ("zh-Hans", "zh-TW", False),
        ("pt", "pt-BR", True),
        ("sw", "sw-KE", True),
        ("ar", "ar-001", True),
        ("ar", "fa-IR", False),
        ("uk", "ru-RU", False),
    ],
)
def test_a_voice_reads_its_own_language_and_script(
    browser: Browser, kiosk: Running, language: str, voice: str, fits: bool
) -> None:
    page = browser.new_page()
    page.add_init_script(VOICES % json.dumps([HERE | {"lang": voice}]))
    page.goto(kiosk.url)
    shown = page.evaluate(
        """async code => {
          const speech = await import("/static/speech.js");
          const button = document.createElement("button");
          document.body.append(button);
          speech.offer(button, () => code, () => []);
          return !button.hidden;
        }""",
        language,
    )
    assert shown is fits
    page.close()


def test_the_browsers_own_recognition_is_never_used_and_one_file_alone_asks_for_the_microphone() -> None:
    for item in (resources.files("publicai_edge.kiosk") / "page").iterdir():
        text = item.read_text("utf-8")
        assert not any(name in text for name in ("SpeechRecognition", "MediaRecorder")), item.name
        assert "getUserMedia" not in text or item.name == "recording.js", item.name
