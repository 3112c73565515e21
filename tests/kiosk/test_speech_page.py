"""Reading aloud by a voice of the kiosk: where the browser has none, sentence by sentence, and silent at once.

A browser without a screen has no voices. What it plays is listened to by a few lines of script.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Request, expect

from publicai_edge.engine.voice import MOST_LETTERS
from publicai_edge.engine.voice.talker import wave
from tests import voiced
from tests.kiosk.axe import violations
from tests.kiosk.conftest import PATIENCE, Running, manifest, running, write_bundle
from tests.kiosk.fakes import FakeDocuments, FakeEngine
from tests.kiosk.test_speech import HERE, VOICES
from tests.kiosk.test_voices import with_voice

pytestmark = pytest.mark.slow
HEARD = """
(() => {
  globalThis.heard = [];
  const start = AudioBufferSourceNode.prototype.start, stop = AudioBufferSourceNode.prototype.stop;
  AudioBufferSourceNode.prototype.start = function () {
    heard.push(["start", this.buffer.duration]);
    this.addEventListener("ended", () => heard.push(["end", 0]));
    start.call(this);
  };
  AudioBufferSourceNode.prototype.stop = function () { heard.push(["stop", 0]); stop.call(this); };
})();
"""
SENTENCES = [
    "The library opens at 9 a.m. from Monday to Friday.",
    "Books may be kept for three weeks.",
    "It is a lovely place.",
]
Opened = Callable[..., tuple[Page, list[str]]]


@pytest.fixture(scope="module")
def speaking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(with_voice(tmp_path_factory.mktemp("page") / "bundle"), FakeEngine(), FakeDocuments()) as held:
        yield held


@pytest.fixture
def opened(browser: Browser, speaking: Running) -> Iterator[Opened]:
    contexts = []
    problems: list[str] = []

    def open_with(*scripts: str, kiosk: Running = speaking) -> tuple[Page, list[str]]:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        asked: list[str] = []

        def note(request: Request) -> None:
            if request.url.endswith("/api/speech"):
                asked.append(json.loads(request.post_data or "{}")["text"])

        page.on("request", note)
        page.on("pageerror", lambda error: problems.append(str(error)))
        for script in (HEARD, *scripts):
            page.add_init_script(script)
        page.goto(kiosk.url)
        page.get_by_role("button", name="Ask about the library").click()
        page.get_by_label("Your question").fill("When does the library open?")
        page.get_by_role("button", name="Ask", exact=True).click()
        expect(page.locator("#announcer")).to_contain_text("The answer is complete.")
        return page, asked

    yield open_with
    for context in contexts:
        context.close()
    assert problems == []


def until_it_sounds(page: Page) -> None:
    """Wait for the first sentence; the content policy lets no text be waited for as script."""
    end = time.monotonic() + PATIENCE
    while not page.evaluate("heard.length"):
        assert time.monotonic() < end, "nothing is heard"
        page.wait_for_timeout(20)


def test_a_browser_without_voices_hears_the_kiosks_sentence_by_sentence(opened: Opened) -> None:
    page, asked = opened()
    button = page.locator("#aloud")
    expect(button).to_have_text("Read aloud")
    button.click()
    expect(button).to_have_text("Stop reading aloud")
    expect(page.locator(".is-spoken")).to_contain_text("The library opens")
    until_it_sounds(page)
    expect(page.locator(".is-spoken")).to_contain_text("Books may be kept")
    assert sorted(page.evaluate("heard.map(([what]) => what)")[:3]) == ["end", "start", "start"]
    expect(button).to_have_text("Read aloud")
    expect(page.locator(".is-spoken")).to_have_count(0)
    assert asked == SENTENCES
    lengths = [length for what, length in page.evaluate("heard") if what == "start"]
    assert len(lengths) == 3
    assert all(0.8 < length < 6 for length in lengths)
    assert not violations(page)


def test_the_next_sentence_is_fetched_while_one_is_heard(opened: Opened) -> None:
    page, asked = opened()
    page.locator("#aloud").click()
    until_it_sounds(page)
    page.wait_for_timeout(300)
    assert page.evaluate("heard.length") == 1, "the first is still heard"
    assert asked == SENTENCES[:2]
    page.locator("#aloud").click()


@pytest.mark.parametrize("way", ["button", "end", "language"])
def test_stopping_is_silent_at_once(opened: Opened, way: str) -> None:
    page, asked = opened()
    page.locator("#aloud").click()
    until_it_sounds(page)
    if way == "button":
        page.get_by_role("button", name="Stop reading aloud").click()
        expect(page.locator("#aloud")).to_have_text("Read aloud")
    elif way == "end":
        page.locator("#end").click()
    else:
        page.locator("#languages [lang=es]").click()
    assert page.evaluate("heard.some(([what]) => what === 'stop')")
    expect(page.locator(".is-spoken")).to_have_count(0)
    page.wait_for_timeout(700)
    assert page.evaluate("heard.filter(([what]) => what === 'start').length") == 1
    assert len(asked) <= 2


def test_a_passage_is_read_in_full(opened: Opened) -> None:
    page, asked = opened()
    page.locator("#passage-1").get_by_role("button", name="Read aloud").click()
    until_it_sounds(page)
    expect(page.locator("#passage-1")).to_have_class("passage is-open")
    assert asked[0].startswith("The library opens at 9 a.m.")


def test_with_a_voice_of_its_own_the_browser_does_not_ask_the_kiosk(opened: Opened) -> None:
    page, asked = opened(VOICES % json.dumps([HERE]))
    page.locator("#aloud").click()
    page.evaluate("finish(), finish(), finish()")
    expect(page.locator("#aloud")).to_have_text("Read aloud")
    assert page.evaluate("said.filter(([voice]) => voice === 'Here').length") == 3
    assert asked == []
    assert page.evaluate("heard") == []


def test_there_is_no_button_in_a_language_that_the_kiosk_has_no_voice_for(opened: Opened) -> None:
    page, _ = opened()
    expect(page.locator("#aloud")).to_be_visible()
    page.get_by_role("button", name="New question").click()
    page.locator("#languages [lang=es]").click()
    page.locator("#question").fill("When does the library open?")
    page.locator("#form").get_by_role("button").last.click()
    expect(page.locator("#answer")).to_contain_text("lovely place")
    expect(page.locator("#aloud")).to_be_hidden()


def test_a_passage_is_read_in_its_own_language_whatever_the_pages(opened: Opened, speaking: Running) -> None:
    page, asked = opened()
    aloud = page.locator("#passage-1").get_by_role("button", name="Read aloud")
    expect(aloud).to_be_visible()
    page.locator("#languages [lang=es]").click()
    button = page.locator("#passage-1 .passage-buttons button").last
    expect(button).to_have_text("Leer en voz alta")
    button.click()
    until_it_sounds(page)
    assert asked[0].startswith("The library opens at 9 a.m.")


@pytest.mark.parametrize("status", [503, 200])
def test_where_the_kiosk_cannot_the_button_comes_back(opened: Opened, status: int) -> None:
    page, _ = opened()
    page.route(re.compile("/api/speech"), lambda route: route.fulfill(status=status, body="no sound"))
    page.locator("#aloud").click()
    expect(page.locator("#aloud")).to_have_text("Read aloud")
    expect(page.locator(".is-spoken")).to_have_count(0)
    assert page.evaluate("heard") == []


def test_a_text_longer_than_the_kiosk_takes_is_read_in_pieces(opened: Opened) -> None:
    page, asked = opened()
    short = bytes(wave(np.zeros(1000, np.float32), voiced.RATE))
    page.route(re.compile("/api/speech"), lambda route: route.fulfill(content_type="audio/wav", body=short))
    text = " ".join(["ab"] * 900)
    page.evaluate(
        """async text => {
          const { read } = await import("/static/played.js");
          await new Promise((ended) => read("en", [{ text }], () => {}, ended));
        }""",
        text,
    )
    assert " ".join(asked) == text
    assert len(asked) == 3
    assert max(map(len, asked)) <= MOST_LETTERS


def test_the_voice_and_its_licence_are_named(opened: Opened) -> None:
    page, _ = opened()
    page.locator(".about summary").click()
    expect(page.locator("#about")).to_contain_text(f"{voiced.INFO['name']}, CC0-1.0")


def test_without_the_part_there_is_no_button(opened: Opened, tmp_path: Path) -> None:
    with running(write_bundle(tmp_path, manifest()), FakeEngine(), FakeDocuments()) as silent:
        page, _ = opened(kiosk=silent)
        expect(page.locator("#aloud")).to_be_hidden()
