"""``update.json``: the files of the new bundle, and where the bytes of each come from. Read with bounds on everything.

Source: this project's own format, docs/reference/bundle.md.
"""

import json
from dataclasses import dataclass
from typing import Any

from publicai_edge import digest
from publicai_edge.archives import names
from publicai_edge.errors import BundleError

FILE_NAME = "update.json"
FORMAT = 1
MOST_BYTES = 64 << 20
MOST_FILES = 100_000
_MOST_PIECES = 2_000_000
_MOST_SIZE = 1 << 44
_MOST_TEXT = 200
_ENTRY_KEYS = {"path", "size", "sha256", "source", "pieces"}


@dataclass(frozen=True)
class End:
    """One of the two bundles: the digest of its tag manifest, and what it calls itself."""

    tag: str
    name: str
    version: str
    release: int


@dataclass(frozen=True)
class Entry:
    """One file of the new bundle.

    Attributes:
        path, size, sha256: what comes out.
        source: the file of the old bundle that it is made from; None where the update carries it whole.
        pieces: None where ``source`` is taken as it is; else, in order, (start, length) in ``source``, or (-1, length)
            for so many bytes that the update carries.
    """

    path: str
    size: int
    sha256: str
    source: str | None = None
    pieces: tuple[tuple[int, int], ...] | None = None

    @property
    def carried(self) -> int:
        """Bytes of it that the update carries."""
        if self.source is None:
            return self.size
        return sum(length for start, length in self.pieces or () if start < 0)


@dataclass(frozen=True)
class Update:
    """The whole of ``update.json``."""

    old: End
    new: End
    entries: tuple[Entry, ...]

    def to_bytes(self) -> bytes:
        """Return the file's content."""
        entries = [
            {key: value for key, value in vars(entry).items() if value is not None or key not in {"source", "pieces"}}
            for entry in self.entries
        ]
        value = {"format": FORMAT, "old": vars(self.old), "new": vars(self.new), "files": entries}
        return (json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n").encode()


def parse(data: bytes, where: str) -> Update:
    """Read the content of an ``update.json``.

    Raises:
        BundleError: it is none, or claims what cannot be.
    """
    try:
        raw = json.loads(data)
        if raw["format"] != FORMAT:
            raise ValueError(f"its format is {raw['format']!r}, and this program reads {FORMAT}")  # noqa: TRY301
        if len(raw["files"]) > MOST_FILES:
            raise ValueError(f"it lists more than {MOST_FILES:,} files")  # noqa: TRY301
        entries = tuple(_entry(item) for item in raw["files"])
        names.check_together(entry.path for entry in entries)
        return Update(_end(raw["old"]), _end(raw["new"]), entries)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BundleError(
            f"{where} is not a valid update: {FILE_NAME}: {str(error)[:300]}.",
            hint="Copy the update again from where it came.",
        ) from error


def _end(raw: Any) -> End:
    name, version = _text(raw["name"]), _text(raw["version"])
    return End(digest.check(_text(raw["tag"])), name, version, _number(raw["release"]))


def _entry(raw: Any) -> Entry:
    if set(raw) - _ENTRY_KEYS:
        raise ValueError(f"a file has unknown keys {sorted(set(raw) - _ENTRY_KEYS)}")
    path = names.check(_text(raw["path"], names.MAX_BYTES))
    source = names.check(_text(raw["source"], names.MAX_BYTES)) if "source" in raw else None
    entry = Entry(path, _number(raw["size"]), digest.check(_text(raw["sha256"])), source, _pieces(raw.get("pieces")))
    made = sum(length for _, length in entry.pieces or ())
    if entry.pieces is not None and (source is None or made != entry.size):
        raise ValueError(f"the pieces of {path} do not make it")
    return entry


def _pieces(raw: Any) -> tuple[tuple[int, int], ...] | None:
    if raw is None:
        return None
    if not isinstance(raw, list) or len(raw) > _MOST_PIECES:
        raise ValueError("a file has pieces that are no list, or too many")
    return tuple((_number(start, -1), _number(length, 1)) for start, length in raw)


def _number(value: Any, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST_SIZE:
        raise ValueError(f"{str(value)[:40]!r} is not a number from {least} to {_MOST_SIZE}")
    return value


def _text(value: Any, most: int = _MOST_TEXT) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise ValueError(f"{str(value)[:40]!r} is not a text of at most {most} letters")
    return value
