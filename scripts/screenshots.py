"""Take the pictures of the page for the documentation: each view, in Chromium, into docs/images/.

``python -m scripts.screenshots [FOLDER]`` (or ``make screenshots``). The page and the kiosk are the real ones; the
documents and answers are those of tests/kiosk/ten.py, so that the pictures show the same words each time.

Needs fonts for all ten languages (`scripts/system_packages.sh pictures` installs them on Debian), or there are boxes in
place of letters. Pillow comes with reportlab.

Invariant: 64 colours a picture, which is enough for letters, and a quarter of the bytes.
"""

import argparse
import asyncio
import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser import ARGUMENTS, CHROMIUM
from tests.kiosk import ten
from tests.kiosk.conftest import Running, running
from tests.kiosk.fakes import FakeDocuments, FakeEngine

IMAGES = Path(__file__).parent.parent / "docs" / "images"
COLOURS = 64
DESK = (1280, 860)
PHONE = (390, 844)
Steps = Callable[[Page, Running], None]


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=IMAGES)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        bundle = ten.bundle(Path(place) / "bundle")
        with running(bundle, FakeEngine(), FakeDocuments(ten.PASSAGES)) as kiosk:
            for name, size, language, steps in PICTURES:
                take(browser, kiosk, folder / f"{name}.png", size, language, steps)
        browser.close()


def take(
    browser: Browser, kiosk: Running, target: Path, size: tuple[int, int], language: str, steps: tuple[Steps, ...]
) -> None:
    """Take one picture."""
    kiosk.engine.text, kiosk.engine.queue, kiosk.engine.gate = ten.ANSWERED[language], (), None
    with opened(browser, kiosk, size, language) as page:
        for step in steps:
            step(page, kiosk)
        page.mouse.move(5, 5)
        taken = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        taken.quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)
        print(f"{target}: {target.stat().st_size / 1000:.0f} kB")
        if kiosk.engine.gate:
            kiosk.open_gate()


@contextmanager
def opened(browser: Browser, kiosk: Running, size: tuple[int, int], language: str) -> Iterator[Page]:
    """The page in a window of a size, in a language."""
    narrow = size == PHONE
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce", has_touch=narrow, is_mobile=narrow
    )
    page = context.new_page()
    page.clock.install()
    page.goto(kiosk.url)
    page.locator(f"#languages [lang={language}]").click()
    yield page
    context.close()


def service(page: Page, _: Running) -> None:
    """Open the first service."""
    page.locator("#services button").first.click()


def ask(page: Page, _: Running) -> None:
    """Ask, and wait for the whole answer."""
    service(page, _)
    page.locator("#question").fill(ten.ASKED[page.locator("html").get_attribute("lang") or "en"])
    page.keyboard.press("Enter")
    expect(page.locator("#answer .mark").first).to_be_visible()
    expect(page.locator("#stop")).to_be_hidden()


def wait(page: Page, kiosk: Running) -> None:
    """Ask, and stand in line."""
    kiosk.engine.queue, kiosk.engine.gate = (3,), asyncio.Event()
    service(page, kiosk)
    page.locator("#question").fill(ten.ASKED["en"])
    page.keyboard.press("Enter")
    expect(page.locator("#working")).to_contain_text("3")


def find_nothing(page: Page, kiosk: Running) -> None:
    """Ask what no document answers."""
    service(page, kiosk)
    page.locator("#question").fill("How do I renew a passport?")
    page.keyboard.press("Enter")
    expect(page.locator("#nothing")).to_be_visible()


def read(page: Page, _: Running) -> None:
    """Read the first passage in its document."""
    page.locator("#passage-1 [data-word='passages.read']").click()
    expect(page.locator("#found")).to_be_focused()


def follow(page: Page, _: Running) -> None:
    """Follow the first mark to its passage."""
    page.locator("#answer .mark").first.click()


def leave_alone(page: Page, _: Running) -> None:
    """Do nothing for nine minutes."""
    page.clock.fast_forward(9 * 60 * 1000 + 15_000)
    expect(page.get_by_role("dialog")).to_be_visible()


def end(page: Page, _: Running) -> None:
    """End the session."""
    page.locator("#end").click()
    expect(page.locator("#ended-text")).not_to_be_empty()


def high_contrast(page: Page, _: Running) -> None:
    """Press the button."""
    page.locator("#contrast").click()


def large_text(page: Page, _: Running) -> None:
    """Press the button."""
    page.locator("#large").click()


PICTURES: tuple[tuple[str, tuple[int, int], str, tuple[Steps, ...]], ...] = (
    ("page", DESK, "en", (ask,)),
    ("services", DESK, "en", ()),
    ("place-in-line", DESK, "en", (wait,)),
    ("nothing-found", DESK, "en", (find_nothing,)),
    ("document", DESK, "en", (ask, read)),
    ("still-there", DESK, "en", (ask, leave_alone)),
    ("session-ended", DESK, "en", (ask, end)),
    ("high-contrast", DESK, "en", (high_contrast, ask, follow)),
    ("large-text", DESK, "en", (large_text, ask)),
    ("arabic", DESK, "ar", (ask,)),
    ("phone", PHONE, "en", (ask,)),
    ("phone-arabic-large", PHONE, "ar", (large_text, ask)),
)

if __name__ == "__main__":
    main()
