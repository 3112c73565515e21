"""The browser the page is tested in: the system's own Chromium or Chrome, told to keep to itself."""

import shutil

from playwright.sync_api import expect

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
    "chromium is not installed: run scripts/system_packages.sh tests",
)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

expect.set_options(timeout=60_000)  # what a test waits for comes late on a busy machine
