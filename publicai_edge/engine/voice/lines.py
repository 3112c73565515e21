"""A file of sorted lines, ``key TAB value``, looked up where it lies: nothing of it is loaded, and nothing is kept."""

import mmap
from collections.abc import Mapping
from pathlib import Path

from publicai_edge.errors import ModelError

_HINT = "Copy the bundle again; `publicai-edge verify` tells what differs."


class Lines:
    """An opened file, in UTF-8, its lines in the order of their keys' bytes."""

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as stream:
                self._data: mmap.mmap | bytes = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:  # an empty file cannot be mapped
            self._data = b""
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}.", hint=_HINT, path=str(path)) from error

    def find(self, key: str) -> str | None:
        """Return the value of a key, or None where there is none."""
        wanted = key.encode("utf-8", "replace")
        low, high = 0, len(self._data)
        while low < high:
            start = max(low, self._data.rfind(b"\n", low, (low + high) // 2) + 1)
            end = self._data.find(b"\n", start)
            found, _, value = self._data[start:end].partition(b"\t")
            if found == wanted:
                return value.decode()
            low, high = (end + 1, high) if found < wanted else (low, start)
        return None


def write(path: Path, values: Mapping[str, str]) -> None:
    """Write such a file; the same values give the same bytes.

    Raises:
        ValueError: a key or a value holds a tab or a line's end, or a key is empty.
    """
    pairs = sorted((key.encode(), value.encode()) for key, value in values.items())
    if any(not key or any(mark in key + value for mark in b"\t\n") for key, value in pairs):
        raise ValueError("a key is empty, or holds a tab or a line's end")
    path.write_bytes(b"".join(b"%s\t%s\n" % pair for pair in pairs))
