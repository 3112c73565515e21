"""States of passages on the disk: one file each, found by what it depends on, within a budget.

A file's place says what its state is of: ``FINGERPRINT/BEGINNING/PASSAGE.kv``, all of them digests: of the engine, the
model and the form of its cache; of the tokens before the passage (the service's prompt); of the passage's text. The
file says it again, with the passage's tokens and a digest of all its bytes, and is used only when all of that is right:
llama.cpp may end the process over a damaged state.

Which file goes when there is no room: the one that was listed longest ago. A file is listed when it is written, and
when :meth:`StateStore.touch` is told that it is still wanted; reading it for a patron's question changes nothing on the
disk, because times of use, and the files that are left after an eviction by use, would tell what was asked. So a file
is read without its time of access being noted, where the system allows that (Linux, to a file's owner), and what is
damaged is found when it is listed, whether anybody asks for it or not.

Invariants: a file under its name is whole, or refused; nothing here is of a patron; no more than the budget is taken.
"""

import contextlib
import json
import os
import stat
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from publicai_edge import atomic, digest
from publicai_edge.engine.passages import packing
from publicai_edge.erasing import erase

SUFFIX = ".kv"
_MARK = b"publicai-edge passage state 1\n"
_DIGEST = 64  # of what follows it, in hexadecimal
_LENGTH = struct.Struct("<I")
_MOST_HEAD = 1 << 20
_MOST_BYTES = 4 << 30


@dataclass(frozen=True)
class Key:
    """Which state: ``beginning`` and ``passage`` are digests; the beginning's own state has itself for its passage."""

    beginning: str
    passage: str


@dataclass
class _Entry:
    size: int
    listed: float


class StateStore:
    """The states of one engine and model in a folder that others may share.

    Args:
        folder: the folder; it is made when there is something to keep.
        fingerprint: digest of the engine, the model and the form of its cache.
        disk_bytes: how much all files may take.
        compress: whether to pack states; what it costs is measured by `benchmarks/passages.py`.
        bundled: another such folder, a bundle's, that is looked into as well and never written to.
    """

    def __init__(
        self,
        folder: Path,
        fingerprint: str,
        disk_bytes: int,
        *,
        compress: bool = True,
        bundled: Path | None = None,
    ) -> None:
        self._bundled = bundled / digest.check(fingerprint) if bundled else None
        self._useless: set[Path] = set()  # of those in the bundle
        self._root = folder
        self._folder = folder / digest.check(fingerprint)
        self._fingerprint = fingerprint
        self._disk_bytes = disk_bytes
        self._compress = compress
        self._entries: dict[Path, _Entry] = {}
        self._listed: set[Path] = set()
        self._look()
        self._make_room(0, folder)  # the budget may be smaller than it was

    @property
    def used_bytes(self) -> int:
        """What all files take."""
        return sum(entry.size for entry in self._entries.values())

    def read(self, key: Key, tokens: Sequence[int], position: int) -> bytearray | None:
        """Return a state; None where there is none. A file that cannot be trusted is removed.

        Args:
            key: which.
            tokens: the tokens it has to stand for.
            position: the position of the first of them.
        """
        place, bundled = self._place(key), self._in_bundle(key)
        try:
            data = _bytes(place)
            state = None if data is None else self._state(data, key, tokens, position)
        except OSError:
            return self._from_bundle(bundled, key, tokens, position) if bundled else None
        if state is None:
            self._remove(place)
        return state

    def _in_bundle(self, key: Key) -> Path | None:
        place = self._bundled and _path(self._bundled, key)
        return place if place and place not in self._useless and place.is_file() else None

    def _from_bundle(self, place: Path, key: Key, tokens: Sequence[int], position: int) -> bytearray | None:
        state = None
        with contextlib.suppress(OSError):
            data = _bytes(place)
            state = None if data is None else self._state(data, key, tokens, position)
        if state is None:
            self._useless.add(place)  # it is made anew in the kiosk's own folder
        return state

    def write(self, key: Key, tokens: Sequence[int], state: bytes | bytearray, *, exact: bool = False) -> bool:
        """Keep a state; False where there is no room for it beside those that were listed.

        Args:
            key: which.
            tokens: the tokens it stands for.
            state: as a context with one stream gave it.
            exact: keep it as it is, without packing.

        Raises:
            HostError: the disk is full, or refuses.
        """
        packed = packing.pack(state) if self._compress and not exact else None
        head = json.dumps({**self._head(key), "packed": packed is not None, "tokens": len(tokens)}).encode()
        body = _LENGTH.pack(len(head)) + head + struct.pack(f"<{len(tokens)}i", *tokens)
        body += bytes(state) if packed is None else packed
        data = _MARK + digest.of_bytes(body).encode() + body
        place = self._place(key)
        if not self._make_room(len(data) - self._entries.get(place, _Entry(0, 0)).size, place):
            return False
        atomic.write_bytes(place, data)
        self._entries[place] = _Entry(len(data), place.stat().st_mtime)
        self._listed.add(place)
        return True

    def touch(self, key: Key) -> bool:
        """Note that a state is still wanted; return whether there is a whole one. What is damaged is removed."""
        place = self._place(key)
        try:
            if not self._whole(place, key):
                self._remove(place)
                raise FileNotFoundError(place)
            os.utime(place, follow_symlinks=False)
        except OSError:
            return self._touch_bundled(key)
        found = place.lstat()
        self._entries[place] = _Entry(found.st_size, found.st_mtime)
        self._listed.add(place)
        return True

    def _touch_bundled(self, key: Key) -> bool:
        place = self._in_bundle(key)
        if place is None:
            return False
        with contextlib.suppress(OSError):
            if self._whole(place, key):
                return True
        self._useless.add(place)
        return False

    def _whole(self, place: Path, key: Key) -> bool:
        """Say whether a file is as it was written, and of this key; its tokens are compared when it is used."""
        data = _bytes(place)
        found = None if data is None else _head_and_rest(data)
        return found is not None and self._head(key).items() <= found[0].items()

    def _place(self, key: Key) -> Path:
        return _path(self._folder, key)

    def _head(self, key: Key) -> dict[str, str]:
        return {"fingerprint": self._fingerprint, "beginning": key.beginning, "passage": key.passage}

    def _state(self, data: bytes, key: Key, tokens: Sequence[int], position: int) -> bytearray | None:
        """Return the state in a file's bytes; None where anything in it is not as it should be."""
        found = _head_and_rest(data)
        if found is None:
            return None
        head, rest = found
        try:
            packed, expected = head.pop("packed"), {**self._head(key), "tokens": len(tokens)}
            if head != expected or list(struct.unpack_from(f"<{len(tokens)}i", rest)) != list(tokens):
                return None
            body = bytes(rest[4 * len(tokens) :])
            state = packing.unpack(body) if packed else bytearray(body)
            at_all = packing.positions(state)
        except (ValueError, KeyError, struct.error):
            return None
        return state if at_all == list(range(position, position + len(tokens))) else None

    # Room.

    def _look(self) -> None:
        """Learn what is there; what interrupted writes left is removed."""
        self._entries.clear()
        for place in files(self._root):
            with contextlib.suppress(OSError):
                found = place.stat()
                self._entries[place] = _Entry(found.st_size, found.st_mtime)
        for folder in {place.parent for place in self._entries}:
            with contextlib.suppress(OSError):
                atomic.sweep(folder)

    def _make_room(self, size: int, keep: Path) -> bool:
        if self.used_bytes + size > self._disk_bytes:
            self._look()  # somebody else may have removed some
        oldest = sorted(set(self._entries) - self._listed - {keep}, key=lambda place: self._entries[place].listed)
        for place in oldest:
            if self.used_bytes + size <= self._disk_bytes:
                break
            self._remove(place)
        return self.used_bytes + size <= self._disk_bytes

    def _remove(self, place: Path) -> None:
        with contextlib.suppress(OSError):
            place.unlink(missing_ok=True)
            self._entries.pop(place, None)
            self._listed.discard(place)


