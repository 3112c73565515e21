"""The operator's way: install the demo bundle, update it by what changed, ask it, and go back."""

import json
import shlex
import shutil
import time
from pathlib import Path

import pytest

from publicai_edge import digest
from publicai_edge.bundle.manifest import parse
from publicai_edge.pipeline.build import Built
from tests.bundle.synthetic import list_anew
from tests.cli.conftest import Run
from tests.cli.test_bad_input import is_told

NAME = "demo-library"


@pytest.fixture(scope="module")
def newer(demo: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo bundle with one changed document, as its next release.

    The index is changed where a document's text lies in it and not built anew, which is for the benchmark; the model
    and everything else are the demo's.
    """
    target = tmp_path_factory.mktemp("newer") / f"{NAME}-1.1.0"
    shutil.copytree(demo.folder, target)
    index = target / "data" / "knowledge" / "knowledge.sqlite"
    text = index.read_bytes()
    assert b"Story Hour" in text
    index.write_bytes(text.replace(b"Story Hour", b"Tale Hour!"))
    manifest = parse((target / "bundle.json").read_bytes(), "bundle.json")
    newer = manifest.model_copy(update={"version": "1.1.0", "release": 2})
    (target / "bundle.json").write_bytes(newer.to_bytes())
    list_anew(target)
    return target


@pytest.mark.slow
def test_demo_is_updated_by_what_one_changed_document_takes_and_goes_back(
    run: Run, demo: Built, newer: Path, tmp_path: Path
) -> None:
    """Size, time and undo of an update, issue 6; the figures of a whole rebuild are benchmarks/updates.py's."""
    to = ["--to", str(tmp_path / "opt")]
    assert run("install", demo.folder, *to, "--unsigned").returncode == 0
    made = run("diff", demo.folder, newer, "-o", tmp_path / "update.zip", "--json")
    assert made.returncode == 0, made.stderr
    sizes = json.loads(made.stdout)
    assert sizes["bytes"] < 100_000 < sizes["full_bytes"]
    assert sizes["bytes"] * 1000 < sizes["full_bytes"]

    began = time.monotonic()
    done = run("apply", tmp_path / "update.zip", *to, "--unsigned", "--no-self-test", "--json")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 180
    assert json.loads(done.stdout)["version"] == "1.1.0"
    assert _version(run, to) == ("1.1.0", "1.0.0")
    assert run("verify", json.loads(done.stdout)["path"]).returncode == 0

    back = run("rollback", NAME, *to, "--unsigned", "--no-self-test")
    assert back.returncode == 0, back.stderr
    assert _version(run, to) == ("1.0.0", "1.1.0")
    for there in ("1.1.0", "1.0.0"):
        said = " ".join(back.stderr.split()).partition("To go back there: publicai-edge ")[2]
        back = run(*shlex.split(said), "--unsigned", "--no-self-test")
        assert _version(run, to)[0] == there, "what it says leads there"
    gone = run("uninstall", NAME, *to)
    assert gone.returncode == 0, gone.stderr
    assert not (tmp_path / "opt").exists()


def _version(run: Run, to: list[str]) -> tuple[str, str]:
    (found,) = json.loads(run("installed", *to, "--json").stdout)["bundles"]
    return found["version"], found["previous"]


@pytest.mark.slow
def test_bundle_whose_model_does_not_load_is_not_installed(run: Run, bundle_copy: Path, tmp_path: Path) -> None:
    model = bundle_copy / "data" / "model" / "model.gguf"
    data = bytearray(model.read_bytes())
    data[24 : 24 + 40] = bytes(40)  # the first keys of its metadata
    model.write_bytes(data)
    manifest = parse((bundle_copy / "bundle.json").read_bytes(), "bundle.json")
    other = manifest.model.model_copy(update={"sha256": f"sha256:{digest.of_bytes(bytes(data))}"})
    (bundle_copy / "bundle.json").write_bytes(manifest.model_copy(update={"model": other}).to_bytes())
    list_anew(bundle_copy)
    done = run("install", bundle_copy, "--to", tmp_path / "opt", "--unsigned")
    assert done.returncode in {4, 6, 7}, done.stderr
    assert not (tmp_path / "opt").exists()


def test_without_a_trusted_key_the_next_step_is_said(run: Run, tmp_path: Path) -> None:
    from tests.bundle.synthetic import write_bundle

    done = run("install", write_bundle(tmp_path / "b"), "--to", tmp_path / "opt")
    assert done.returncode == 5
    assert "No key is trusted" in done.stderr
    assert "trust add" in done.stderr
    assert "--unsigned" in done.stderr


def test_a_damaged_version_that_is_replaced_is_no_place_to_go_back_to(run: Run, tmp_path: Path) -> None:
    from tests.bundle.synthetic import write_bundle

    source = write_bundle(tmp_path / "b")
    command = ["install", source, "--to", str(tmp_path / "opt"), "--unsigned", "--no-self-test"]
    assert run(*command).returncode == 0
    (tmp_path / "opt/town-library/current/data/model/model.gguf").write_bytes(b"rotten")
    done = run(*command)
    assert done.returncode == 0, done.stderr
    assert "took the place" in " ".join(done.stderr.split())
    assert "To go back" not in done.stderr


def test_what_an_interrupted_installation_keeps_is_told_with_the_way_to_remove_it(run: Run, tmp_path: Path) -> None:
    from tests.bundle.synthetic import write_bundle

    folder = tmp_path / "opt"
    shutil.copytree(write_bundle(tmp_path / "b"), folder / ".publicai-edge-staging")
    said = " ".join(run("installed", "--to", folder).stderr.split())
    assert "An installation of town-library was interrupted" in said
    command = said.partition("or remove it: publicai-edge ")[2].removesuffix(".")
    assert run(*shlex.split(command)).returncode == 0
    assert not (folder / ".publicai-edge-staging").exists()


def test_an_interrupted_update_is_told_without_the_command_that_would_remove_what_is_in_use(
    run: Run, tmp_path: Path
) -> None:
    from tests.bundle.synthetic import write_bundle

    folder = tmp_path / "opt"
    first = write_bundle(tmp_path / "b")
    assert run("install", first, "--to", folder, "--unsigned", "--no-self-test").returncode == 0
    shutil.copytree(first, folder / ".publicai-edge-staging")
    said = run("installed", "--to", folder).stderr
    assert "An installation of town-library was interrupted" in " ".join(said.split())
    assert "uninstall" not in said


def test_a_reason_of_blanks_is_none(run: Run, tmp_path: Path) -> None:
    from tests.bundle.synthetic import write_bundle

    for reason in ("", "  "):
        done = run("install", write_bundle(tmp_path / "b"), "--unsigned", "--allow-downgrade", reason)
        assert done.returncode == 2, done.stderr
        assert "say why" in " ".join(done.stderr.split())


def test_a_rollback_that_changes_nothing_says_where_it_could_go(run: Run, tmp_path: Path) -> None:
    from tests.bundle.synthetic import write_bundle

    to = ["--to", str(tmp_path / "opt"), "--unsigned", "--no-self-test"]
    for release in (1, 2):
        assert (
            run("install", write_bundle(tmp_path / "b", version=f"1.{release}.0", release=release), *to).returncode == 0
        )
    assert run("rollback", "town-library", *to).returncode == 0
    again = " ".join(run("rollback", "town-library", *to).stderr.split())
    assert "1.1.0 is in use already; nothing was changed" in again
    assert "whole" not in again, "it was not looked at"
    command = again.partition("To go there: publicai-edge ")[2]
    assert run(*shlex.split(command), "--unsigned", "--no-self-test").returncode == 0
    assert "1.2.0" in run("installed", *to[:2]).stdout


def test_unit_is_printed_without_being_written(run: Run, tmp_path: Path) -> None:
    from tests.bundle.synthetic import write_bundle

    to = ["--to", str(tmp_path / "opt")]
    assert run("install", write_bundle(tmp_path / "b"), *to, "--unsigned", "--no-self-test").returncode == 0
    done = run("service", "install", "town-library", *to, "--print")
    assert done.returncode == 0, done.stderr
    assert f"serve {tmp_path}/opt/town-library/current" in done.stdout
    assert run("service", "install", "nobody", *to, "--print").returncode == 3


def test_key_that_is_trusted_no_longer_ends_the_way_back_as_well(run: Run, here: Path, tmp_path: Path) -> None:
    from tests.bundle.synthetic import write_bundle

    to = ["--to", str(tmp_path / "opt"), "--no-self-test"]
    for release, key in enumerate(("old", "new"), 1):
        run("key", "new", key)
        run("trust", "add", f"{key}.pub", "--name", key)
        source = write_bundle(tmp_path / "b", version=f"1.{release}.0", release=release)
        run("sign", source, "--key", f"{key}.pem")
        assert run("install", source, *to).returncode == 0
    fingerprint = f"sha256:{digest.of_file(here / 'old.pub')}"
    run("trust", "remove", "old")
    is_told(run("rollback", "town-library", *to), 5, "1.1.0", fingerprint, "trust add FILE", "--unsigned")
    assert "Nobody's signature was checked" in run("rollback", "town-library", *to, "--unsigned").stderr
    log = (tmp_path / "opt/town-library/log").read_text().splitlines()
    assert json.loads(log[-2])["unsigned"] is True


def test_mistyped_name_is_told_and_removes_nothing(run: Run, tmp_path: Path) -> None:
    from tests.bundle.synthetic import write_bundle

    folder = tmp_path / "opt"
    to = ["--to", str(folder)]
    assert run("install", write_bundle(tmp_path / "b"), *to, "--unsigned", "--no-self-test").returncode == 0
    (folder / ".publicai-edge-trash" / "0").mkdir(parents=True)
    is_told(run("uninstall", "town-libary", *to), 3, "No bundle called 'town-libary' is installed", "town-library")
    assert (folder / ".publicai-edge-trash" / "0").is_dir()
