"""The staff page and the status page, as they look in each state and language: axe-core finds nothing wrong in them."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from publicai_edge.bundle.open import Bundle
from publicai_edge.engine.protocol import EngineMetrics
from publicai_edge.kiosk.staff_jobs import Job
from publicai_edge.kiosk.staff_sessions import IDLE_SECONDS
from publicai_edge.kiosk.words import shipped
from tests.kiosk import ten
from tests.kiosk.axe import rules, violations
from tests.kiosk.conftest import PATIENCE
from tests.kiosk.contrast import AAA, ratios
from tests.kiosk.staff import CODE, Staffed, write_library
from tests.kiosk.test_accessibility import SEE, SIGHTS, TOO_SMALL, WIDE, ZOOMED, in_sights

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_library(tmp_path_factory.mktemp("library") / "bundle", ten.content())


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport=WIDE, reduced_motion="reduce", locale="en-GB")
    context.set_default_timeout(1000 * PATIENCE)
    held = context.new_page()
    held.clock.install()
    yield held
    context.close()


def staff_views(page: Page, kiosk: Staffed, language: str, tmp_path: Path) -> Iterator[str]:
    """Go through the staff page as staff do; yields the name of each view while it is shown."""
    page.goto(f"{kiosk.running.url}/staff")
    page.locator(f"#languages [lang={language}]").click()
    expect(page.locator("#code")).to_be_visible()
    yield "signed out"
    page.locator("#code").fill("0000")
    page.locator("#enter").click()
    expect(page.locator("#code-problem")).not_to_be_empty()
    yield "a wrong code"
    page.locator("#code").fill(CODE)
    page.locator("#enter").click()
    expect(page.locator("#documents li")).to_have_count(2)
    yield "signed in, nothing added"
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7 broken")
    (tmp_path / "empty.txt").write_bytes(b"")
    page.locator("#files").set_input_files([tmp_path / "broken.pdf", tmp_path / "empty.txt"])
    expect(page.locator("#jobs .is-wrong")).to_have_count(2)
    yield "documents that cannot be read"
    (tmp_path / "permits.md").write_text("# Parking permits\n\nResidents get a parking permit at counter seven.")
    page.locator("#files").set_input_files(tmp_path / "permits.md")
    expect(page.locator("#documents li")).to_have_count(3)
    expect(page.locator("#undo")).to_be_visible()
    yield "a document that was added"
    page.locator("#documents button[data-subject='rules.md']").click()
    expect(page.locator("#documents .is-hidden")).to_have_count(1)
    yield "a document that is hidden, and a change to undo"
    under_way = [Job(7, "by-laws.pdf", "indexing", done=3, total=8), Job(8, "minutes.docx")]
    kiosk.desk.jobs._jobs += under_way
    page.locator("#undo").click()
    expect(page.locator("#jobs progress:visible")).to_have_count(2)
    yield "a document being indexed, and one that waits"
    kiosk.desk.jobs._jobs = []
    page.locator("#documents [data-action=delete]").click()
    expect(page.locator("#deleting")).to_be_visible()
    yield "asked before a document is deleted for good"
    page.locator("#delete").click()
    expect(page.locator("#jobs li")).to_have_count(2)
    expect(page.locator("#jobs progress:visible")).to_have_count(0)
    yield "a document that was deleted for good"
    soon_over(kiosk, page)
    expect(page.locator("#idle")).to_be_visible()
    yield "warning before staff are signed out"
    kiosk.desk.sessions.end_all()
    page.locator("#idle-stay").click()
    expect(page.locator("#code")).to_be_visible()
    yield "signed out because nothing was changed"


def soon_over(kiosk: Staffed, page: Page) -> None:
    """Let the session last less than a minute more, and the page ask for it."""
    sessions, now = kiosk.desk.sessions, time.monotonic()
    sessions._clock = lambda: now + IDLE_SECONDS - 50
    page.clock.fast_forward(16_000)


def status_views(page: Page, kiosk: Staffed, language: str) -> Iterator[str]:
    engine = kiosk.running.engine
    engine.state, engine.metrics = "ready", EngineMetrics(slots=4, slots_busy=3, queued=2, answered=1234)
    page.goto(f"{kiosk.running.url}/status")
    page.locator("#language").select_option(language)
    expect(page.locator("#busy")).not_to_be_empty()
    yield "well"
    engine.state = "failed"
    page.locator("#pause").click()
    page.locator("#pause").click()
    expect(page.locator("#troubles li")).to_have_count(1)
    yield "in trouble"
    page.locator("#pause").click()
    yield "stopped"


def narrow(page: Page, where: str) -> list[str]:
    """Return what runs off a small screen, or is too small to touch there."""
    page.set_viewport_size(ZOOMED)
    width = page.evaluate("document.documentElement.scrollWidth")
    found = [f"{where}: {width} pixels wide on a screen of {ZOOMED['width']}"] if width > ZOOMED["width"] else []
    found += [f"{where}, at {ZOOMED['width']} pixels: too small to touch: {it}" for it in page.evaluate(TOO_SMALL)]
    page.set_viewport_size(WIDE)
    return found


def looked_at(page: Page, where: str) -> list[str]:
    """Return all that is wrong with the page as it stands."""
    found = [f"{where}: {line}" for line in violations(page)]
    found += [f"{where}: contrast {ratio:.1f}: {name}" for name, ratio in ratios(page) if ratio < AAA]
    return found + narrow(page, where)


@pytest.mark.parametrize(("language", "sights"), in_sights())
def test_axe_finds_nothing_on_the_staff_page(
    page: Page, kiosk: Staffed, language: str, sights: tuple[str, ...], tmp_path: Path
) -> None:
    found: list[str] = []
    seen = 0
    for view in staff_views(page, kiosk, language, tmp_path):
        seen += 1
        for name in sights:
            page.evaluate(SEE, SIGHTS[name])
            found += looked_at(page, f"{language}, {view}, {name}")
        page.evaluate(SEE, {})
    assert seen == 11
    assert found == [], "\n" + "\n".join(found)


@pytest.mark.parametrize("language", shipped())
def test_axe_finds_nothing_on_the_status_page(page: Page, kiosk: Staffed, language: str) -> None:
    found: list[str] = []
    seen = 0
    for view in status_views(page, kiosk, language):
        seen += 1
        for scheme in ("light", "dark"):
            for contrast in ("no-preference", "more"):
                page.emulate_media(color_scheme=scheme, contrast=contrast)  # type: ignore[arg-type]
                found += looked_at(page, f"{language}, {view}, {scheme}, contrast: {contrast}")
    assert seen == 3
    assert found == [], "\n" + "\n".join(found)


def test_what_axe_should_find_on_these_pages_is_found(page: Page, kiosk: Staffed, tmp_path: Path) -> None:
    next(staff_views(page, kiosk, "en", tmp_path))
    assert violations(page) == []
    assert rules(page) > 20
    page.evaluate("document.getElementById('code').labels[0].remove()")
    page.evaluate("document.getElementById('enter').style.background = '#aaa'")
    assert {"label", "color-contrast"} <= {line.split()[0] for line in violations(page)}
    next(status_views(page, kiosk, "en"))
    assert violations(page) == []
    page.evaluate("document.querySelector('label').remove()")
    assert "select-name" in {line.split()[0] for line in violations(page)}
