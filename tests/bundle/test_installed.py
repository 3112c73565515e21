"""What is installed: the releases it remembers, going back, its log, removing it, and what is left behind."""

import json
import os
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from publicai_edge.bundle.install import history, operation
from publicai_edge.bundle.install.acceptance import Acceptance, Return
from publicai_edge.bundle.install.inventory import installed, interrupted_in
from publicai_edge.bundle.install.layout import STAGING, TRASH, Layout
from publicai_edge.bundle.install.operation import Rules
from publicai_edge.bundle.install.staging import FolderSource
from publicai_edge.bundle.install.switch import switch
from publicai_edge.bundle.signing.trust import TrustedKey
from publicai_edge.errors import BundleError, NotFoundError, SignatureError
from publicai_edge.progress import Progress, Recorder, Silent
from tests.bundle.installing import BACK_UNSIGNED, NAME, UNSIGNED, in_use, install, rollback, snapshot
from tests.bundle.signing.signers import Person, person


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> tuple[Person, Person]:
    folder = tmp_path_factory.mktemp("people")
    return person(folder, "ada"), person(folder, "ben")


# Release numbers ------------------------------------------------------------------------------------------------------


def test_older_release_is_refused_also_after_a_rollback(bundle: Callable[..., Path], folder: Path) -> None:
    one, two, three = (bundle(f"1.{number}.0", number + 1) for number in range(3))
    for source in (one, two, three):
        install(source, folder)
    rollback(folder)
    assert in_use(folder) == "1.1.0"
    for old in (one,):
        with pytest.raises(BundleError, match="release 3 was installed here"):
            install(old, folder)
    assert install(three, folder).changed


def test_a_damaged_version_in_use_is_mended_also_where_a_newer_one_was_installed(
    bundle: Callable[..., Path], folder: Path
) -> None:
    one, two = bundle("1.0.0", 1), bundle("1.1.0", 2)
    install(one, folder)
    install(two, folder)
    rollback(folder)
    model = Layout(folder, NAME).current / "data" / "model" / "model.gguf"
    model.write_bytes(b"rotten")
    assert install(one, folder).changed
    assert in_use(folder) == "1.0.0"
    assert model.read_bytes() == (one / "data" / "model" / "model.gguf").read_bytes()
    with pytest.raises(BundleError, match="release 2 was installed here"):
        install(bundle("1.0.5", 1), folder)


def test_downgrade_needs_a_reason_and_the_log_keeps_it(bundle: Callable[..., Path], folder: Path) -> None:
    old, new = bundle("1.0.0", 1), bundle("1.1.0", 2)
    install(new, folder)
    done = install(old, folder, Rules(UNSIGNED, downgrade="1.1.0 answers in the wrong language"))
    assert in_use(folder) == "1.0.0"
    switch = history.last_switch(done.layout)
    assert switch["allow_downgrade"] == "1.1.0 answers in the wrong language"
    third = bundle("1.0.5", 1)
    with pytest.raises(BundleError, match="release 2 was installed here"):
        install(third, folder)


def test_other_bundle_with_the_same_release_number_is_refused(bundle: Callable[..., Path], folder: Path) -> None:
    install(bundle("1.0.0", 1), folder)
    with pytest.raises(BundleError, match="release number 1 of a different bundle"):
        install(bundle("1.0.1", 1), folder)


def test_damaged_memory_of_releases_refuses_instead_of_forgetting(bundle: Callable[..., Path], folder: Path) -> None:
    done = install(bundle("1.0.0", 1), folder)
    done.layout.highest.write_text("{}")
    with pytest.raises(BundleError, match="damaged"):
        install(bundle("1.1.0", 2), folder)


# Going back -----------------------------------------------------------------------------------------------------------


def test_rollback_twice_changes_nothing_and_naming_the_version_goes_forward(
    bundle: Callable[..., Path], folder: Path
) -> None:
    for number in (1, 2):
        install(bundle(f"1.{number}.0", number), folder)
    assert rollback(folder).changed
    assert not rollback(folder).changed
    assert in_use(folder) == "1.1.0"
    assert rollback(folder, "1.2.0").changed
    assert in_use(folder) == "1.2.0"
    with pytest.raises(BundleError, match=r"kept: 1\.2\.0, 1\.1\.0"):
        rollback(folder, "9.0.0")


def test_rollback_to_a_damaged_version_is_refused(bundle: Callable[..., Path], folder: Path) -> None:
    for number in (1, 2):
        done = install(bundle(f"1.{number}.0", number), folder)
    (done.layout.previous / "data" / "model" / "model.gguf").write_bytes(b"rotten")
    with pytest.raises(BundleError, match=r"The kept version 1\.1\.0, .* is not what was(.|\n)*model\.gguf") as refused:
        rollback(folder)
    assert in_use(folder) == "1.2.0"
    assert "--allow-downgrade" in (refused.value.hint or "")


