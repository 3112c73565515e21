"""A browser fills the screen, is started again when it ends, leaves nothing, and ends with the kiosk."""

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from publicai_edge.errors import HostError
from publicai_edge.kiosk import screen
from publicai_edge.kiosk.screen import Browser
from tests.service.conftest import until

ADDRESS = "http://127.0.0.1:8017/"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the browsers here are shell scripts")

# Notes each start, its options and the profile it was given; ends by itself, or stays with a child of its own.
STAYS = """#!/bin/sh
echo "$@" >> {notes}
sleep 600 &
echo $! >> {children}
wait
"""
ENDS = """#!/bin/sh
echo "$@" >> {notes}
exit 7
"""


def test_only_where_it_is_wanted_the_browser_prints_and_then_without_a_dialog(tmp_path: Path) -> None:
    assert "--kiosk-printing" not in Browser("chromium").command(ADDRESS, tmp_path)
    assert "--kiosk-printing" in Browser("chromium").command(ADDRESS, tmp_path, printing=True)
    Browser("firefox").command(ADDRESS, tmp_path)
    assert "print" not in (tmp_path / "user.js").read_text()
    Browser("firefox").command(ADDRESS, tmp_path, printing=True)
    assert 'user_pref("print.always_print_silent", true);' in (tmp_path / "user.js").read_text()


def test_only_where_the_bundle_takes_dictation_the_page_has_the_microphone_without_a_dialog(tmp_path: Path) -> None:
    assert screen._LISTENING_OPTION not in Browser("chromium").command(ADDRESS, tmp_path)
    assert screen._LISTENING_OPTION in Browser("chromium").command(ADDRESS, tmp_path, listening=True)
    Browser("firefox").command(ADDRESS, tmp_path)
    assert "media." not in (tmp_path / "user.js").read_text()
    Browser("firefox").command(ADDRESS, tmp_path, listening=True)
    assert 'user_pref("media.navigator.permission.disabled", true);' in (tmp_path / "user.js").read_text()


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(screen, "_PAUSE", 0.01)
    memory = tmp_path / "memory"
    memory.mkdir()
    monkeypatch.setattr(screen, "_MEMORY", memory)
    monkeypatch.setenv("DISPLAY", ":0")
    yield
    assert list(memory.iterdir()) == [], "no profile is left"


def browser(folder: Path, name: str, script: str, notes: Path) -> Browser:
    place = folder / name
    place.write_text(script.format(notes=notes, children=folder / "children"))
    place.chmod(place.stat().st_mode | stat.S_IXUSR)
    return Browser(str(place))


def starts(notes: Path) -> list[str]:
    return notes.read_text().splitlines() if notes.exists() else []


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def test_the_page_fills_the_screen_and_the_browser_ends_with_the_kiosk(tmp_path: Path, notes: Path) -> None:
    warnings: list[str] = []
    with screen.filled(browser(tmp_path, "chromium", STAYS, notes), ADDRESS, warnings.append):
        until(lambda: (tmp_path / "children").exists() and (tmp_path / "children").read_text(), "it runs")
        (options,) = starts(notes)
        child = int((tmp_path / "children").read_text())
        assert is_running(child)
    assert options.endswith(ADDRESS)
    assert {"--kiosk", "--incognito"} <= set(options.split())
    assert f"--user-data-dir={tmp_path}/memory/" in options
    until(lambda: not is_running(child), "what the browser had started has ended too")
    assert warnings == []


def test_a_browser_that_was_closed_is_started_again_with_a_new_profile(
    tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screen, "_SOON", 0.0)
    with screen.filled(browser(tmp_path, "chromium", ENDS, notes), ADDRESS, lambda _: None):
        until(lambda: len(starts(notes)) >= 4, "it was started again and again")
    profiles = [option for start in starts(notes) for option in start.split() if option.startswith("--user-data-dir")]
    assert len(set(profiles)) == len(profiles)


def test_a_browser_that_does_not_come_up_is_given_up_with_its_code(tmp_path: Path, notes: Path) -> None:
    warnings: list[str] = []
    with screen.filled(browser(tmp_path, "chromium", ENDS, notes), ADDRESS, warnings.append):
        until(lambda: warnings, "the operator is told")
    assert len(starts(notes)) == 3
    (warning,) = warnings
    assert "ended at once, 3 times, with code 7" in warning
    assert ADDRESS in warning


def test_a_browser_that_cannot_be_started_is_told(tmp_path: Path) -> None:
    warnings: list[str] = []
    with screen.filled(Browser(str(tmp_path / "gone")), ADDRESS, warnings.append):
        until(lambda: warnings, "the operator is told")
    assert "gone cannot be started: No such file" in warnings[0]


def test_firefox_gets_its_own_options_and_quiet_settings(tmp_path: Path) -> None:
    command = Browser("/usr/bin/firefox-esr").command(ADDRESS, tmp_path)
    assert command[1:] == ["--new-instance", "--profile", str(tmp_path), "--kiosk", ADDRESS]
    assert 'user_pref("browser.cache.disk.enable", false);' in (tmp_path / "user.js").read_text()


def test_chromium_is_taken_before_firefox(tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("firefox", "chromium"):
        browser(tmp_path, name, ENDS, notes)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert screen.find() == Browser(str(tmp_path / "chromium"))
    (tmp_path / "chromium").unlink()
    assert screen.find() == Browser(str(tmp_path / "firefox"))


def test_a_machine_without_a_browser_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(screen, "_ELSEWHERE", ())
    with pytest.raises(HostError, match="No browser was found") as caught:
        screen.find()
    assert "apt-get install chromium" in str(caught.value.hint)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a screen")
def test_a_session_without_a_screen_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(HostError, match="no screen to fill"):
        screen.find()
