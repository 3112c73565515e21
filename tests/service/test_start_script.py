"""The bundle's own ``./start``: what an operator runs who never heard of the command line."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from publicai_edge.pipeline.build import Built
from tests.service.conftest import Kiosk, until

pytestmark = pytest.mark.slow


def path_with(folder: Path, **programs: str) -> str:
    """A PATH of one folder: the few programs the script itself needs, and those given."""
    folder.mkdir()
    for name in ("sh", "dirname", "uname"):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    for name, text in programs.items():
        place = folder / name.replace("_", "-")
        place.write_text(text)
        place.chmod(0o755)
    return str(folder)


@pytest.fixture
def browser(tmp_path: Path) -> Path:
    """A browser that reads the page, notes its address and stays open, as a browser does."""
    place = tmp_path / "browser"
    place.write_text(
        f"#!{sys.executable}\n"
        "import os, pathlib, sys, time, urllib.request\n"
        "with urllib.request.urlopen(sys.argv[1], timeout=30) as page:\n"
        "    assert b'<title>' in page.read()\n"
        f"pathlib.Path({str(tmp_path / 'opened')!r}).write_text(f'{{os.getpid()}} {{sys.argv[1]}}\\n')\n"
        "time.sleep(300)\n"
    )
    place.chmod(0o755)
    return place


@pytest.mark.parametrize("installed", ["as a program", "as a module"])
def test_start_serves_the_bundle_and_opens_its_page(demo: Built, tmp_path: Path, browser: Path, installed: str) -> None:
    program = f'#!/bin/sh\nexec "{sys.executable}" -m publicai_edge "$@"\n'
    found = {"publicai_edge": program} if installed == "as a program" else {}
    env = {"PATH": path_with(tmp_path / "bin", **found), "BROWSER": str(browser), "HOME": str(tmp_path)}
    if installed == "as a module":
        env["PUBLICAI_EDGE_PYTHON"] = sys.executable
    kiosk = Kiosk([str(demo.folder / "start"), "--port", "0"], tmp_path / "kiosk", env)
    try:
        note = tmp_path / "opened"
        until(lambda: note.exists() and note.read_text().endswith("\n"), "the browser has read the page")
        pid, url = note.read_text().split()
        os.kill(int(pid), signal.SIGKILL)
        assert url == kiosk.url
        assert kiosk.wait_ready().end() == 0
    finally:
        kiosk.process.kill()


def test_start_says_how_to_install_what_is_missing(demo: Built, tmp_path: Path) -> None:
    env = {"PATH": path_with(tmp_path / "bin"), "HOME": str(tmp_path)}
    done = subprocess.run([demo.folder / "start"], check=False, capture_output=True, text=True, env=env)
    assert done.returncode == 6
    assert "publicai-edge is not installed on this machine" in done.stderr
    assert "python3 -m pip install './publicai_edge-VERSION-py3-none-any.whl[kiosk]'" in done.stderr
    assert done.stdout == ""


def test_a_kiosk_without_any_browser_says_which_address_to_open(serve: Callable[..., Kiosk], demo: Built) -> None:
    kiosk = serve(demo.folder, "--open", BROWSER="/bin/false")
    until(lambda: "Open http://127.0.0.1:" in kiosk.stderr.read_text(), "the operator is told the address")
    assert kiosk.end() == 0


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_kiosk_on_the_whole_screen_takes_its_browser_with_it(
    serve: Callable[..., Kiosk], demo: Built, tmp_path: Path, sign: signal.Signals
) -> None:
    note, programs = tmp_path / "opened", tmp_path / "programs"
    programs.mkdir()
    (programs / "chromium").write_text(f'#!/bin/sh\necho "$$ $*" > {note}\nexec sleep 600\n')
    (programs / "chromium").chmod(0o755)
    kiosk = serve(demo.folder, "--fullscreen", DISPLAY=":0", PATH=f"{programs}:{os.environ['PATH']}")
    until(lambda: note.exists() and note.read_text().endswith("\n"), "the browser was started")
    pid, *options = note.read_text().split()
    assert options[-1] == kiosk.url
    (profile,) = (Path(option.partition("=")[2]) for option in options if option.startswith("--user-data-dir="))
    assert profile.is_dir()
    assert kiosk.end(sign) == 0
    assert not Path(f"/proc/{pid}").exists()
    assert not profile.exists()
