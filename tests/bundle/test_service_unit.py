"""The systemd unit: shut in, by the version's link, and gone without a trace."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from publicai_edge.bundle.install import layout as layouts
from publicai_edge.bundle.install import operation, service, unit
from publicai_edge.bundle.install.acceptance import Acceptance
from publicai_edge.bundle.install.layout import Layout
from publicai_edge.bundle.install.operation import Rules
from publicai_edge.bundle.install.staging import FolderSource
from publicai_edge.bundle.install.unit import Program
from publicai_edge.errors import HostError
from publicai_edge.progress import Recorder, Silent
from tests.bundle.synthetic import write_bundle

analyze = shutil.which("systemd-analyze")
RUNTIME = f"data/runtime/linux-{unit.platform.machine()}/publicai-edge"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An installed bundle that carries a program."""
    source = write_bundle(tmp_path / "bundles", extra={RUNTIME: b"#!/bin/sh\n"})
    rules = Rules(Acceptance(Silent(), (), unsigned=True))
    return operation.install(FolderSource(source), tmp_path / "opt", rules, Silent()).layout


def scored(text: str, tmp_path: Path) -> float:
    place = tmp_path / "publicai-edge-town-library.service"
    place.write_text(text)
    command = [analyze or "", "security", "--offline=yes", "--threshold=20", "--no-pager", str(place)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    return float(done.stdout.split("Overall exposure level for ")[1].split(": ")[1].split(" ")[0])


@pytest.mark.skipif(analyze is None, reason="systemd-analyze is not installed (scripts/system_packages.sh tests)")
@pytest.mark.parametrize("place", ["/opt/publicai-edge", "/home/library/kiosks"])
def test_unit_scores_under_two(place: str, tmp_path: Path) -> None:
    where = Layout(Path(place), "town-library")
    for program in (Program((f"{where.current}/{RUNTIME}",)), Program((sys.executable, "-m", "publicai_edge"))):
        assert scored(unit.text(where, program, "system"), tmp_path) < 2.0


@pytest.mark.skipif(analyze is None, reason="systemd-analyze is not installed (scripts/system_packages.sh tests)")
def test_unit_is_read_by_systemd_without_a_complaint(layout: Layout, tmp_path: Path) -> None:
    place = tmp_path / unit.name_of(layout)
    place.write_text(unit.text(layout, unit.program_of(layout), "system"))
    done = subprocess.run([analyze or "", "verify", str(place)], check=False, capture_output=True, text=True)
    assert place.name not in done.stderr, done.stderr


def test_unit_names_the_link_and_never_a_version(layout: Layout) -> None:
    text = unit.text(layout, unit.program_of(layout), "system", port=8020)
    assert f"ExecStart={layout.current}/{RUNTIME} serve {layout.current} --port 8020\n" in text
    assert "versions" not in text


def test_program_that_runs_out_of_an_installed_bundle_finds_its_folder(layout: Layout) -> None:
    program = (layout.current / RUNTIME).resolve()
    assert "/versions/1-1.0.0/" in str(program)
    assert layouts._of_running_program(program) == layout.folder
    assert layouts._of_running_program(Path("/usr/bin/publicai-edge")) is None


def test_odd_letters_of_a_path_mean_themselves() -> None:
    odd = Layout(Path('/srv/100% "ours" $HOME'), "town-library")
    text = unit.text(odd, Program((f"{odd.current}/x",)), "system")
    assert 'ExecStart="/srv/100%% \\"ours\\" $$HOME/town-library/current/x" serve' in text


def test_what_staff_add_lies_in_a_folder_of_the_services_own_and_outlasts_versions(layout: Layout) -> None:
    system = unit.text(layout, unit.program_of(layout), "system")
    assert "StateDirectory=publicai-edge-town-library\nStateDirectoryMode=0700\n" in system
    assert "Environment=PUBLICAI_EDGE_DOCUMENTS=%S/publicai-edge-town-library\n" in system
    user = unit.text(layout, unit.program_of(layout), "user")
    assert "Environment=PUBLICAI_EDGE_DOCUMENTS=%h/.local/state/publicai-edge-town-library\n" in user


def test_user_unit_asks_for_nothing_that_a_user_may_not(layout: Layout) -> None:
    text = unit.text(layout, unit.program_of(layout), "user")
    assert "WantedBy=default.target" in text
    assert "MemoryDenyWriteExecute=yes" in text
    for setting in ("DynamicUser", "CapabilityBoundingSet", "PrivateDevices", "IPAddressDeny"):
        assert setting not in text


def test_unit_and_what_belongs_to_it_are_removed(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "config"
    (home / "systemd" / "user").mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    monkeypatch.setattr(service, "_systemd_runs", lambda: False)
    before = sorted(home.rglob("*"))
    said = Recorder()
    place = service.install(layout, "user", said)
    assert place.read_text() == unit.text(layout, unit.program_of(layout), "user")
    assert service.remove(Layout(tmp_path / "elsewhere", layout.name), "user", said) is None
    assert "started by nothing" in said.warnings[0]
    wants = place.parent / "default.target.wants"
    wants.mkdir()
    (wants / place.name).symlink_to(place)
    (place.parent / f"{place.name}.d").mkdir()
    (place.parent / f"{place.name}.d" / "override.conf").write_text("[Service]\n")
    assert service.remove(layout, "user", said) == place
    assert sorted(home.rglob("*")) == before
    assert service.remove(layout, "user", said) is None


def test_program_of_an_environment_in_a_home_is_shown_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit, "_HOMES", ("/",))
    where = Layout(Path("/opt/publicai-edge"), "town-library")
    shown = unit.text(where, unit.program_of(where), "system").split("BindReadOnlyPaths=")[1].splitlines()[0]
    assert str(Path(unit.__file__).parents[2]) in shown.split()


@pytest.fixture
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's units, where no systemd runs."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(service, "_systemd_runs", lambda: False)
    folder = tmp_path / "config" / "systemd" / "user"
    folder.mkdir(parents=True)
    return folder


def test_unit_of_the_name_that_somebody_else_wrote_is_left_as_it_is(layout: Layout, units: Path) -> None:
    place = units / unit.name_of(layout)
    ours = unit.text(layout, unit.program_of(layout), "user")
    for text in ("", "[Service]\nExecStart=/usr/bin/kiosk\n", ours.partition("\n")[2]):
        place.write_text(text)
        with pytest.raises(HostError, match="publicai-edge did not write it") as caught:
            service.install(layout, "user", Silent())
        assert place.name in (caught.value.hint or "")
        assert service.remove(layout, "user", Silent()) is None
        assert place.read_text() == text
    place.unlink()
    place.symlink_to("/dev/null")  # masked
    with pytest.raises(HostError, match="did not write it"):
        service.install(layout, "user", Silent())
    assert place.readlink() == Path("/dev/null")


def test_unit_of_the_bundle_of_that_name_in_another_folder_is_left_as_it_is(layout: Layout, units: Path) -> None:
    other = Layout(Path("/srv/100% kiosks"), layout.name)
    text = unit.text(other, unit.program_of(other), "user")
    (units / unit.name_of(layout)).write_text(text)
    with pytest.raises(HostError, match="for the bundle in /srv/100% kiosks/town-library") as caught:
        service.install(layout, "user", Silent())
    assert "--to /srv/100% kiosks" in (caught.value.hint or "")
    assert (units / unit.name_of(layout)).read_text() == text


def test_own_unit_is_written_anew(layout: Layout, units: Path) -> None:
    service.install(layout, "user", Silent())
    place = service.install(layout, "user", Silent(), port=8020)
    assert place.parent == units
    assert "--port 8020" in place.read_text()
