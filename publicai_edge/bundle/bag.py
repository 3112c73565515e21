"""BagIt (RFC 8493): the conventions that make a bundle checkable by tools that are not ours.

Payload is everything below ``data/``; tag files are the rest. ``manifest-sha256.txt`` lists the payload,
``tagmanifest-sha256.txt`` the tag files; both in the format of ``sha256sum``. Lines are sorted and end with LF; path
characters CR, LF and % are percent-encoded (RFC 8493, 2.1.3), and this project never makes such names.
"""

import re
from collections.abc import Mapping

from publicai_edge.artifact import Blob, check_relative
from publicai_edge.errors import BundleError

DECLARATION = "bagit.txt"
INFO = "bag-info.txt"
PAYLOAD_MANIFEST = "manifest-sha256.txt"
TAG_MANIFEST = "tagmanifest-sha256.txt"
PAYLOAD = "data/"
# Not covered by any manifest: the tag manifest itself.
UNLISTED = frozenset({TAG_MANIFEST})

_STARTED = re.compile(r"start|data/runtime/[^/]+/publicai-edge(?:\.exe)?")
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_OXUM = re.compile(rb"^Payload-Oxum: (\d{1,18})\.(\d{1,9})$", re.MULTILINE)


def declaration() -> bytes:
    """Return the content of ``bagit.txt``."""
    return b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"


def info(fields: Mapping[str, str], payload: Mapping[str, Blob]) -> bytes:
    """Return the content of ``bag-info.txt``: ``fields``, and the payload's size as Payload-Oxum."""
    total = sum(blob.size for blob in payload.values())
    lines = [f"{name}: {_one_line(value)}" for name, value in fields.items()]
    lines.append(f"Payload-Oxum: {total}.{len(payload)}")
    return ("\n".join(lines) + "\n").encode()


def payload_bytes(data: bytes) -> int:
    """Return the size of the payload that ``bag-info.txt`` tells (RFC 8493, 2.2.2).

    Raises:
        BundleError: it tells none.
    """
    found = _OXUM.search(data)
    if found is None:
        raise BundleError(f"{INFO} was changed or damaged: it has no Payload-Oxum.", changed=[INFO])
    return int(found[1])


def manifest(files: Mapping[str, Blob]) -> bytes:
    """Return a manifest of ``files`` (paths relative to the bag)."""
    for path in files:
        if any(mark in path for mark in "\r\n%"):
            raise BundleError(f"A file called {path!r} cannot go into a bundle: rename it.")
    return "".join(f"{blob.sha256}  {path}\n" for path, blob in sorted(files.items())).encode()


def mode_of(path: str) -> int:
    """Return a file's mode: BagIt knows none, and a stick may have lost it, so the name of what is started decides."""
    return 0o755 if _STARTED.fullmatch(path) else 0o644


def parse_manifest(data: bytes, name: str) -> dict[str, str]:
    """Read a manifest: relative path to SHA-256.

    Only the exact bytes :func:`manifest` writes are accepted, so that any change to a manifest shows.

    Raises:
        BundleError: it is in any other form, climbs out, or names a file twice.
    """
    found: dict[str, Blob] = {}
    try:
        for line in data.decode("utf-8").split("\n")[:-1]:
            match = _LINE.fullmatch(line)
            if match is None:
                raise ValueError(f"expected a SHA-256 and a path, found {line[:80]!r}")  # noqa: TRY301
            found[check_relative(match[2])] = Blob(match[1], 0)
        canonical = manifest(found) == data
    except (ValueError, BundleError) as error:
        raise BundleError(f"{name} was changed or damaged: {error}.", changed=[name]) from error
    if not canonical:
        raise BundleError(f"{name} was changed or damaged: its lines are not as they were written.", changed=[name])
    return {path: blob.sha256 for path, blob in found.items()}


def _one_line(value: str) -> str:
    return " ".join(value.split())
