"""Documents to blocks, one module a format.

Each has ``extract(data, name) -> Extracted``, works on bytes in memory, and raises :class:`DocumentError` for
what it cannot read. What else escapes from a parser is turned into one here: the documents are not ours.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from publicai_edge.errors import DocumentError
from publicai_edge.knowledge.blocks import Extracted

if TYPE_CHECKING:
    from publicai_edge.knowledge.extract.pdf import Scans

_FORMATS = {
    ".txt": "text",
    ".text": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "docx",
    ".epub": "epub",
}
SUFFIXES = tuple(_FORMATS)
_SCANNED = ("pdf",)


def extract(path: Path, name: str, max_bytes: int, max_chars: int, scans: "Scans | None" = None) -> Extracted:
    """Read the document at ``path``, called ``name`` in messages; the name's suffix tells its format.

    Args:
        path: the file.
        name: its name.
        max_bytes: of the file.
        max_chars: of its text.
        scans: what recognises pages that are pictures, where that is asked for.

    Raises:
        DocumentError: it cannot be read, is too large, or holds no text.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in _FORMATS:
        known = ", ".join(item.lstrip(".") for item in SUFFIXES)
        raise DocumentError(f"a document of kind {suffix or 'without a suffix'!r}; known are {known}")
    data = _read(path, max_bytes)
    module = importlib.import_module(f"{__name__}.{_FORMATS[suffix]}")
    also: Mapping[str, Any] = {"scans": scans} if _FORMATS[suffix] in _SCANNED else {}
    try:
        extracted: Extracted = module.extract(data, name, **also)
    except DocumentError:
        raise
    except MemoryError as error:
        raise DocumentError("it needs more memory than one document may use") from error
    except Exception as error:  # parsers raise whatever a damaged file leads them to
        short = " ".join(str(error).split())[:200] or type(error).__name__
        raise DocumentError(f"it is damaged, or not a {suffix[1:]} file: {short}") from error
    if not extracted.blocks:
        raise DocumentError("it holds no text")
    if sum(len(block.text) for block in extracted.blocks) > max_chars:
        raise DocumentError(f"it holds more than {max_chars:,} characters; cut it into parts")
    return extracted


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(max_bytes + 1)
    except OSError as error:
        raise DocumentError(f"it cannot be opened: {error.strerror or error}") from error
    if len(data) > max_bytes:
        raise DocumentError(f"it is larger than {max_bytes / 1e6:,.0f} MB")
    if not data.strip():
        raise DocumentError("it is empty")
    return data
