"""A folder is held against other runs, and work goes on where folders cannot be locked."""

import errno
import fcntl
from pathlib import Path

import pytest

from publicai_edge.bundle.lock import held
from publicai_edge.errors import HostError

BUSY = HostError("another run works there")


def test_a_second_run_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    with held(tmp_path, BUSY), pytest.raises(HostError, match="another run"), held(tmp_path, BUSY):
        pass
    with held(tmp_path, BUSY):
        pass


def _failing(number: int) -> object:
    def flock(*_: object) -> None:
        raise OSError(number, "as the file system says")

    return flock


def test_where_folders_cannot_be_locked_work_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", _failing(errno.EBADF))
    with held(tmp_path, BUSY):
        (tmp_path / "written").touch()
    assert (tmp_path / "written").exists()


def test_any_other_error_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", _failing(errno.EIO))
    with pytest.raises(OSError, match="as the file system says"), held(tmp_path, BUSY):
        pass
