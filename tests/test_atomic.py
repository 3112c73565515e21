"""Places for results: refused before the work where they would cost an input or cannot be written."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from publicai_edge import atomic
from publicai_edge.errors import HostError, RecipeError

ALIASES: dict[str, Callable[[Path, Path], object]] = {
    "symbolic link": lambda source, target: target.symlink_to(source),
    "hard link": os.link,
}


@pytest.mark.parametrize("alias", ALIASES)
def test_a_result_may_not_take_its_sources_place_by_another_name(tmp_path: Path, alias: str) -> None:
    source, target = tmp_path / "model.gguf", tmp_path / "other.gguf"
    source.write_bytes(b"weights")
    ALIASES[alias](source, target)
    with pytest.raises(RecipeError, match=r"would overwrite .*model\.gguf.*: .*other\.gguf is the same file"):
        atomic.check_target(target, source)


def test_a_relative_path_to_the_source_is_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "model.gguf"
    source.write_bytes(b"weights")
    with pytest.raises(RecipeError, match=r"would overwrite .*: model\.gguf is the same file"):
        atomic.check_target(Path("model.gguf"), source)
    atomic.check_target(Path("other.gguf"), source)
    atomic.check_target(Path("new/folder/other.gguf"), source)
    assert list(tmp_path.iterdir()) == [source]


def test_a_folder_is_no_file_for_a_result(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="is a folder") as caught:
        atomic.check_target(tmp_path, tmp_path / "model.gguf")
    assert str(tmp_path / "result.gguf") in str(caught.value.hint)


def test_a_file_is_no_folder_for_results(tmp_path: Path) -> None:
    (tmp_path / "afile").write_text("text")
    for folder in (tmp_path / "afile", tmp_path / "afile" / "deeper"):
        with pytest.raises(HostError, match=r"afile is a file") as caught:
            atomic.check_folder(folder)
        assert "another folder" in str(caught.value.hint)


def test_work_that_fails_leaves_no_empty_folder_but_what_others_put_there(tmp_path: Path) -> None:
    for kept in (False, True):
        with pytest.raises(ZeroDivisionError), atomic.temporary_folder(tmp_path / "new" / "deep") as folder:
            (folder / "half").write_text("written")
            if kept:
                (tmp_path / "new" / "other").write_text("of someone else")
            _ = 1 / 0
        assert [path.name for path in tmp_path.rglob("*")] == (["new", "other"] if kept else [])


def test_a_folder_that_was_there_stays_where_work_fails(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(ZeroDivisionError), atomic.temporary_folder(tmp_path / "there"):
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == [tmp_path / "there"]


def test_what_is_not_there_is_told_with_the_next_step(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place, said in (("none/x", "some part is not there"), ("file/x", "a file, not a folder"), ("", "Name a file")):
        with pytest.raises(HostError) as caught, atomic.host_errors("read", tmp_path / place):
            (tmp_path / place).read_bytes()
        assert said in (caught.value.hint or "")
