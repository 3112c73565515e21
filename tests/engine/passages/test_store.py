"""States on the disk: what is right is found, what is wrong is removed, and there is never too much of it."""

import os
from pathlib import Path

import pytest

from publicai_edge import digest
from publicai_edge.engine.passages import store as states
from publicai_edge.engine.passages.store import Key, StateStore
from tests.engine.passages.states import state

FINGERPRINT, OTHER = "a" * 64, "b" * 64
BEGINNING = "c" * 64
TOKENS = tuple(range(10))


def key(name: str) -> Key:
    return Key(BEGINNING, digest.of_bytes(name.encode()))


def opened(folder: Path, *, fingerprint: str = FINGERPRINT, room: int = 1 << 20, compress: bool = True) -> StateStore:
    return StateStore(folder, fingerprint, room, compress=compress)


def place(folder: Path) -> Path:
    (found,) = states.files(folder)
    return found


@pytest.mark.parametrize("exact", [True, False])
def test_what_was_kept_is_found_by_the_next_process(tmp_path: Path, exact: bool) -> None:
    assert opened(tmp_path).write(key("one"), TOKENS, state(), exact=exact)
    found = opened(tmp_path).read(key("one"), TOKENS, 5)
    assert found is not None
    assert (bytes(found) == state()) == exact
    assert opened(tmp_path).read(key("two"), TOKENS, 5) is None


