"""The index of a library's documents: what goes in, what comes out, and what was left out.

Invariants: the same documents (by name and content), embedding model and settings give the same bytes in any
folder; a document that cannot be read is reported by name and reason, never silently dropped; ``out`` is
replaced only by a whole index.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from publicai_edge import child
from publicai_edge.child import ChildResult
from publicai_edge.errors import DocumentError
from publicai_edge.knowledge import ocr
from publicai_edge.knowledge.extractor import Limits
from publicai_edge.progress import Progress


@dataclass(frozen=True)
class IndexSettings:
    """How documents are cut, what one of them may cost to read, and whether there may be none at all."""

    passage_words: int
    limits: Limits = field(default_factory=Limits)
    may_be_empty: bool = False


@dataclass(frozen=True)
class Skipped:
    """A document that is not in the index, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class IndexReport:
    """What the index holds, and what it does not.

    ``recognized`` counts pages by the document's name; ``languages`` counts passages by their language, a primary
    subtag as "sw", or "" where it is not known.
    """

    documents: int
    passages: int
    skipped: tuple[Skipped, ...]
    recognized: Mapping[str, int]
    languages: Mapping[str, int]


def build_index(
    documents: Mapping[str, Path], embedder: Path, out: Path, settings: IndexSettings, progress: Progress
) -> tuple[IndexReport, ChildResult]:
    """Index ``documents`` (name to file) into the database ``out``.

    Args:
        documents: a document's name, shown as its source, relative to the steward's folder; and its file.
        embedder: folder of the converted embedding model.
        out: the SQLite file to write.
        settings: how to cut.
        progress: is warned of each document skipped.

    Returns:
        The report, and what the child process used.

    Raises:
        DocumentError: there is no document, or none of them can be read.
        ModelError: the embedding model is broken.
        HostError: the disk refuses, or what recognises pages is not installed.
    """
    if settings.limits.scanned_pages:
        ocr.require_installed()
    if not documents and not settings.may_be_empty:
        raise DocumentError(
            "There are no documents to index.",
            hint="Check the patterns under [knowledge] documents; they are relative to the recipe.",
        )
    payload: dict[str, Any] = {
        "documents": {name: str(path.resolve()) for name, path in documents.items()},
        "embedder": str(embedder.resolve()),
        "out": str(out.resolve()),
        "settings": asdict(settings),
    }
    what = f"index {len(documents)} documents"
    result = child.run("publicai_edge.knowledge.index:index", payload, what=what, progress=progress)
    skipped = tuple(Skipped(**item) for item in result.value["skipped"])
    found = result.value
    counts = (found["documents"], found["passages"])
    return IndexReport(*counts, skipped, found["recognized"], found["languages"]), result
