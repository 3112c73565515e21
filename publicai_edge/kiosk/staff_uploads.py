"""Documents on their way from the staff page to the disk, in pieces that the guard lets through.

Invariants: a piece is taken only where the one before it ended, and never beyond the size that was told; a name is one
plain file name with a suffix that a reader knows, and no path is made of it.
"""

import contextlib
import secrets
import threading
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from publicai_edge import atomic
from publicai_edge.knowledge.added.shelf import ORIGINAL, Shelf
from publicai_edge.knowledge.extract import SUFFIXES

PIECE_BYTES = 60 << 10
MOST_AT_ONCE = 4

_LONGEST_NAME = 120


@dataclass
class Upload:
    """A document under way."""

    name: str
    size: int
    folder: Path
    received: int = 0
    token: str = field(default_factory=lambda: secrets.token_hex(16))


class Uploads:
    """All documents under way into one shelf."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._held: dict[str, Upload] = {}
        self._lock = threading.Lock()

    def begin(self, name: str, size: int) -> Upload:
        """Open an upload; the oldest is given up where there are too many.

        Raises:
            HostError: the disk refuses.
        """
        with self._lock:
            while len(self._held) >= MOST_AT_ONCE:
                self._drop(next(iter(self._held.values())))
            upload = Upload(name, size, self._shelf.incoming())
            self._held[upload.token] = upload
            return upload

    def find(self, token: str) -> Upload | None:
        """Return the upload of a token."""
        return self._held.get(token)

    def write(self, upload: Upload, at: int, piece: bytes) -> bool:
        """Take the next piece; say whether it was the next.

        Raises:
            HostError: the disk refuses.
        """
        with self._lock:
            if at != upload.received or upload.received + len(piece) > upload.size:
                return False
            place = upload.folder / ORIGINAL
            with atomic.host_errors("write", place), place.open("ab") as stream:
                stream.write(piece)
            upload.received += len(piece)
            return True

    def release(self, token: str) -> Upload | None:
        """Return an upload that has arrived as a whole, and take no more of it; None where it has not."""
        with self._lock:
            upload = self._held.get(token)
            if upload is None or upload.received != upload.size:
                return None
            return self._held.pop(token)

    def end(self, upload: Upload) -> None:
        """Remove what is left of an upload."""
        with self._lock:
            self._drop(upload)

    def end_all(self) -> None:
        """Remove what is left of all uploads that have not arrived."""
        with self._lock:
            for upload in list(self._held.values()):
                self._drop(upload)

    def _drop(self, upload: Upload) -> None:
        self._held.pop(upload.token, None)
        with contextlib.suppress(OSError):
            atomic.remove_tree(upload.folder)


def plain_name(given: str) -> str | None:
    """Return a file's name without folders and control characters, or None where no reader knows its kind."""
    last = given.replace("\\", "/").rpartition("/")[2]
    kept = "".join(letter for letter in unicodedata.normalize("NFC", last) if unicodedata.category(letter)[0] != "C")
    name = PurePosixPath(" ".join(kept.split()))
    suffix = name.suffix.lower()
    if suffix not in SUFFIXES or not name.stem.strip("."):
        return None
    return name.stem[: _LONGEST_NAME - len(suffix)] + suffix
