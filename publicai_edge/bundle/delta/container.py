"""The ZIP file of an update, opened by the rules for all archives from elsewhere (:mod:`publicai_edge.archives`).

Only plain files are taken, and only under the names and with the sizes that ``update.json`` implies: ``new/PATH`` for a
file that is carried whole, ``part/PATH`` for the bytes carried of one that is put together. Anything else in it is an
error.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from publicai_edge import archives
from publicai_edge.archives import Limits
from publicai_edge.archives.reading import Content
from publicai_edge.archives.zip import ZipArchive
from publicai_edge.bundle.delta import document
from publicai_edge.bundle.delta.document import Entry, Update
from publicai_edge.bundle.install import durable
from publicai_edge.errors import BundleError

_LIMITS = Limits(members=document.MOST_FILES + 1)
_PIECE = 1 << 20


def member_of(entry: Entry) -> str | None:
    """Return the name of the member that carries bytes of a file; None where none are carried."""
    if entry.source is None:
        return f"new/{entry.path}"
    return f"part/{entry.path}" if entry.carried else None


@dataclass(frozen=True)
class Container:
    """An opened update."""

    path: Path
    update: Update
    _zip: ZipArchive

    @contextmanager
    def bytes_of(self, entry: Entry) -> Iterator["Carried"]:
        """Yield the bytes that the update carries of a file.

        Raises:
            BundleError: they are damaged, or not as many as it says.
        """
        name = member_of(entry)
        if name is None:
            yield Carried(None, 0, entry.path)
            return
        with _damage(self.path), self._zip.open(name) as content:
            carried = Carried(content, entry.carried, entry.path)
            yield carried
            carried.end()


class Carried:
    """A stream of an exact number of bytes."""

    def __init__(self, content: Content | None, size: int, path: str) -> None:
        self._content, self._left, self._path = content, size, path

    def read(self, length: int) -> Iterator[bytes]:
        """Yield the next ``length`` bytes, in pieces."""
        while length:
            piece = self._content.read(min(length, _PIECE)) if self._content else b""
            if not piece or len(piece) > self._left:
                raise ValueError(f"{self._path} does not have the bytes that {document.FILE_NAME} says")
            self._left -= len(piece)
            length -= len(piece)
            yield piece

    def end(self) -> None:
        """See that nothing is left."""
        if self._left or (self._content and self._content.read(1)):
            raise ValueError(f"{self._path} has more bytes than {document.FILE_NAME} says")


@contextmanager
def open_update(path: Path) -> Iterator[Container]:
    """Open an update.

    Raises:
        BundleError: it is no update, is damaged, or holds what an update does not.
    """
    with _damage(path), _opened(path) as opened:
        sizes = {member.name: member.size for member in archives.safe_members(opened)}
        sizes |= {f"{member.name}/": 0 for member in opened.members if member.kind == "folder"}
        update = document.parse(_document(opened, sizes.pop(document.FILE_NAME, None)), str(path))
        wanted = {name: entry.carried for entry in update.entries if (name := member_of(entry))}
        if odd := sorted(name for name in {*sizes, *wanted} if sizes.get(name) != wanted.get(name)):
            raise ValueError(f"its members are not those that {document.FILE_NAME} lists: {', '.join(odd[:3])}")
        yield Container(path, update, opened)


def _opened(path: Path) -> AbstractContextManager[ZipArchive]:
    if not path.is_file():
        raise BundleError(f"There is no update {path}.", hint="Give the file that `publicai-edge diff` wrote.")
    return archives.opened_zip(path, limits=_LIMITS)


def _document(opened: ZipArchive, size: int | None) -> bytes:
    if size is None or size > document.MOST_BYTES:
        raise ValueError(f"it has no {document.FILE_NAME} of at most {document.MOST_BYTES:,} bytes")
    with opened.open(document.FILE_NAME) as content:
        return content.read(document.MOST_BYTES + 1)


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        with durable.errors("read", path):
            yield
    except ValueError as error:
        raise BundleError(
            f"{path} is damaged or not an update: {str(error)[:300]}.",
            hint="Copy it again from where it came, or make it again with `publicai-edge diff`.",
        ) from error
