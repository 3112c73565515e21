"""The pages' files as a browser is sent them.

Invariants: they are read once, at start, and nothing of a request names a file. What pages share is written once: a
line ``<!-- NAME.html -->`` in one stands for the file of that name.
"""

import re
from functools import cache
from importlib import resources
from pathlib import PurePosixPath

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

_SHARED = re.compile(r"^<!-- (\w+\.html) -->$", re.MULTILINE)


@cache
def page(name: str) -> bytes:
    """Return a page, such as ``index.html``, with what it shares in its place."""
    return _SHARED.sub(lambda found: _read(found[1]).decode().rstrip("\n"), _read(name).decode()).encode()


@cache
def static() -> dict[str, tuple[bytes, str]]:
    """Return the content and the media type of every file that a page loads, by name."""
    folder = resources.files(__package__) / "page"
    kinds = {item.name: PurePosixPath(item.name).suffix for item in folder.iterdir()}
    return {
        name: (_read(name), MEDIA_TYPES[kind])
        for name, kind in kinds.items()
        if kind in MEDIA_TYPES and kind != ".html"
    }


def _read(name: str) -> bytes:
    return (resources.files(__package__) / "page" / name).read_bytes()