def two_signed(bundle: Callable[..., Path], folder: Path, people: tuple[Person, Person]) -> list[TrustedKey]:
    """Install a version that Ada signed and then one that Ben signed; return both their keys."""
    keys = [someone.trusted for someone in people]
    for number, someone in enumerate(people, 1):
        source = bundle(f"1.{number}.0", number)
        someone.sign(source)
        install(source, folder, Rules(Acceptance(Silent(), keys)))
    return keys


def test_going_back_asks_for_a_key_that_is_trusted_still(
    bundle: Callable[..., Path], folder: Path, people: tuple[Person, Person]
) -> None:
    ada, ben = two_signed(bundle, folder, people)
    before = snapshot(folder)
    for left in ([ben], []):
        with pytest.raises(SignatureError, match=f"1.1.0 is kept here .* signed by {ada.fingerprint}") as caught:
            rollback(folder, check=Return(Silent(), left))
        assert "trust add" in (caught.value.hint or "")
        assert "--unsigned" in (caught.value.hint or "")
        assert snapshot(folder) == before
    done = rollback(folder, check=Return(Silent(), [ada]))
    assert done.signers == (ada.fingerprint,)
    assert history.last_switch(done.layout)["signers"] == [ada.fingerprint]
    assert in_use(folder) == "1.1.0"


def test_version_that_came_unsigned_is_gone_back_to_in_the_same_explicit_way(
    bundle: Callable[..., Path], folder: Path, people: tuple[Person, Person]
) -> None:
    keys = [people[0].trusted]
    for number in (1, 2):
        install(bundle(f"1.{number}.0", number), folder)
    with pytest.raises(SignatureError, match="is not signed"):
        rollback(folder, check=Return(Silent(), keys))
    assert rollback(folder, check=Return(Silent(), keys, unsigned=True)).changed


@pytest.mark.parametrize("switched", [False, True])
def test_rollback_that_was_cut_short_before_its_key_was_taken_back_leaves_one_of_both(
    bundle: Callable[..., Path],
    folder: Path,
    people: tuple[Person, Person],
    monkeypatch: pytest.MonkeyPatch,
    switched: bool,
) -> None:
    keys = two_signed(bundle, folder, people)

    def cut(layout: Layout, entry: str) -> None:
        if switched:
            switch(layout, entry)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(operation, "switch", cut)
        rollback(folder, check=Return(Silent(), keys))
    today = Return(Silent(), keys[1:])
    if switched:
        assert not rollback(folder, check=today).changed
    else:
        with pytest.raises(SignatureError):
            rollback(folder, check=today)
    assert in_use(folder) == ("1.1.0" if switched else "1.2.0")


def test_version_past_its_last_day_is_gone_back_to_and_that_is_said(bundle: Callable[..., Path], folder: Path) -> None:
    install(bundle("1.0.0", 1, valid_until=date(2001, 1, 1)), folder, Rules(BACK_UNSIGNED))
    install(bundle("1.1.0", 2), folder)
    said = Recorder()
    assert rollback(folder, check=Return(said, (), unsigned=True)).changed
    assert "until 2001-01-01" in said.warnings[0]


# The log --------------------------------------------------------------------------------------------------------------


def test_cut_line_of_the_log_spoils_that_line_only(bundle: Callable[..., Path], folder: Path) -> None:
    done = install(bundle("1.0.0", 1), folder)
    with done.layout.log.open("ab") as stream:
        stream.write(b'{"time": "2026-')
    install(bundle("1.1.0", 2), folder)
    assert [line["action"] for line in history.read(done.layout)] == ["switch", "installed", "switch", "installed"]
    assert all(json.dumps(line) for line in history.read(done.layout))


def test_line_of_the_log_is_whole_however_little_one_call_takes(
    bundle: Callable[..., Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, write = install(bundle("1.0.0", 1), folder).layout, os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, bytes(data)[:7]))
    history.record(layout, "switch", allow_downgrade="a reason")
    assert history.last_switch(layout)["allow_downgrade"] == "a reason"


# What is there, and what is left --------------------------------------------------------------------------------------


def test_uninstall_leaves_nothing_behind(bundle: Callable[..., Path], folder: Path, tmp_path: Path) -> None:
    one, two, other = bundle("1.0.0", 1), bundle("1.1.0", 2), bundle("1.0.0", 1, name="school")
    before = snapshot(tmp_path)
    for source in (one, two, other):
        install(source, folder)
    rollback(folder)
    operation.uninstall(NAME, folder, Silent())
    assert [item["name"] for item in installed(folder)] == ["school"]
    operation.uninstall("school", folder, Silent())
    assert snapshot(tmp_path) == before


