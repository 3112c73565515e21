"""Updates: they carry what changed, make the new bundle to the byte, and anything wrong with them is refused."""

import json
import shutil
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from publicai_edge.bundle.delta import chunks, compare, document
from publicai_edge.bundle.delta.beside import write_beside
from publicai_edge.bundle.delta.container import open_update
from publicai_edge.bundle.delta.rebuild import UpdateSource
from publicai_edge.bundle.delta.write import write
from publicai_edge.bundle.install import operation
from publicai_edge.bundle.install.acceptance import Acceptance
from publicai_edge.bundle.install.operation import Rules
from publicai_edge.bundle.install.staging import FolderSource
from publicai_edge.errors import BundleError, HostError, PublicAIError, SignatureError
from publicai_edge.progress import Progress, Silent, Task
from tests.bundle.synthetic import noise, write_bundle

UNSIGNED = Acceptance(Silent(), (), unsigned=True)
BOOK = "data/knowledge/book.bin"


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two versions of a bundle with the same model; of one large file a part changed, another one moved."""
    book = noise("book", 200_000)
    other = book[:80_000] + b"a new paragraph" + book[80_000:]
    same = {"model": noise("model", 90_000)}
    old = write_bundle(
        tmp_path / "b", version="1.0.0", release=1, extra={BOOK: book, "data/a.bin": noise("a", 5000)}, **same
    )
    new = write_bundle(
        tmp_path / "b", version="1.1.0", release=2, extra={BOOK: other, "data/z.bin": noise("a", 5000)}, **same
    )
    return old, new


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_update_carries_what_changed_and_gives_the_new_bundle_to_the_byte(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    old, new = pair
    done = write(old, new, tmp_path / "update.zip", Silent())
    assert done.size < 15_000
    assert done.worth_it
    (tmp_path / "kiosk").mkdir()
    mine = tmp_path / "kiosk" / old.name
    old.rename(mine)
    made = write_beside(UpdateSource.open(tmp_path / "update.zip", mine), mine.parent, UNSIGNED, Silent())
    assert files(made) == files(new)
    assert (made / "start").stat().st_mode & 0o777 == 0o755
    assert {path.name for path in mine.parent.iterdir()} == {mine.name, made.name}


def test_what_a_damaged_update_was_put_together_to_is_not_left_beside(pair: tuple[Path, Path], tmp_path: Path) -> None:
    class Damaged(UpdateSource):
        def fill(self, target: Path, progress: Progress) -> None:
            super().fill(target, progress)
            raise BundleError("The update is damaged.")

    old, new = pair
    write(old, new, tmp_path / "update.zip", Silent())
    alone = tmp_path / "alone"
    alone.mkdir()
    mine = shutil.copytree(old, alone / old.name)
    source = UpdateSource.open(tmp_path / "update.zip", mine)
    with pytest.raises(BundleError, match="damaged"):
        write_beside(Damaged(source.path, source.update, source.old), alone, UNSIGNED, Silent())
    assert [path.name for path in alone.iterdir() if path.is_dir()] == [old.name]


def test_two_runs_that_write_beside_do_not_mix(pair: tuple[Path, Path], tmp_path: Path) -> None:
    old, new = pair
    write(old, new, tmp_path / "update.zip", Silent())
    (tmp_path / "kiosk").mkdir()
    mine = old.rename(tmp_path / "kiosk" / old.name)

    class Second(UpdateSource):
        """While it fills its folder, another run begins."""

        def fill(self, target: Path, progress: Progress) -> None:
            super().fill(target, progress)
            before = files(mine.parent)
            with pytest.raises(HostError, match="at work"):
                write_beside(UpdateSource.open(tmp_path / "update.zip", mine), mine.parent, UNSIGNED, Silent())
            assert files(mine.parent) == before

    source = UpdateSource.open(tmp_path / "update.zip", mine)
    made = write_beside(Second(source.path, source.update, source.old), mine.parent, UNSIGNED, Silent())
    assert files(made) == files(new)


def test_same_two_bundles_give_the_same_update(pair: tuple[Path, Path], tmp_path: Path) -> None:
    for name in ("one.zip", "two.zip"):
        write(*pair, tmp_path / name, Silent())
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_update_goes_through_the_switch_of_an_install_and_is_rolled_back(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    old, new = pair
    folder = tmp_path / "opt"
    write(old, new, tmp_path / "update.zip", Silent())
    done = operation.install(FolderSource(old), folder, Rules(UNSIGNED), Silent())
    source = UpdateSource.open(tmp_path / "update.zip", done.layout.current.resolve())
    assert operation.install(source, folder, Rules(UNSIGNED), Silent()).changed
    assert files(done.layout.current) == files(new)
    again = UpdateSource.open(tmp_path / "update.zip", done.layout.current.resolve())
    assert not operation.install(again, folder, Rules(UNSIGNED), Silent()).changed, "a rerun is no error"
    assert operation.rollback(done.layout.name, folder, Rules(UNSIGNED), Silent()).changed
    assert files(done.layout.current) == files(old)


def test_update_for_another_version_is_refused_by_name(pair: tuple[Path, Path], tmp_path: Path) -> None:
    old, new = pair
    write(old, new, tmp_path / "update.zip", Silent())
    other = write_bundle(tmp_path / "b", version="0.9.0", release=1)
    with pytest.raises(BundleError, match=r"leads from town-library 1\.0\.0"):
        UpdateSource.open(tmp_path / "update.zip", other)


def test_update_between_two_names_is_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="school"):
        write(pair[0], write_bundle(tmp_path / "b", name="school"), tmp_path / "update.zip", Silent())


def test_update_from_a_bundle_to_itself_is_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="the same content"):
        write(pair[0], pair[0], tmp_path / "update.zip", Silent())
    assert not (tmp_path / "update.zip").exists()


def test_full_copy_that_is_as_small_is_said(tmp_path: Path) -> None:
    model = {number: noise(str(number), 300_000) for number in (1, 2)}
    old, new = (write_bundle(tmp_path, version=f"1.{n}.0", release=n, model=model[n]) for n in (1, 2))
    assert not write(old, new, tmp_path / "update.zip", Silent()).worth_it


def test_signature_of_the_new_bundle_is_asked_for(pair: tuple[Path, Path], tmp_path: Path) -> None:
    old, new = pair
    write(old, new, tmp_path / "update.zip", Silent())
    source = UpdateSource.open(tmp_path / "update.zip", old)
    judge = Acceptance(Silent(), ())
    for rules in (Rules(judge), Rules(judge, judge.foresee)):
        with pytest.raises(SignatureError):
            operation.install(source, tmp_path / "opt", rules, Silent())
        assert not (tmp_path / "opt").exists()


def rewritten(update: Path, target: Path, change: Callable[[dict[str, object]], object]) -> Path:
    """Write an update again with another ``update.json``."""
    with zipfile.ZipFile(update) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.infolist():
            data = old.read(member)
            if member.filename == document.FILE_NAME:
                value = json.loads(data)
                change(value)
                data = json.dumps(value).encode()
            new.writestr(member, data)
    return target


def entry(value: dict[str, object], path: str) -> dict[str, object]:
    return next(item for item in value["files"] if item["path"] == path)  # type: ignore[attr-defined]


HOSTILE: dict[str, Callable[[dict[str, object]], object]] = {
    "climbs out": lambda value: entry(value, BOOK).update(path="../../etc/passwd"),
    "absolute": lambda value: entry(value, BOOK).update(path="/etc/passwd"),
    "reads elsewhere": lambda value: entry(value, BOOK).update(source="../../etc/passwd"),
    "behind the end": lambda value: entry(value, BOOK).update(pieces=[[1 << 40, entry(value, BOOK)["size"]]]),
    "negative": lambda value: entry(value, BOOK).update(size=-1),
    "endless": lambda value: entry(value, BOOK).update(size=1 << 60),
    "pieces missing": lambda value: entry(value, BOOK).update(pieces=[]),
    "no digest": lambda value: entry(value, BOOK).update(sha256="x"),
    "twice": lambda value: value["files"].append(dict(entry(value, BOOK))),  # type: ignore[attr-defined]
    "case": lambda value: value["files"].append({**entry(value, BOOK), "path": BOOK.upper()}),  # type: ignore[attr-defined]
    "another format": lambda value: value.update(format=2),
    "a list": lambda value: value.update(files={}),
    "a file less": lambda value: value["files"].pop(),  # type: ignore[attr-defined]
}


@pytest.mark.parametrize("how", HOSTILE)
def test_hostile_update_is_refused_and_writes_nothing(how: str, pair: tuple[Path, Path], tmp_path: Path) -> None:
    old, new = pair
    write(old, new, tmp_path / "update.zip", Silent())
    bad = rewritten(tmp_path / "update.zip", tmp_path / "bad.zip", HOSTILE[how])
    before = set(tmp_path.rglob("*"))
    with pytest.raises(PublicAIError):
        operation.install(UpdateSource.open(bad, old), tmp_path / "opt", Rules(UNSIGNED), Silent())
    assert set(tmp_path.rglob("*")) == before


def carrying(place: Path, files: dict[str, bytes]) -> zipfile.ZipFile:
    """Write an update that carries these files whole; it is left open for more."""
    end = document.End("ab" * 32, "town-library", "1.0.0", 1)
    entries = tuple(document.Entry(path, len(data), "cd" * 32) for path, data in files.items())
    opened = zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED)
    opened.writestr(document.FILE_NAME, document.Update(end, end, entries).to_bytes())
    for path, data in files.items():
        opened.writestr(f"new/{path}", data)
    return opened


AGAINST_THE_RULES: dict[str, tuple[str, dict[str, bytes]]] = {
    "a device's name": ("Windows", {"data/aux.txt": b"x"}),
    "two compositions": ("one file on some systems", {"data/caf\u00e9": b"x", "data/cafe\u0301": b"y"}),
    "a file and a folder": ("as a file and as a folder", {"data/a": b"x", "data/a/b": b"y"}),
    "a bomb": ("times its size", {"data/zeros": bytes(40 << 20)}),
}


@pytest.mark.parametrize("how", AGAINST_THE_RULES)
def test_update_is_opened_by_the_rules_for_archives(how: str, tmp_path: Path) -> None:
    why, files = AGAINST_THE_RULES[how]
    carrying(tmp_path / "bad.zip", files).close()
    with pytest.raises(BundleError, match=why), open_update(tmp_path / "bad.zip"):
        pass
    carrying(tmp_path / "good.zip", {"data/a.txt": b"good"}).close()
    with open_update(tmp_path / "good.zip") as opened, opened.bytes_of(opened.update.entries[0]) as carried:
        assert b"".join(carried.read(4)) == b"good"


def test_members_of_an_update_that_lie_in_one_another_are_refused_before_they_are_read(tmp_path: Path) -> None:
    with carrying(tmp_path / "bad.zip", {"data/a": b"x", "data/b": b"y"}) as opened:
        opened.filelist[-1].header_offset = opened.filelist[-2].header_offset
    with pytest.raises(BundleError, match="lie in one another"), open_update(tmp_path / "bad.zip"):
        pass


def test_folder_or_a_size_that_the_list_does_not_have_is_refused(tmp_path: Path) -> None:
    for name, data in {"new/data/": b"", "new/data/b": b"longer"}.items():
        with carrying(tmp_path / "bad.zip", {"data/a": b"x"}) as opened:
            opened.writestr(name, data)
        with pytest.raises(BundleError, match=f"update.json lists: {name}"), open_update(tmp_path / "bad.zip"):
            pass


def test_damage_to_the_version_in_use_is_not_put_down_to_the_update(pair: tuple[Path, Path], tmp_path: Path) -> None:
    old, folder = pair[0], tmp_path / "opt"
    operation.install(FolderSource(old), folder, Rules(UNSIGNED), Silent())
    write(*pair, tmp_path / "update.zip", Silent())
    used = folder / "town-library" / "current"
    model = used / "data" / "model" / "model.gguf"
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    source = UpdateSource.open(tmp_path / "update.zip", used)
    with pytest.raises(BundleError, match=r"update\.zip makes of the version in use is not what was") as refused:
        operation.install(source, folder, Rules(UNSIGNED), Silent())
    assert f"`publicai-edge verify {used}`" in (refused.value.hint or "")


def test_update_that_no_kiosk_would_open_is_not_written(pair: tuple[Path, Path], tmp_path: Path) -> None:
    new = write_bundle(tmp_path / "b", version="1.2.0", release=3, extra={"data/aux.txt": b"x"})
    with pytest.raises(BundleError, match=r"No update can carry .*Windows"):
        write(pair[1], new, tmp_path / "update.zip", Silent())
    assert not (tmp_path / "update.zip").exists()


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_damaged_update_raises_only_our_own_errors(
    pair: tuple[Path, Path], tmp_path: Path, data: st.DataObject
) -> None:
    update = tmp_path / "update.zip"
    if not update.exists():
        write(*pair, update, Silent())
    raw = bytearray(update.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    bad = tmp_path / "bad.zip"
    bad.write_bytes(raw[: data.draw(st.integers(1, len(raw)))] if data.draw(st.booleans()) else raw)
    folder = tmp_path / "out"
    try:
        operation.install(UpdateSource.open(bad, pair[0]), folder, Rules(UNSIGNED), Silent())
    except PublicAIError:
        return
    operation.uninstall("town-library", folder, Silent())  # the damage did not matter: the result was checked


def test_chunks_cover_a_file_and_move_with_what_is_inserted(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    data = noise("chunks", 9 << 20)
    one.write_bytes(data)
    two.write_bytes(data[: 1 << 20] + b"inserted" + data[1 << 20 :])
    found = list(chunks.chunks(one, 4096, Task()))
    assert sum(chunk.length for chunk in found) == len(data)
    assert all(left.start + left.length == right.start for left, right in pairwise(found))
    assert max(chunk.length for chunk in found) <= 4 * 4096
    assert 2048 < len(data) / len(found) < 8192
    other = {chunk.digest for chunk in chunks.chunks(two, 4096, Task())}
    assert sum(chunk.digest not in other for chunk in found) <= 3
    assert compare.pieces(one, two, Task()) is not None
