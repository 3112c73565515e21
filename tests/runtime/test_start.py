"""The bundle's ``start`` takes the program of this machine, and says what to do where that cannot be run."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from publicai_edge.pipeline import texts
from publicai_edge.runtime import platforms

PROGRAM = '#!/bin/sh\necho "the bundle\'s own:" "$@"\n'
INSTALLED = '#!/bin/sh\necho "installed:" "$@"\n'
HERE = platforms.here()
OTHER = next(name for name in platforms.LINUX if name != HERE)
pytestmark = pytest.mark.skipif(not HERE.startswith("linux-"), reason="its words are of Linux")


def program(place: Path, text: str, mode: int = 0o755) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    place.chmod(mode)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A folder with the script, and programs for both platforms that say which they are."""
    folder = tmp_path / "hill street-1.0.0"
    program(folder / "start", texts.start_scripts()["start"].decode())
    program(folder / f"data/runtime/{HERE}/publicai-edge", PROGRAM)
    program(folder / f"data/runtime/{OTHER}/publicai-edge", '#!/bin/sh\necho "the wrong one"\n')
    return folder


def bare_environment(home: Path) -> dict[str, str]:
    """Return the environment of a machine without Python and without publicai-edge."""
    folder = home / "bin"
    folder.mkdir()
    for name in ("sh", "dirname", "uname", "chmod", "echo"):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return {"PATH": str(folder), "HOME": str(home)}


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    return bare_environment(tmp_path)


def start(bundle: Path, env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", bundle / "start", *arguments], env=env, cwd="/", capture_output=True, text=True, check=False
    )


def test_the_program_of_this_machines_kind_is_run(bundle: Path, bare: dict[str, str]) -> None:
    done = start(bundle, bare, "--port", "0")
    assert done.stdout == f"the bundle's own: serve {bundle} --open --port 0\n", done.stderr


def test_the_bundles_own_program_comes_before_an_installed_one(bundle: Path, bare: dict[str, str]) -> None:
    program(Path(bare["PATH"]) / "publicai-edge", INSTALLED)
    assert start(bundle, bare).stdout.startswith("the bundle's own:")


def test_a_program_that_lost_its_mode_on_a_stick_is_run_where_it_can_be_given_back(
    bundle: Path, bare: dict[str, str]
) -> None:
    (bundle / f"data/runtime/{HERE}/publicai-edge").chmod(0o644)
    assert start(bundle, bare).stdout.startswith("the bundle's own:")


def test_without_a_program_for_this_machine_the_installed_one_is_run(bundle: Path, bare: dict[str, str]) -> None:
    shutil.rmtree(bundle / f"data/runtime/{HERE}")
    program(Path(bare["PATH"]) / "publicai-edge", INSTALLED)
    assert start(bundle, bare).stdout == f"installed: serve {bundle} --open\n"


def test_what_is_missing_is_said(bundle: Path, bare: dict[str, str]) -> None:
    shutil.rmtree(bundle / f"data/runtime/{HERE}")
    done = start(bundle, bare)
    assert done.returncode == 6
    assert f"carries no program for {HERE}" in done.stderr
    assert done.stdout == ""


NOEXEC = 'mount -t tmpfs -o noexec none "$1" && cp -r "$2" "$1/" && PATH="$3" exec sh "$1/${2##*/}/start"'


@pytest.mark.parametrize("installed", [False, True])
def test_a_stick_that_forbids_programs_is_told_from_a_bundle_without_one(
    bundle: Path, bare: dict[str, str], tmp_path: Path, installed: bool
) -> None:
    if installed:
        program(Path(bare["PATH"]) / "publicai-edge", INSTALLED)
    stick = tmp_path / "stick"
    stick.mkdir()
    own = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    command = [*own, "sh", "-c", NOEXEC, "sh", str(stick), str(bundle), bare["PATH"]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if installed:
        assert done.stdout.startswith("installed:"), done.stderr
        return
    assert done.returncode == 6, done.stderr
    assert "cannot be run from where it lies" in done.stderr
    copy = done.stderr.splitlines()[-1].strip()
    # The words are a command: what it copies starts.
    shutil.copytree(bundle, stick / bundle.name)
    home = tmp_path / "home"
    home.mkdir()
    env = {**os.environ, "HOME": str(home)}
    again = subprocess.run(["sh", "-c", copy], env=env, capture_output=True, text=True, check=False)
    assert again.stdout == f"the bundle's own: serve {home / bundle.name} --open\n", again.stderr