def cut_short(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove a bundle, and be interrupted when it is no longer in use and its files are still there."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(operation.staging, "clear", interrupt)
        operation.uninstall(name, folder, Silent())


def test_mistyped_name_removes_nothing_also_where_other_things_wait_to_be_removed(
    bundle: Callable[..., Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(bundle("1.0.0", 1), folder)
    install(bundle("1.0.0", 1, name="school"), folder)
    cut_short("school", folder, monkeypatch)
    (folder / TRASH / "7-1-1.0.0").mkdir()  # a version
    before = snapshot(folder)
    for name in ("shcool", "town", "0", "0-school", "1-1.0.0", ""):
        with pytest.raises(NotFoundError, match="there: town-library"):
            operation.uninstall(name, folder, Silent())
    assert snapshot(folder) == before


def test_removal_that_was_cut_short_is_gone_on_with(
    bundle: Callable[..., Path], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = bundle("1.0.0", 1)
    before = snapshot(tmp_path)
    install(source, folder)
    cut_short(NAME, folder, monkeypatch)
    assert operation.uninstall(NAME, folder, Silent()).name == NAME
    assert snapshot(tmp_path) == before


def test_a_first_installation_that_was_cut_short_can_be_removed(
    bundle: Callable[..., Path], folder: Path, tmp_path: Path
) -> None:
    def cut(place: Path) -> None:
        raise KeyboardInterrupt

    source = bundle("1.0.0", 1)
    before = snapshot(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        install(source, folder, Rules(UNSIGNED, test=cut))
    assert in_use(folder) is None
    assert snapshot(tmp_path) != before
    operation.uninstall(NAME, folder, Silent())
    assert snapshot(tmp_path) == before


def test_what_a_killed_copy_has_left_can_be_removed_and_no_other_bundles(
    bundle: Callable[..., Path], folder: Path, tmp_path: Path
) -> None:
    class Cut(FolderSource):
        def fill(self, target: Path, progress: Progress) -> None:
            super().fill(target, progress)
            raise KeyboardInterrupt

    source = bundle("1.0.0", 1)
    before = snapshot(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        operation.install(Cut(source), folder, Rules(UNSIGNED), Silent())
    name, size = interrupted_in(folder) or ("", 0)
    assert name == NAME
    assert size > 800
    with pytest.raises(NotFoundError):
        operation.uninstall("other", folder, Silent())
    assert interrupted_in(folder)
    operation.uninstall(NAME, folder, Silent())
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("content", [b"", b"[]", b'{"name": 1}', b'{"name": "\\u001b[2Ktown"}', b'{"name": "../town"}'])
def test_what_an_interrupted_copy_calls_itself_is_no_more_than_a_name(folder: Path, content: bytes) -> None:
    (folder / STAGING).mkdir(parents=True)
    (folder / STAGING / "bundle.json").write_bytes(content)
    assert interrupted_in(folder) == (None, len(content))


def test_uninstall_leaves_a_folder_that_was_there_before(
    bundle: Callable[..., Path], folder: Path, tmp_path: Path
) -> None:
    source = bundle("1.0.0", 1)
    folder.mkdir(parents=True)
    before = snapshot(tmp_path)
    install(source, folder)
    operation.uninstall(NAME, folder, Silent())
    assert snapshot(tmp_path) == before


def test_other_programs_folders_are_left_alone(bundle: Callable[..., Path], folder: Path, tmp_path: Path) -> None:
    for name in (
        "pyenv/versions/3.11.1",
        "pyenv/bin",
        "only/versions/2-1.0.0",
        "only/doc",
        "bare/versions/tool",
        ".trash",
    ):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_text(name)
    before = snapshot(folder)
    install(bundle("1.0.0", 1), folder)
    install(bundle("1.1.0", 2), folder)
    operation.uninstall(NAME, folder, Silent())
    assert snapshot(folder) == before


def test_name_that_is_not_installed_is_answered_with_those_that_are(bundle: Callable[..., Path], folder: Path) -> None:
    install(bundle("1.0.0", 1), folder)
    for name in ("school", "..", "../town-library"):
        with pytest.raises(NotFoundError, match="there: town-library"):
            operation.uninstall(name, folder, Silent())


def test_list_shows_version_release_the_one_before_and_the_highest(bundle: Callable[..., Path], folder: Path) -> None:
    for number in (1, 2):
        install(bundle(f"1.{number}.0", number), folder)
    rollback(folder)
    (found,) = installed(folder)
    shown = {key: found[key] for key in ("name", "version", "release", "previous", "highest_release")}
    assert shown == {
        "name": NAME,
        "version": "1.1.0",
        "release": 1,
        "previous": "1.2.0",
        "highest_release": 2,
    }
