"""A browser at a terminal of its own, for so many seconds: asks, reads, ends the session, and tells what it saw.

``python -m tests.service.terminal URL MARKER OTHERS SECONDS``; OTHERS are the markers of the other terminals, with
commas between. Prints JSON: ``visits`` that were answered, ``places`` in the line that the page showed, ``foreign``
texts that belong to others, ``bad`` answers of the server (status and path), ``left`` pages that still held the marker
after the session's end, and ``errors`` of the page.
"""

import json
import random
import re
import sys
import time

from playwright.sync_api import Page, Response, expect, sync_playwright

from tests.browser import ARGUMENTS, CHROMIUM
from tests.service.conftest import PATIENCE

THINGS = ("a lighthouse", "two sisters", "an old map", "the last train", "a fox", "the harbour in winter")
SERVER_ERROR = 500
ENDED = re.compile("The answer (is complete|reached)")

# Keeps what the line of the page says, as it changes.
LISTEN = """() => {
  window.placesInLine = [];
  const line = document.getElementById("working");
  new MutationObserver(() => window.placesInLine.push(line.textContent)).observe(line, {
    childList: true, subtree: true, characterData: true,
  });
}"""


def visit(page: Page, marker: str, thing: str) -> None:
    """Ask for a letter and wait for its end."""
    page.get_by_role("button", name="Start a letter").click()
    page.get_by_label("Your question").fill(f"A short letter to {marker} about {thing}.")
    page.keyboard.press("Enter")
    expect(page.locator("#announcer")).to_contain_text(ENDED, timeout=1000 * PATIENCE)


def stay(url: str, marker: str, others: list[str], seconds: float) -> dict[str, object]:
    """Visit the page again and again; return what was seen."""
    drawn = random.Random(marker)
    found: dict[str, list[str]] = {"bad": [], "errors": [], "foreign": [], "left": [], "places": []}
    visits = 0

    def note(response: Response) -> None:
        if response.status >= SERVER_ERROR:
            found["bad"].append(f"{response.status} {response.url}")

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page()
        page.on("response", note)
        page.on("pageerror", lambda error: found["errors"].append(str(error)))
        page.set_default_timeout(1000 * PATIENCE)
        page.goto(url)
        page.evaluate(LISTEN)
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            visit(page, marker, drawn.choice(THINGS))
            visits += 1
            text = page.content()
            found["foreign"] += [other for other in others if other in text]
            page.get_by_role("button", name="End session").click()
            page.get_by_role("button", name="Start").click()
            if marker in page.content():
                found["left"].append(marker)
        found["places"] = page.evaluate("window.placesInLine")
        browser.close()
    return {"visits": visits, **found}


if __name__ == "__main__":
    where, own, rest, length = sys.argv[1:]
    print(json.dumps(stay(where, own, rest.split(","), float(length))))
