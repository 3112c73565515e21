"""A patron's whole visit by keyboard alone: language, service, question, answer, document, end."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from publicai_edge.kiosk import words
from tests.kiosk import ten
from tests.kiosk.conftest import Running, running
from tests.kiosk.fakes import FakeDocuments, FakeEngine

pytestmark = pytest.mark.slow
MOST_STEPS = 60
FOCUS = """
() => {
  const e = document.activeElement;
  if (!e || e === document.body) return "nothing has it";
  const box = e.getBoundingClientRect();
  const x = (Math.max(0, box.left) + Math.min(innerWidth, box.right)) / 2;
  const y = (Math.max(0, box.top) + Math.min(innerHeight, box.bottom)) / 2;
  const on = document.elementFromPoint(x, y);
  if (!on || !(e.contains(on) || on.contains(e))) return `${e.outerHTML} is not in sight`;
  const style = getComputedStyle(e);
  const lined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  return lined ? "" : `${e.outerHTML} looks like any other`;
}
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    bundle = ten.bundle(tmp_path_factory.mktemp("ten") / "bundle")
    with running(bundle, FakeEngine(), FakeDocuments(ten.PASSAGES)) as held:
        yield held


@pytest.fixture(params=[(1280, 800), (390, 700)], ids=["desk", "phone"])
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    width, height = request.param
    context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
    context.set_default_timeout(60_000)
    held = context.new_page()
    # A mouse would be a cheat.
    held.add_init_script("addEventListener('mousedown', () => { throw new Error('a mouse') }, true)")
    problems: list[str] = []
    held.on("pageerror", lambda error: problems.append(str(error)))
    yield held
    context.close()
    assert problems == []


def tab_to(page: Page, selector: str, key: str = "Tab") -> None:
    """Step until the element has the focus; on the way the focus is always in sight."""
    for _ in range(MOST_STEPS):
        page.keyboard.press(key)
        if trouble := page.evaluate(FOCUS):
            assert trouble == "nothing has it", trouble  # the step from the last element leads out of the page
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached with {key}")


@pytest.mark.parametrize("language", ["en", "ar", "sw"])
def test_a_whole_visit_by_keyboard_alone(page: Page, many: Running, language: str) -> None:
    own = words.load(language)
    many.engine.text = ten.ANSWERED[language]
    page.goto(many.url)
    expect(page.locator("#services button")).to_have_count(2)

    tab_to(page, ".skip")
    tab_to(page, f"#languages [lang={language}]")
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("lang", language)
    expect(page.locator("html")).to_have_attribute("dir", words.direction(language))
    tab_to(page, "#contrast")
    page.keyboard.press("Space")
    expect(page.locator("#contrast")).to_have_attribute("aria-pressed", "true")

    tab_to(page, "#services button")
    page.keyboard.press("Enter")
    expect(page.locator("#question")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#problem")).to_have_text(own["ask.empty"])
    expect(page.locator("#question")).to_be_focused()
    expect(page.locator("#question")).to_have_attribute("aria-invalid", "true")
    page.keyboard.type(ten.ASKED[language])
    page.keyboard.press("Enter")

    expect(page.locator("#asked")).to_be_focused()
    expect(page.locator("#asked")).to_have_text(ten.ASKED[language])
    expect(page.locator("#announcer")).to_contain_text(own["answer.complete"])
    tab_to(page, "#answer .mark")
    expect(page.locator("#answer")).to_have_attribute("lang", language)
    page.keyboard.press("Enter")
    expect(page.locator("#passage-1")).to_be_focused()
    expect(page.locator("#passage-1")).to_be_in_viewport()

    tab_to(page, "#passage-1 [data-word='passages.read']")
    page.keyboard.press("Enter")
    expect(page.locator("#found")).to_be_focused()
    expect(page.locator("#found .found-note")).to_have_text(own["document.found"])
    tab_to(page, "#to-answer", "Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#passage-1 [data-word='passages.read']")).to_be_focused()

    tab_to(page, "#new", "Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#question")).to_be_focused()
    page.keyboard.type(ten.UNFOUND)
    page.keyboard.press("Enter")
    expect(page.locator("#nothing-title")).to_have_text(own["nothing.title"])
    expect(page.locator("#announcer")).to_contain_text(own["nothing.title"])

    tab_to(page, "#end", "Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#ended-title")).to_be_focused()
    expect(page.locator("#ended-title")).to_have_text(own["session.ended"])
    expect(page.locator("#ended-text")).to_have_text(own["session.wiped"])
    for typed in (ten.ASKED[language], ten.UNFOUND):
        assert typed not in page.content()
    assert len(many.kiosk.sessions) == 0

    tab_to(page, "#start")
    page.keyboard.press("Enter")
    expect(page.locator("#choose-title")).to_be_focused()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator("#contrast")).to_have_attribute("aria-pressed", "false")
