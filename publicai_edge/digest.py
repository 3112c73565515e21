"""SHA-256 digests: the one form in which this project names content.

Invariant: a digest is the 64 lower-case hex characters, checked by :func:`check` before it ever becomes part
of a path. In ``bundle.json`` and on the command line it carries the prefix ``sha256:``.
"""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

CHUNK = 1 << 20  # 1 MiB: large enough that Python costs nothing beside the hash, small enough for memory

_HEX = re.compile(r"[0-9a-f]{64}")


def check(text: str) -> str:
    """Return ``text`` without its ``sha256:`` prefix if it is a SHA-256 digest.

    Raises:
        ValueError: it is anything else.
    """
    bare = text.removeprefix("sha256:")
    if not _HEX.fullmatch(bare):
        raise ValueError(f"not a sha256 digest: {text[:80]!r}")
    return bare


def of_bytes(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hex."""
    return hashlib.sha256(data).hexdigest()


def of_json(value: Any) -> str:
    """Return the SHA-256 of a JSON value in canonical form (sorted keys, no spaces, UTF-8)."""
    return of_bytes(canonical_json(value))


def canonical_json(value: Any) -> bytes:
    """Return ``value`` as JSON that is the same for equal values: the form every step key is made of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def of_file(path: Path, advance: Callable[[int], None] | None = None) -> str:
    """Return the SHA-256 of a file, read once in chunks of 1 MiB; ``advance`` is told the bytes read."""
    with path.open("rb") as stream:
        return of_stream(stream, advance)


class Sha256:
    """The SHA-256 of much that comes in pieces.

    OpenSSL's, as ``cryptography`` brings it: it is there in a runtime too, whose Python has only code of its own that
    takes six times as long (ADR 0048). Other threads run meanwhile.
    """

    def __init__(self) -> None:
        from cryptography.hazmat.primitives import hashes

        self._state = hashes.Hash(hashes.SHA256())

    def update(self, piece: bytes | memoryview) -> None:
        """Take in the next piece."""
        self._state.update(piece)

    def hexdigest(self) -> str:
        """Return the digest of what came so far."""
        return self._state.copy().finalize().hex()


def of_stream(stream: BinaryIO, advance: Callable[[int], None] | None = None) -> str:
    """Return the SHA-256 of what is left in a binary stream."""
    state = Sha256()
    buffer = bytearray(CHUNK)
    view = memoryview(buffer)
    while count := stream.readinto(buffer):  # type: ignore[attr-defined]
        state.update(view[:count])
        if advance:
            advance(count)
    return state.hexdigest()
