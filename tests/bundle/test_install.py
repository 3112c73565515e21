"""Installing and updating: what is accepted, and how it gets in."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from publicai_edge.bundle.install import history, operation
from publicai_edge.bundle.install.acceptance import Acceptance
from publicai_edge.bundle.install.layout import STAGING, Identity, Layout
from publicai_edge.bundle.install.operation import Rules
from publicai_edge.bundle.install.staging import FolderSource
from publicai_edge.bundle.media.copy import copy
from publicai_edge.bundle.signing import pairs
from publicai_edge.bundle.signing.sign import sign
from publicai_edge.bundle.signing.trust import TrustedKey
from publicai_edge.errors import BundleError, EngineError, ExpiredError, HostError, SignatureError
from publicai_edge.progress import Silent
from tests.bundle.installing import NAME, UNSIGNED, in_use, install, snapshot

# What is accepted -----------------------------------------------------------------------------------------------------


def test_bundle_signed_by_a_trusted_key_is_installed_and_its_signer_is_logged(
    bundle: Callable[..., Path], folder: Path, tmp_path: Path
) -> None:
    _, public, key = pairs.make(tmp_path / "steward")
    source = bundle("1.0.0", 1)
    sign(source, pairs.load(tmp_path / "steward.pem"), Silent())
    done = install(source, folder, Rules(Acceptance(Silent(), [TrustedKey.from_file(public)])))
    assert done.signers == (key.fingerprint,)
    assert history.read(done.layout)[0]["signers"] == [key.fingerprint]


def test_unsigned_bundle_is_refused_before_anything_is_in_place(
    bundle: Callable[..., Path], folder: Path, tmp_path: Path
) -> None:
    _, public, _ = pairs.make(tmp_path / "steward")
    before = snapshot(tmp_path)
    source = bundle("1.0.0", 1)
    for keys in ((), (TrustedKey.from_file(public),)):
        with pytest.raises(SignatureError):
            install(source, folder, Rules(Acceptance(Silent(), keys)))
        assert not folder.exists()
    assert {path for path in snapshot(tmp_path) if not path.startswith("bundles")} == set(before)


def test_unsigned_and_its_reason_are_written_into_the_log(bundle: Callable[..., Path], folder: Path) -> None:
    done = install(bundle("1.0.0", 1), folder, Rules(UNSIGNED, note={"unsigned": True}))
    assert history.read(done.layout)[0]["unsigned"] is True


def test_bundle_past_its_last_day_is_refused(bundle: Callable[..., Path], folder: Path) -> None:
    from datetime import date

    with pytest.raises(ExpiredError):
        install(bundle("1.0.0", 1, valid_until=date(2001, 1, 1)), folder)


class NeverCopied(FolderSource):
    def fill(self, target: Path, progress: object) -> None:
        raise AssertionError("it was copied")


@pytest.mark.parametrize(
    ("case", "refused"),
    [
        ("no key is trusted", SignatureError),
        ("another key signed", SignatureError),
        ("one of two signed", SignatureError),
        ("past its last day", ExpiredError),
        ("older", BundleError),
    ],
)
def test_what_needs_no_copy_to_be_refused_is_not_copied(
    bundle: Callable[..., Path], folder: Path, tmp_path: Path, case: str, refused: type[Exception]
) -> None:
    from datetime import date

    _, public, _ = pairs.make(tmp_path / "steward")
    keys = [TrustedKey.from_file(public)]
    if case == "older":
        newer = bundle("1.1.0", 2)
        sign(newer, pairs.load(tmp_path / "steward.pem"), Silent())
        install(newer, folder, Rules(Acceptance(Silent(), keys)))
    until = {"valid_until": date(2001, 1, 1)} if case == "past its last day" else {}
    source = bundle("1.0.0", 1, signatures_required=2 if case == "one of two signed" else 0, **until)
    signer = "steward"
    if case == "another key signed":
        pairs.make(tmp_path / "other")
        signer = "other"
    sign(source, pairs.load(tmp_path / f"{signer}.pem"), Silent())
    before = snapshot(folder) if folder.exists() else None
    judge = Acceptance(Silent(), [] if case == "no key is trusted" else keys)
    with pytest.raises(refused) as early:
        operation.install(NeverCopied(source), folder, Rules(judge, judge.foresee), Silent())
    with pytest.raises(refused) as late:
        install(source, folder, Rules(judge))
    assert str(early.value) == str(late.value), "and with the same words as the check of the copy"
    assert (snapshot(folder) if folder.exists() else None) == before


def test_what_is_exchanged_after_the_first_look_is_refused_as_copied(
    bundle: Callable[..., Path], folder: Path, tmp_path: Path
) -> None:
    install(bundle("1.1.0", 2), folder)
    older, newer = bundle("1.0.0", 1), bundle("1.2.0", 3)

    class Exchanged(FolderSource):
        def fill(self, target: Path, progress: object) -> None:
            FolderSource(older).fill(target, Silent())

    with pytest.raises(BundleError, match="release 1, and release 2 was installed"):
        operation.install(Exchanged(newer), folder, Rules(UNSIGNED, UNSIGNED.foresee), Silent())
    assert in_use(folder) == "1.1.0"


def test_damaged_copy_is_refused_and_leaves_the_old_version(bundle: Callable[..., Path], folder: Path) -> None:
    install(bundle("1.0.0", 1), folder)
    new = bundle("1.1.0", 2)
    (new / "data" / "model" / "model.gguf").write_bytes(b"something else")
    before = snapshot(folder)
    with pytest.raises(BundleError, match=r"model\.gguf") as refused:
        install(new, folder)
    assert snapshot(folder) == before
    assert refused.value.message.startswith(f"What was copied from {new} is not what was built")
    assert f"`publicai-edge verify {new}`" in (refused.value.hint or "")


def test_link_in_a_bundle_is_refused(bundle: Callable[..., Path], folder: Path, tmp_path: Path) -> None:
    source = bundle("1.0.0", 1)
    (source / "data" / "more").symlink_to(tmp_path)
    with pytest.raises(BundleError, match="link"):
        install(source, folder)


@pytest.mark.parametrize("path", ["tagmanifest-sha256.txt", "manifest-sha256.txt", "data/licenses/model.txt"])
@pytest.mark.parametrize("link", [False, True])
def test_pipe_is_not_waited_for_and_a_link_to_an_endless_file_not_followed(
    bundle: Callable[..., Path], folder: Path, tmp_path: Path, path: str, link: bool
) -> None:
    source = bundle("1.0.0", 1)
    (source / path).unlink()
    (source / path).symlink_to("/dev/zero") if link else os.mkfifo(source / path)
    with pytest.raises(BundleError, match="no links"):
        install(source, folder)
    with pytest.raises(BundleError, match="no links"):
        copy(source, tmp_path, Silent())
    assert not folder.exists()


def test_version_that_does_not_start_never_comes_into_use(bundle: Callable[..., Path], folder: Path) -> None:
    install(bundle("1.0.0", 1), folder)
    seen: list[str | None] = []

    def fails(_root: Path) -> None:
        seen.append(in_use(folder))
        raise EngineError("The model does not load.")

    with pytest.raises(EngineError):
        install(bundle("1.1.0", 2), folder, Rules(UNSIGNED, test=fails))
    assert seen == ["1.0.0"]
    assert in_use(folder) == "1.0.0"
    assert Layout(folder, NAME).entries() == ["1-1.0.0"]
    assert history.read(Layout(folder, NAME))[-1]["action"] == "refused"
    assert install(bundle("1.1.0", 2), folder).changed


def test_change_of_the_original_does_not_reach_what_is_installed(bundle: Callable[..., Path], folder: Path) -> None:
    source = bundle("1.0.0", 1)
    done = install(source, folder)
    for path in source.rglob("*"):
        if path.is_file():
            with path.open("r+b") as stream:
                stream.write(b"changed")
    assert UNSIGNED(done.layout.current).version == "1.0.0"


# How it gets in -------------------------------------------------------------------------------------------------------


def test_install_of_what_is_in_use_changes_nothing_and_mends_what_is_damaged(
    bundle: Callable[..., Path], folder: Path
) -> None:
    source = bundle("1.0.0", 1)
    done = install(source, folder)
    before = snapshot(folder)
    assert not install(source, folder).changed
    assert snapshot(folder) == before
    (done.layout.current / "data" / "model" / "model.gguf").write_bytes(b"rotten")
    assert install(source, folder).changed
    assert UNSIGNED(done.layout.current).version == "1.0.0"


def test_interrupted_copy_is_gone_on_with(bundle: Callable[..., Path], folder: Path) -> None:
    source = bundle("1.0.0", 1)

    class Cut(FolderSource):
        def fill(self, target: Path, progress: object) -> None:
            super().fill(target, Silent())
            (target / "data" / "knowledge" / "knowledge.sqlite").write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        operation.install(Cut(source), folder, Rules(UNSIGNED), Silent())
    kept = folder / STAGING / "data" / "model" / "model.gguf"
    inode = kept.stat().st_ino
    done = install(source, folder)
    assert (done.layout.current / "data" / "model" / "model.gguf").stat().st_ino == inode, "it was copied again"
    assert not (folder / STAGING).exists()


def test_second_run_at_the_same_time_is_told_to_wait(bundle: Callable[..., Path], folder: Path) -> None:
    folder.mkdir(parents=True)
    handle = os.open(folder, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(HostError, match="at work"):
        install(bundle("1.0.0", 1), folder)
    os.close(handle)
    assert install(bundle("1.0.0", 1), folder).changed


def test_lack_of_room_is_said_before_anything_is_copied(
    bundle: Callable[..., Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = bundle("1.0.0", 1)
    monkeypatch.setattr(FolderSource, "size", lambda _: 1 << 60)
    with pytest.raises(HostError, match="are free"):
        install(source, folder)
    assert not folder.exists()


def test_refused_version_gives_its_room_back_where_no_line_can_be_written(
    bundle: Callable[..., Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = install(bundle("1.0.0", 1), folder).layout

    def full(*_: object) -> None:
        raise HostError("The disk is full.")

    monkeypatch.setattr(history.durable, "append_line", full)
    with pytest.raises(HostError, match="disk is full"):
        install(bundle("1.1.0", 2), folder)
    assert layout.entries() == ["1-1.0.0"]


def test_folder_that_was_taken_away_and_made_anew_is_not_worked_in_under_the_old_ones_lock(
    bundle: Callable[..., Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir(parents=True)
    lock = fcntl.flock

    def late(handle: int, how: int) -> None:
        folder.rmdir()
        folder.mkdir()
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(HostError, match="at work"):
        install(bundle("1.0.0", 1), folder)


def test_services_own_user_may_read_what_root_installed_under_a_close_umask(
    bundle: Callable[..., Path], folder: Path
) -> None:
    source, before = bundle("1.0.0", 1), os.umask(0o077)
    try:
        done = install(source, folder)
    finally:
        os.umask(before)
    places = [folder.parent, folder, done.layout.home, done.layout.versions, *done.layout.in_use().rglob("*")]
    assert {place.stat().st_mode & 0o077 for place in places if place.is_dir()} == {0o055}
    assert all(place.stat().st_mode & 0o044 == 0o044 for place in places)


def test_copy_is_closed_to_others_until_it_is_checked(bundle: Callable[..., Path], folder: Path) -> None:
    modes: list[int] = []

    def check(root: Path) -> Identity:
        modes.append(root.stat().st_mode & 0o777)
        return UNSIGNED(root)

    done = install(bundle("1.0.0", 1), folder, Rules(check))
    assert (modes, done.layout.in_use().stat().st_mode & 0o777) == ([0o700], 0o755)
