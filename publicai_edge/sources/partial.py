"""A download in progress: the bytes that have arrived, with their running digests.

Two files in the store's ``partial/`` folder: ``KEY.part`` holds the bytes, ``KEY.json`` the validator (entity
tag or date) that tells whether a server still has the same file. KEY is the digest of the content that is
expected, or else of the address. Both survive a kill; what is found there again is hashed once, then appended
to. A wrong byte in it, whoever wrote it, shows in the digest, and the partial is started over.
"""

import json
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

from publicai_edge import atomic
from publicai_edge.sources.wanted import Hashes, Mismatch, Wanted


class Partial:
    """The bytes of one download so far. Open it with ``with``; it appends, hashes, and can start over.

    ``resumed`` is true once bytes of more than one attempt are in it.
    """

    def __init__(self, folder: Path, key: str, wanted: Wanted) -> None:
        self.path = folder / f"{key}.part"
        self.resumed = False
        self.validator: str | None = None
        self._note = folder / f"{key}.json"
        self._wanted = wanted
        self._hashes = Hashes(wanted)
        self._stream: FileIO | None = None

    def __enter__(self) -> Self:
        with atomic.host_errors("write", self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered, so that every byte that has arrived outlives a kill.
            self._stream = self.path.open("ab", buffering=0)
        self.validator = self._read_note()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream:
            with atomic.host_errors("write", self.path):
                self._stream.close()

    @property
    def size(self) -> int:
        """How many bytes have arrived."""
        return self._hashes.size

    @property
    def sha256(self) -> str:
        """Digest of the bytes so far."""
        return self._hashes.sha256

    def mismatch(self) -> Mismatch | None:
        """Return how the bytes differ from the wanted file, or None."""
        return self._hashes.mismatch()

    def take_up(self, advance: Callable[[int], None]) -> None:
        """Hash what an earlier run left; start over when it cannot be told to belong to the same file."""
        left = self.path.stat().st_size
        too_long = self._wanted.size is not None and left > self._wanted.size
        if left and (too_long or not (self._wanted.certain or self.validator)):
            self.restart()
        elif left:
            with atomic.host_errors("read", self.path):
                self._hashes.update_from(self.path, advance)
            self.resumed = True

    def append(self, piece: bytes) -> None:
        """Write some more bytes."""
        if self._stream is None:
            raise RuntimeError("the partial is not open")
        with atomic.host_errors("write", self.path):
            left = memoryview(piece)
            while left:
                left = left[self._stream.write(left) :]
        self._hashes.update(piece)

    def restart(self) -> None:
        """Throw away what there is."""
        with atomic.host_errors("write", self.path):
            if self._stream:
                self._stream.truncate(0)
            self._note.unlink(missing_ok=True)
        self.resumed, self.validator = False, None
        self._hashes = Hashes(self._wanted)

    def remember(self, validator: str | None) -> None:
        """Note which version of the file the server is sending."""
        if validator != self.validator:
            self.validator = validator
            atomic.write_bytes(self._note, json.dumps({"validator": validator}).encode())

    def remove(self) -> None:
        """Delete the partial and its note, where they still are."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def _read_note(self) -> str | None:
        try:
            found = json.loads(self._note.read_text("utf-8"))["validator"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if isinstance(found, str) else None
