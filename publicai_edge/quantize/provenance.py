"""Which documents a model was calibrated on, kept in its own metadata.

With it, a measurement can refuse to judge a model by texts that shaped it. llama.cpp's quantizer can add only short
strings to the metadata, one at a time. So it is made to add placeholders, and they are replaced in place, in the
finished file, by one array of digests and one of languages; what is left over becomes a string of spaces. No byte of
the weights moves.

Invariant: placeholders are the last entries of the metadata, one after the other, and as long as what replaces them.
"""

import struct
from collections.abc import Sequence
from pathlib import Path

from publicai_edge import gguf
from publicai_edge.errors import EngineError
from publicai_edge.gguf import write as gguf_bytes

DOCUMENTS = gguf.CALIBRATION_DOCUMENTS
LANGUAGES = "publicai_edge.calibration.languages"
_PADDING = "publicai_edge.calibration.padding"
_LONGEST = "x" * 127  # llama_model_kv_override holds 128 bytes, the last of them zero


def calibration_documents(path: Path) -> frozenset[str]:
    """Return the SHA-256 of every document that the model, or the importance matrix, at ``path`` was calibrated on.

    Raises:
        ModelError: the file is not GGUF, or broken.
    """
    return frozenset(gguf.strings(path, DOCUMENTS))


def placeholders(documents: Sequence[str], languages: Sequence[str]) -> list[tuple[str, str]]:
    """Return the entries that :func:`fill` replaces; the quantizer adds them last, in this order."""
    if not documents:
        return []
    needed = len(_entries(documents, languages, 0))
    found = [(DOCUMENTS, _LONGEST), (LANGUAGES, _LONGEST), (_PADDING, _LONGEST)]  # in a source, they would stay
    while sum(len(gguf_bytes.entry(*item)) for item in found) < needed:
        found.append((f"{_PADDING}.{len(found)}", _LONGEST))
    return found


def fill(path: Path, documents: Sequence[str], languages: Sequence[str]) -> None:
    """Put the documents where the placeholders are.

    Raises:
        EngineError: the placeholders are not where the quantizer should have put them.
    """
    reserved = placeholders(documents, languages)
    if not reserved:
        return
    old = b"".join(gguf_bytes.entry(*item) for item in reserved)
    new = _entries(documents, languages, len(old))
    places = gguf.spans(path)
    start = places[DOCUMENTS].start if DOCUMENTS in places else 0
    with path.open("r+b") as stream:
        stream.seek(start)
        if stream.read(len(old)) != old or max(span.end for span in places.values()) != start + len(old):
            raise EngineError(f"The quantizer did not leave room in {path} for the documents it was calibrated on.")
        stream.seek(start)
        stream.write(new)
        stream.seek(gguf_bytes.COUNT_AT)
        stream.write(struct.pack("<Q", len(places) - len(reserved) + 3))


def _entries(documents: Sequence[str], languages: Sequence[str], size: int) -> bytes:
    """Return the three entries, filled up with spaces to ``size`` bytes where they are shorter."""
    arrays = gguf_bytes.entry(DOCUMENTS, documents) + gguf_bytes.entry(LANGUAGES, languages)
    short = size - len(arrays) - len(gguf_bytes.entry(_PADDING, ""))
    return arrays + gguf_bytes.entry(_PADDING, " " * max(short, 0))
