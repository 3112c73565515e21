"""A browser that fills the screen with the kiosk's page and nothing else: no address line, no tabs, no history.

Invariants: each start has a new profile, in memory where the system has a folder for that, and it is removed when the
browser ends; printing opens no dialog, which could save files as well; a browser that was closed or crashed is started
again; when the kiosk ends, so does the browser, with all its processes.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from publicai_edge.errors import HostError

_CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge", "msedge")
_FIREFOXES = ("firefox-esr", "firefox")
_ELSEWHERE = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Firefox.app/Contents/MacOS/firefox",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
    "C:/Program Files/Mozilla Firefox/firefox.exe",
)
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of this process's own is made in it
_CHROMIUM_OPTIONS = (
    "--kiosk",
    "--incognito",
    "--no-first-run",
    "--no-default-browser-check",
    "--noerrdialogs",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-features=Translate,MediaRouter",
    "--disable-pinch",
    "--overscroll-history-navigation=0",
    "--password-store=basic",
    "--enable-speech-dispatcher",  # the system's own voices, for reading aloud: Chromium on Linux has none without it
)
_FIREFOX_SETTINGS = {
    "app.normandy.enabled": "false",
    "app.update.enabled": "false",
    "browser.aboutwelcome.enabled": "false",
    "browser.cache.disk.enable": "false",
    "browser.privatebrowsing.autostart": "true",
    "browser.shell.checkDefaultBrowser": "false",
    "browser.translations.enable": "false",
    "datareporting.policy.dataSubmissionEnabled": "false",
    "network.captive-portal-service.enabled": "false",
    "network.connectivity-service.enabled": "false",
    "toolkit.telemetry.reportingpolicy.firstRun": "false",
}
# The page is the only one there, and may use the microphone by its own header; a question in the browser's words would
# come with each patron, and an answer "never" would last.
_LISTENING_OPTION = "--auto-accept-camera-and-microphone-capture"
_LISTENING_SETTING = {"media.navigator.permission.disabled": "true"}
_SOON = 5.0  # seconds: a browser that ends before did not come up
_ATTEMPTS = 3
_PAUSE = 1.0
_PATIENCE = 5.0


@dataclass(frozen=True)
class Browser:
    """An installed browser."""

    program: str

    @property
    def is_firefox(self) -> bool:
        """Whether it takes Firefox's options, and not Chromium's."""
        return "firefox" in Path(self.program).name.lower()

    def command(self, address: str, profile: Path, *, printing: bool = False, listening: bool = False) -> list[str]:
        """Return the command that fills the screen with an address; writes settings into the profile.

        Args:
            address: the page's.
            profile: a folder for the browser's own files.
            printing: print without a dialog; otherwise the page has no button for it.
            listening: let the page have the microphone without a dialog.
        """
        if not self.is_firefox:
            silent = ["--kiosk-printing"] * printing + [_LISTENING_OPTION] * listening
            return [self.program, *_CHROMIUM_OPTIONS, *silent, f"--user-data-dir={profile}", address]
        settings = _FIREFOX_SETTINGS | ({"print.always_print_silent": "true"} if printing else {})
        settings |= _LISTENING_SETTING if listening else {}
        lines = (f'user_pref("{name}", {value});\n' for name, value in settings.items())
        (profile / "user.js").write_text("".join(lines), "utf-8")
        return [self.program, "--new-instance", "--profile", str(profile), "--kiosk", address]


def find() -> Browser:
    """Return the browser for a full screen: Chromium or a relative before Firefox.

    Raises:
        HostError: none is installed, or there is no screen to fill.
    """
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise HostError(
            "There is no screen to fill: neither DISPLAY nor WAYLAND_DISPLAY is set.",
            hint="Start it in the desktop session of the kiosk's own user; over SSH, leave --fullscreen out.",
        )
    for name in (*_CHROMIUMS, *_FIREFOXES):
        if program := shutil.which(name):
            return Browser(program)
    for place in _ELSEWHERE:
        if Path(place).is_file():
            return Browser(place)
    raise HostError(
        "No browser was found that can fill the screen: neither Chromium, Chrome or Edge, nor Firefox.",
        hint="Install one (on Debian: sudo apt-get install chromium), or use --open for another kind.",
    )


@contextmanager
def filled(
    browser: Browser,
    address: str,
    warn: Callable[[str], None],
    *,
    printing: bool = False,
    listening: bool = False,
) -> Iterator[None]:
    """Keep the page on the screen until the end of the block.

    Args:
        browser: as :func:`find` gives it.
        address: the page's.
        warn: told, in a thread, that the browser does not come up.
        printing: as :meth:`Browser.command` has it.
        listening: the same.
    """
    ended = threading.Event()

    def command(profile: Path) -> list[str]:
        return browser.command(address, profile, printing=printing, listening=listening)

    keeper = threading.Thread(target=_keep, args=(browser, command, address, warn, ended), name="screen", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join(2 * _PATIENCE)


def _keep(
    browser: Browser,
    command: Callable[[Path], list[str]],
    address: str,
    warn: Callable[[str], None],
    ended: threading.Event,
) -> None:
    in_a_row = 0
    while not ended.is_set():
        began = time.monotonic()
        try:
            code = _show(command, ended)
        except OSError as error:
            warn(f"{browser.program} cannot be started: {error.strerror or error}. Open {address} in a browser.")
            return
        in_a_row = in_a_row + 1 if time.monotonic() - began < _SOON else 0
        if in_a_row == _ATTEMPTS and not ended.is_set():
            root = " Chromium refuses to run as root." if getattr(os, "geteuid", lambda: 1)() == 0 else ""
            warn(
                f"{browser.program} ended at once, {_ATTEMPTS} times, with code {code}.{root} Open {address} yourself."
            )
            return
        ended.wait(_PAUSE)


def _show(command: Callable[[Path], list[str]], ended: threading.Event) -> int:
    """Run the browser once, until it ends or has to; return its code."""
    parent = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="publicai-edge-screen-", dir=parent, ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            command(Path(folder)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # browsers tell there what nobody here asked
            start_new_session=True,
        )
        while process.poll() is None and not ended.wait(0.2):
            pass
        _end(process)
        return process.returncode


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the browser and all that it started."""
    for how in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                process.terminate()
            else:
                os.killpg(process.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE / 2)
