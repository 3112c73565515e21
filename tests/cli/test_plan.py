"""``plan`` and ``device`` as a person calls them."""

import json
import shutil
import tomllib
from pathlib import Path

from publicai_edge.plan import device
from tests.cli.conftest import Run
from tests.plan import cases


def test_a_plan_is_a_table_with_its_basis(run: Run, here: Path, model: Path) -> None:
    shutil.copy(model, here / "model.gguf")
    done = run("plan", "small.toml", "--device", "raspberry-pi-5")
    assert done.returncode == 0, done.stderr
    assert "small.toml on Raspberry Pi 5" in done.stdout
    assert "tokens/s" in done.stdout and "published figures" in done.stdout
    row = next(line for line in done.stdout.splitlines() if line.startswith("Q4_1"))
    assert row.endswith("yes")
    table = done.stdout.split("Memory by tokens")[1].splitlines()
    assert " ".join(table[2].split()) == "context 1 patron 2 patrons 4 patrons 8 patrons"
    assert [line.split()[0] for line in table[3:6]] == ["256", "512", "1,024"]
    assert "(" not in "".join(table[3:6])


def test_what_does_not_fit_ends_with_9_and_says_why(run: Run, here: Path, f16: Path) -> None:
    shutil.copy(f16, here / "model.gguf")
    done = run("plan", "small.toml", "--ram", "1.6", "--disk", "8")
    assert done.returncode == 9, done.stderr
    assert "of memory, and of 1.6 GB the system leaves 0.60 GB" in done.stderr
    assert "This would fit instead" in done.stdout
    assert 'quantize.type = "' in done.stdout
    told = json.loads(run("plan", "small.toml", "--ram", "1.6", "--disk", "8", "--json").stdout)
    assert told["fits"] is False
    assert told["forecasts"][0]["problems"]
    assert told["instead"][0]["change"]
    by_use = {(each["context"], each["patrons"]): each for each in told["memory_by_use"]}
    assert by_use[512, 1]["expected"] < by_use[512, 8]["expected"] < by_use[1024, 8]["expected"]
    assert not by_use[1024, 8]["fits"]


def test_nothing_that_would_fit_is_said_too(run: Run, here: Path, model: Path) -> None:
    shutil.copy(model, here / "model.gguf")
    done = run("plan", "small.toml", "--ram", "1.05", "--disk", "8")
    assert done.returncode == 9
    assert "choose a smaller model" in done.stderr


def test_a_device_and_its_parts_exclude_each_other(run: Run, here: Path, model: Path) -> None:
    shutil.copy(model, here / "model.gguf")
    done = run("plan", "small.toml", "--device", "raspberry-pi-5", "--ram", "4")
    assert done.returncode != 0
    assert "--device says already" in done.stderr
    done = run("plan", "small.toml", "--ram", "4", "--disk", "8", "--cpu", "raspberry-pi-5")
    assert done.returncode == 0, done.stderr
    assert "as given" in done.stdout


def test_devices_are_listed_and_shown(run: Run) -> None:
    listed = run("device", "list")
    assert listed.returncode == 0
    assert set(device.names()) <= set(listed.stdout.split())
    for name in device.names():
        shown = run("device", "show", name)
        assert "https://" in shown.stdout
    assert "in place of this one" in run("device", "show", "celeron-j4125").stdout
    assert json.loads(run("device", "show", "intel-n100", "--json").stdout)["name"] == "intel-n100"


def test_a_probed_device_is_shown_and_planned_with(run: Run, here: Path, model: Path) -> None:
    shutil.copy(model, here / "model.gguf")
    (here / "town.toml").write_text(device.to_toml(cases.device()))
    assert "Measured" in run("device", "show", "town.toml").stdout
    done = run("plan", "small.toml", "--device", "town.toml")
    assert done.returncode == 0, done.stderr
    assert "±25 %" in done.stdout
    assert tomllib.loads((here / "town.toml").read_text())["measured"]["threads"] == 4


def test_an_unknown_device_is_named(run: Run) -> None:
    done = run("plan", "small.toml", "--device", "toaster")
    assert done.returncode != 0
    assert "There is no device 'toaster'" in done.stderr
    assert "raspberry-pi-4" in done.stderr