DAMAGE = ["cut", "flipped", "emptied", "longer", "not of this store", "a folder", "a pipe"]


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_cannot_be_trusted_is_never_used(tmp_path: Path, damage: str) -> None:
    opened(tmp_path).write(key("one"), TOKENS, state())
    file = place(tmp_path)
    data = bytearray(file.read_bytes())
    match damage:
        case "cut":
            file.write_bytes(data[: len(data) // 2])
        case "flipped":
            data[-40] ^= 4
            file.write_bytes(data)
        case "emptied":
            file.write_bytes(b"")
        case "longer":
            file.write_bytes(data + b"\0")
        case "not of this store":
            file.write_bytes(b"x" * 5000)
        case "a folder":
            file.unlink()
            file.mkdir()
        case "a pipe":
            file.unlink()
            os.mkfifo(file)
    assert opened(tmp_path).read(key("one"), TOKENS, 5) is None


def test_a_damaged_file_makes_room_for_a_whole_one(tmp_path: Path) -> None:
    opened(tmp_path).write(key("one"), TOKENS, state())
    place(tmp_path).write_bytes(b"x" * 5000)
    assert opened(tmp_path).read(key("one"), TOKENS, 5) is None
    assert not list(states.files(tmp_path))


@pytest.mark.parametrize("wrong", ["tokens", "position", "engine", "another's file"])
def test_a_state_of_something_else_is_never_used(tmp_path: Path, wrong: str) -> None:
    opened(tmp_path).write(key("one"), TOKENS, state())
    asked, tokens, position, fingerprint = key("one"), TOKENS, 5, FINGERPRINT
    match wrong:
        case "tokens":
            tokens = (*TOKENS[:-1], 99)
        case "position":
            position = 6
        case "engine":
            fingerprint = OTHER
        case "another's file":
            asked = key("two")
            place(tmp_path).rename(place(tmp_path).with_name(f"{asked.passage}.kv"))
    assert opened(tmp_path, fingerprint=fingerprint).read(asked, tokens, position) is None


def test_no_more_than_the_budget_is_taken_and_what_was_listed_stays(tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.write(key("0"), TOKENS, state())
    size = first.used_bytes
    room = 3 * size + size // 2
    filled = opened(tmp_path, room=room)
    kept = [filled.write(key(str(number)), TOKENS, state()) for number in range(1, 6)]
    assert kept == [True, True, True, False, False], "the one that was not listed went, and then there was no room"
    assert filled.read(key("0"), TOKENS, 5) is None
    assert sum(file.stat().st_size for file in states.files(tmp_path)) <= room


def test_what_was_listed_longest_ago_goes_first(tmp_path: Path) -> None:
    before = opened(tmp_path)
    for number in range(3):
        before.write(key(str(number)), TOKENS, state())
    size = before.used_bytes // 3
    for number, file in enumerate(sorted(states.files(tmp_path), key=lambda file: file.stat().st_mtime)):
        os.utime(file, (1000 + number, 1000 + number))
    oldest = min(states.files(tmp_path), key=lambda file: file.stat().st_mtime)
    now = opened(tmp_path, room=3 * size + 5)
    assert now.touch(key("1"))
    assert now.write(key("new"), TOKENS, state())
    assert not oldest.exists() or oldest.stem == key("1").passage
    assert now.touch(key("1"))


def test_a_question_leaves_no_trace_of_what_it_used(tmp_path: Path) -> None:
    opened(tmp_path).write(key("one"), TOKENS, state())
    os.utime(place(tmp_path), (1000, 1000))
    assert opened(tmp_path).read(key("one"), TOKENS, 5)
    assert place(tmp_path).stat().st_mtime == 1000
    assert place(tmp_path).stat().st_atime == 1000, "relatime notes the first reading after a writing"


def test_a_bundle_tells_no_more_of_what_was_asked(tmp_path: Path) -> None:
    opened(tmp_path / "bundle").write(key("one"), TOKENS, state())
    os.utime(place(tmp_path / "bundle"), (1000, 1000))
    store = StateStore(tmp_path / "own", FINGERPRINT, 1 << 20, bundled=tmp_path / "bundle")
    assert store.touch(key("one"))
    assert store.read(key("one"), TOKENS, 5)
    assert place(tmp_path / "bundle").stat().st_atime == 1000


def test_a_smaller_budget_holds_at_once(tmp_path: Path) -> None:
    before = opened(tmp_path)
    for number in range(4):
        before.write(key(str(number)), TOKENS, state())
    size = before.used_bytes // 4
    assert opened(tmp_path, room=2 * size + 5).used_bytes <= 2 * size + 5
    assert len(list(states.files(tmp_path))) == 2


@pytest.mark.parametrize("damage", ["a byte", "cut", "empty", "another's", "link", "folder"])
def test_what_is_damaged_is_found_when_it_is_listed(tmp_path: Path, damage: str) -> None:
    """Else the first patron who needs it waits; and what was made anew would tell what was asked."""
    store = opened(tmp_path)
    store.write(key("one"), TOKENS, state())
    store.write(key("two"), TOKENS, state())
    file = tmp_path / FINGERPRINT / key("one").beginning / f"{key('one').passage}.kv"
    data, other = file.read_bytes(), file.with_name(f"{key('two').passage}.kv").read_bytes()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(data)
    os.utime(elsewhere, (1000, 1000))
    file.unlink()
    if damage == "link":
        file.symlink_to(elsewhere)
    elif damage == "folder":
        file.mkdir()
    else:
        changed = {"a byte": data[:-1] + bytes([data[-1] ^ 1]), "cut": data[:100], "empty": b"", "another's": other}
        file.write_bytes(changed[damage])
    assert not opened(tmp_path).touch(key("one"))
    assert opened(tmp_path).touch(key("two"))
    assert elsewhere.stat().st_mtime == 1000
    assert file.is_dir() or not file.is_symlink()


def test_states_of_a_removed_passage_go_whatever_they_were_made_by(tmp_path: Path) -> None:
    opened(tmp_path).write(key("one"), TOKENS, state())
    opened(tmp_path).write(key("two"), TOKENS, state())
    opened(tmp_path, fingerprint=OTHER).write(key("one"), TOKENS, state())
    assert states.remove(tmp_path, [key("one").passage]) == 2
    assert [file.stem for file in states.files(tmp_path)] == [key("two").passage]
    with pytest.raises(ValueError, match="not a sha256 digest"):
        states.remove(tmp_path, ["../../x"])


def test_what_an_interrupted_write_left_is_removed(tmp_path: Path) -> None:
    opened(tmp_path).write(key("one"), TOKENS, state())
    from publicai_edge import atomic

    left = place(tmp_path).with_name(atomic.temp_prefix().replace(str(os.getpid()), "999999999") + "x")
    left.write_bytes(b"half")
    opened(tmp_path)
    assert not left.exists()


def test_a_bundles_states_are_used_and_never_changed(tmp_path: Path) -> None:
    bundle, own = tmp_path / "bundle", tmp_path / "own"
    opened(bundle).write(key("one"), TOKENS, state())
    store = StateStore(own, FINGERPRINT, 1 << 20, bundled=bundle)
    assert store.touch(key("one"))
    assert store.read(key("one"), TOKENS, 5)
    assert not own.exists()
    place(bundle).write_bytes(b"damaged")
    assert store.read(key("one"), TOKENS, 5) is None
    assert not store.touch(key("one")), "it is made anew"
    assert store.write(key("one"), TOKENS, state())
    assert store.read(key("one"), TOKENS, 5)
    assert place(bundle).read_bytes() == b"damaged"