def _path(folder: Path, key: Key) -> Path:
    return folder / digest.check(key.beginning) / f"{digest.check(key.passage)}{SUFFIX}"


def files(folder: Path) -> Iterator[Path]:
    """Yield the files of all stores in a folder."""
    yield from sorted(folder.glob(f"*/*/*{SUFFIX}"))


def remove(folder: Path, passages: Sequence[str]) -> int:
    """Erase the states of passages, by their digests, whatever they were computed behind; return how many.

    A state holds its passage's tokens, so it goes as its document's text goes.

    Raises:
        HostError: one cannot be removed.
    """
    count = 0
    for passage in passages:
        for place in folder.glob(f"*/*/{digest.check(passage)}{SUFFIX}"):
            try:
                erase(place)
            except OSError as error:
                raise atomic.host_error(error, "remove", place) from error
            count += 1
    return count


def _head_and_rest(data: bytes) -> tuple[dict[str, Any], memoryview] | None:
    """Return what a file says of itself, and the tokens and state behind that; None where its digest is another."""
    start = len(_MARK) + _DIGEST
    body = memoryview(data)[start:]
    if not data.startswith(_MARK) or digest.of_bytes(bytes(body)).encode() != data[len(_MARK) : start]:
        return None
    try:
        (length,) = _LENGTH.unpack_from(body)
        at = _LENGTH.size + length
        head = json.loads(bytes(body[_LENGTH.size : at])) if length <= _MOST_HEAD else None
    except (ValueError, struct.error):
        return None
    return (head, body[at:]) if isinstance(head, dict) else None


def _bytes(place: Path) -> bytes | None:
    """Return a file's bytes, read in one go; None for what is no regular file, or too large to be one of these."""
    found = place.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_BYTES:
        return None
    with open(place, "rb", opener=_unnoted) as stream:
        return stream.read()


def _unnoted(path: str, flags: int) -> int:
    """Open a file without its time of access being noted: it would tell what was asked, and when (man 2 open)."""
    flags |= getattr(os, "O_NOFOLLOW", 0)
    try:
        return os.open(path, flags | getattr(os, "O_NOATIME", 0))
    except PermissionError:  # only the owner may ask for that
        return os.open(path, flags)
