"""The child's side of building an index: read, cut, embed and store, one document after the other.

Memory holds one document at a time, and which passages hold which term. Passages are stored in one order (by document
name, then reading order) in a database written in one go and vacuumed at the end, with no time and no path in it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from publicai_edge import atomic
from publicai_edge.engine.embedder import Embedder, Kind, Vectors
from publicai_edge.errors import DocumentError
from publicai_edge.host import physical_cores
from publicai_edge.knowledge import languages
from publicai_edge.knowledge.blocks import Extracted
from publicai_edge.knowledge.build import Skipped
from publicai_edge.knowledge.extractor import Extractor, Limits
from publicai_edge.knowledge.passages import Draft, cut
from publicai_edge.progress import Progress, Task
from publicai_edge.search import codes, database
from publicai_edge.search.postings import Collected
from publicai_edge.search.terms import terms

if TYPE_CHECKING:
    import apsw

_EMBED_AT_ONCE = 64
_REASONS_SHOWN = 10


def index(payload: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Build the index; see :func:`publicai_edge.knowledge.build.build_index`."""
    out = Path(payload["out"])
    settings = payload["settings"]
    embedder = Embedder.open(Path(payload["embedder"]), threads=1)
    documents = sorted((name, Path(path)) for name, path in payload["documents"].items())
    with atomic.host_errors("write the index to", out), atomic.temporary_folder(out.parent) as scratch:
        place = scratch / "index.sqlite"
        with Extractor(Limits(**settings["limits"])) as extractor, Writer(place, embedder) as writer:
            skipped, recognized = _index_all(documents, extractor, writer, settings["passage_words"], progress)
            if documents and not writer.documents:
                raise _none_readable(skipped)
        atomic.fsync_path(place)
        place.replace(out)
        atomic.fsync_path(out.parent)
    return {
        "documents": writer.documents,
        "passages": writer.passages,
        "skipped": [asdict(item) for item in skipped],
        "recognized": recognized,
        "languages": dict(sorted(writer.languages.items())),
    }


def _index_all(
    documents: list[tuple[str, Path]], extractor: Extractor, writer: "Writer", limit: int, progress: Progress
) -> tuple[list[Skipped], dict[str, int]]:
    skipped: list[Skipped] = []
    recognized: dict[str, int] = {}
    with progress.task("Indexing the documents", total=len(documents)) as task:
        for name, path in documents:
            try:
                with _Pages(progress, name) as tell:
                    extracted = extractor.extract(path, name, tell)
            except DocumentError as error:
                reason = f"{error.message}; {error.hint}" if error.hint else error.message
                skipped.append(Skipped(name, reason))
                progress.warn(f"Skipped {name}: {reason}.")
            else:
                if extracted.recognized:
                    recognized[name] = extracted.recognized
                for warning in extracted.warnings:
                    progress.warn(f"{name} {warning}.")
                writer.add(name, extracted, limit)
            task.advance(1)
    return skipped, recognized


class _Pages:
    """Shows how far the recognising of a document's pages is, from its first page on; called with done and total."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._name = name
        self._task: Task | None = None

    def __call__(self, done: int, total: int) -> None:
        if self._task is None:
            self._task = self._progress.task(f"Recognising pages of {self._name}", total=total)
            self._task.__enter__()
        elif done:
            self._task.advance(1)

    def __enter__(self) -> "_Pages":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task:
            self._task.advance(int(kind is None))
            self._task.__exit__(kind, value, trace)


def _none_readable(skipped: list[Skipped]) -> DocumentError:
    lines = [f"  {item.name}: {item.reason}" for item in skipped[:_REASONS_SHOWN]]
    if len(skipped) > _REASONS_SHOWN:
        lines.append(f"  and {len(skipped) - _REASONS_SHOWN} more")
    return DocumentError(
        f"None of the {len(skipped)} documents can be read:\n" + "\n".join(lines),
        hint="Mend or replace them, or check the patterns under [knowledge] documents.",
        skipped={item.name: item.reason for item in skipped},
    )


class Encoder(Protocol):
    """What texts become vectors with, as :class:`publicai_edge.engine.embedder.Embedder` does it."""

    @property
    def dim(self) -> int:
        """Length of a vector."""
        ...

    @property
    def fingerprint(self) -> str:
        """Digest of everything that decides a text's vector."""
        ...

    def encode(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """Return one unit vector a text."""
        ...


class Writer:
    """Puts documents into a new database, numbering passages from 1."""

    def __init__(self, path: Path, embedder: Encoder) -> None:
        self.documents = 0
        self.passages = 0
        self._embedder = embedder
        self.languages: Counter[str] = Counter()
        # Calls in parallel, not threads within a call: a vector then never depends on the number of cores.
        self._pool = ThreadPoolExecutor(physical_cores())
        self._connection: apsw.Connection = database.open_for_building(path)
        self._collected = Collected()

    def __enter__(self) -> "Writer":
        database.create_schema(self._connection)
        self._connection.execute("BEGIN")
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        if kind is None:
            self._finish()
        self._connection.close()

    def add(self, name: str, document: Extracted, limit: int) -> None:
        """Store one document."""
        language = languages.of_document(document)
        title = document.title or PurePosixPath(name).stem.replace("_", " ").replace("-", " ").strip() or name
        self.documents += 1
        row = (self.documents, name, title)
        self._connection.execute("INSERT INTO documents (id, source, title) VALUES (?, ?, ?)", row)
        for drafts in _batches(cut(document, title, limit), _EMBED_AT_ONCE):
            self._store(title, language, drafts)

    def _store(self, title: str, language: str, drafts: Sequence[Draft]) -> None:
        # Title and headings are part of what a passage is about: "Saturday 10-14" alone answers nothing.
        texts = ["\n".join(filter(None, (title, draft.heading, draft.text))) for draft in drafts]
        found = self._pool.map(lambda text: codes.encode(self._embedder.encode([text], "passage"))[0].tobytes(), texts)
        for draft, code in zip(drafts, found, strict=True):
            self.passages += 1
            number = self.passages
            of_passage = languages.of_passage(draft.text, language)
            self.languages[of_passage] += 1
            self._connection.execute(
                "INSERT INTO passages (id, document, heading, page, language, text) VALUES (?, ?, ?, ?, ?, ?)",
                (number, self.documents, draft.heading, draft.page, of_passage, draft.text),
            )
            self._connection.execute("INSERT INTO codes (id, code) VALUES (?, ?)", (number, code))
            self._collected.add(terms(f"{title} {draft.heading}"), terms(draft.text))

    def _finish(self) -> None:
        meta = {
            "format": database.FORMAT,
            "embedder": self._embedder.fingerprint,
            "dim": str(self._embedder.dim),
            "languages": " ".join(sorted(self.languages.keys() - {languages.UNKNOWN})),
        }
        self._connection.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", sorted(meta.items()))
        self._collected.write(self._connection)
        codes.write_signs(self._connection, self._embedder.dim)
        self._connection.execute("COMMIT")
        self._connection.execute("VACUUM")


def _batches(drafts: Iterator[Draft], size: int) -> Iterator[list[Draft]]:
    batch: list[Draft] = []
    for draft in drafts:
        batch.append(draft)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
