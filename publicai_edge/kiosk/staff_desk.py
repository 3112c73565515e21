"""What staff do with a running kiosk's documents: add in the background, remove, hide, show, take back.

Invariants: one document is read at a time, in a child process, by a thread of its own, so that patrons are answered
meanwhile; a change is on the disk before it is searched by; what cannot be read, opened or written costs that one
change, never the bundle's own documents. Nothing a patron typed comes here.
"""

import contextlib
import functools
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from publicai_edge.bundle import lock
from publicai_edge.bundle.open import Bundle
from publicai_edge.errors import BundleError, DocumentError, HostError, PublicAIError
from publicai_edge.kiosk import passage_states, staff_code
from publicai_edge.kiosk.guard import describe
from publicai_edge.kiosk.staff_code import CodeHash, Gate
from publicai_edge.kiosk.staff_sessions import StaffSessions
from publicai_edge.kiosk.staff_uploads import Upload, Uploads
from publicai_edge.knowledge.added.catalog import Added, Catalog
from publicai_edge.knowledge.added.shelf import LIMITS, MOST_DOCUMENTS, Ready, Shelf
from publicai_edge.knowledge.extractor import Limits
from publicai_edge.progress import Silent, Task, Unit

if TYPE_CHECKING:  # they bring the embedding runtime; the page must be up before that is loaded
    from publicai_edge.engine.embedder import Embedder
    from publicai_edge.search import KnowledgeBase, Passage
    from publicai_edge.search.combined import CombinedBase, LastVector, Listed

_LOG = logging.getLogger("publicai_edge.kiosk")
_JOBS_TOLD = 50

State = Literal["waiting", "reading", "indexing", "done", "failed"]


class RefusedError(Exception):
    """A change that cannot be made; ``code`` is the word the page has for it, ``values`` what it fills in."""

    def __init__(self, code: str, **values: Any) -> None:
        super().__init__(code)
        self.code = code
        self.values = values


@dataclass
class Job:
    """One document on its way in; ``code`` says why it failed, ``detail`` in the reader's own words."""

    number: int
    name: str
    state: State = "waiting"
    done: int = 0
    total: int = 0
    passages: int = 0
    code: str = ""
    detail: str = ""
    title: str = ""


class Desk:
    """The additions of one bundle, as a kiosk serves them.

    Args:
        place: the kiosk's own folder for them; it is made when there is something to keep.
        bundle: what is served; it has documents and a search model.
        limits: what one document may cost.
    """

    def __init__(self, place: Path, bundle: Bundle, limits: Limits = LIMITS) -> None:
        self.place = place
        self.gate = Gate()
        self.sessions = StaffSessions()
        self.limits = limits
        self._bundle = bundle
        self._shelf = Shelf(place / "documents")
        self.uploads = Uploads(self._shelf)
        self._lock = threading.RLock()
        self._opened = threading.Event()
        self._combined: CombinedBase | None = None
        self._vectors: LastVector | None = None
        self.embedder: Embedder | None = None
        self._there: frozenset[str] = frozenset()
        self._problem: PublicAIError | None = None
        self._held: contextlib.ExitStack | None = None
        self._jobs: list[Job] = []
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._worker: threading.Thread | None = None
        self._count = 0
        self._version = 0
        self._told = ""

    # --- the documents ----------------------------------------------------------------------------------------

    def open(self) -> "CombinedBase":
        """Open the bundle's documents and the additions; what is wrong with the latter is told on the staff page.

        Raises:
            BundleError: the bundle's own documents cannot be opened.
        """
        from publicai_edge.engine.embedder import Embedder
        from publicai_edge.search import KnowledgeBase
        from publicai_edge.search.combined import CombinedBase, LastVector

        index, embedding = self._bundle.knowledge_path, self._bundle.embedding_path
        if index is None or embedding is None:
            raise BundleError("This bundle has no documents to add to.")
        try:
            self.embedder = Embedder.open(embedding)
            self._vectors = LastVector(self.embedder)
            base = KnowledgeBase.open(index, cast("Embedder", self._vectors))
            combined = CombinedBase(base, self._vectors)
            with self._lock:
                self._combined = combined
                self._begin()
        finally:
            self._opened.set()
        return combined

    def _begin(self) -> None:
        """Show what was added before; an index that does not fit this bundle's search model is made anew."""
        try:
            self._shelf.load()
        except PublicAIError as error:
            self._problem = error
            _LOG.warning("%s", error.message)
        else:
            self._open_index()

    def _open_index(self) -> None:
        try:
            if self._shelf.catalog.kept:
                self._use(self._open_added(self._shelf.index), self._shelf.index)
                return
        except BundleError:
            _LOG.info("The added documents are indexed anew for this bundle.")
            self._submit(self._reindex)
        self._show(None)

    @functools.cached_property
    def _own(self) -> "dict[str, Listed]":
        """The bundle's documents by source: read when staff first come, not when the kiosk opens."""
        from publicai_edge.search.combined import listed

        index = self._bundle.knowledge_path
        assert index is not None  # noqa: S101 - open() has looked
        return {item.source: item for item in listed(index)}

    def _open_added(self, path: Path) -> "KnowledgeBase":
        from publicai_edge.search import KnowledgeBase

        return KnowledgeBase.open(path, cast("Embedder", self._vectors))

    def _use(self, added: "KnowledgeBase", path: Path) -> None:
        from publicai_edge.search.combined import listed

        self._there = frozenset(item.source for item in listed(path))
        self._show(added)

    def _show(self, added: "KnowledgeBase | None") -> None:
        """Search by what the catalog says; an index may hold more, kept so that a removal is taken back at once."""
        from publicai_edge.search.combined import Shown

        catalog, combined = self._shelf.catalog, self._combined
        assert combined is not None  # noqa: S101 - open() has set it
        hidden = frozenset(catalog.hidden)
        if added is not None:
            hidden |= self._there - {item.source for item in catalog.added}
        combined.show(Shown(added, catalog.generation, hidden))
        self._version += 1

    @property
    def version(self) -> int:
        """A number that grows whenever other documents are searched than before."""
        return self._version

    # --- changes ----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def changing(self) -> Iterator[Catalog]:
        """Hold the catalog for a change.

        Raises:
            RefusedError: nothing can be changed here.
        """
        if not self._opened.is_set():
            raise RefusedError("not_ready")
        with self._lock:
            self._prepare()
            yield self._shelf.catalog

    def _prepare(self) -> None:
        """Take the folder for this kiosk alone, once, and tidy it.

        Raises:
            RefusedError: it cannot be read, written, or had.
        """
        if self._combined is None:
            raise RefusedError("cannot", detail="The documents of this bundle cannot be opened.")
        if self._held is not None:
            return
        try:
            if self._problem:
                raise self._problem
            self._shelf.check()
            held = contextlib.ExitStack()
            busy = HostError(
                f"Another kiosk on this machine uses {self._shelf.folder}.",
                hint="Give this one a folder of its own with --documents-dir.",
            )
            with contextlib.suppress(OSError):
                held.enter_context(lock.held(self._shelf.folder, busy))
            seen = self._shelf.catalog
            if self._shelf.load() != seen:  # another kiosk had the folder meanwhile
                self._open_index()
            self._shelf.sweep()
            self._held = held
        except PublicAIError as error:
            if error.message != self._told:  # the page asks every few seconds
                _LOG.warning("Documents cannot be added: %s", error.message)
            self._told = error.message
            raise RefusedError("cannot", detail=error.message) from error

    def change(self, kind: Literal["remove", "hide", "show", "undo"], subject: str) -> None:
        """Remove an added document, hide or show one of the bundle, or take the last change back.

        Raises:
            RefusedError: there is no such document, or the disk refuses.
        """
        with self.changing() as catalog:
            gone = ""
            try:
                match kind:
                    case "remove":
                        changed, gone = catalog.without(subject), subject
                    case "hide":
                        changed, gone = catalog.hiding(subject, self._own[subject].title), subject
                    case "show":
                        changed = catalog.showing(subject, self._own[subject].title)
                    case "undo":
                        changed = catalog.undone()
            except KeyError as error:
                raise RefusedError("gone") from error
            passages = [passage_states.digest_of(passage) for passage in self._passages(gone)]
            self._commit(changed)
            passage_states.forget(self.place, passages)

    def _passages(self, source: str) -> "list[Passage]":
        return self._combined.document(source) if self._combined and source else []

    def _commit(self, changed: Catalog) -> None:
        try:
            self._shelf.commit(changed)
        except HostError as error:
            _LOG.warning("A change of the documents was not kept: %s", error.message)
            raise RefusedError("cannot", detail=error.message) from error
        self._show_again()

    def _show_again(self) -> None:
        combined = self._combined
        assert combined is not None  # noqa: S101 - changing() has looked
        self._show(combined.shown.added)

    # --- adding -----------------------------------------------------------------------------------------------

    def begin_upload(self, name: str, size: int) -> Upload:
        """Make room for a document.

        Raises:
            RefusedError: it is too large, one too many, or the disk refuses.
        """
        with self.changing() as catalog:
            waiting = sum(job.state not in {"done", "failed"} for job in self._jobs)
            if len(catalog.added) + waiting >= MOST_DOCUMENTS:
                raise RefusedError("too_many")
            if size > self.limits.file_bytes:
                raise RefusedError("too_large")
            if size > self._shelf.free_bytes():
                raise RefusedError("no_space")
            try:
                return self.uploads.begin(name, size)
            except HostError as error:
                raise RefusedError("cannot", detail=error.message) from error

    def add(self, upload: Upload) -> Job:
        """Index a document that has arrived, in the background."""
        with self._lock:
            self._count += 1
            job = Job(self._count, upload.name)
            self._jobs = [*self._jobs, job][-_JOBS_TOLD:]
            self._submit(lambda: self._add(job, upload))
            return job

    def _submit(self, work: Callable[[], None]) -> None:
        self._work.put(work)
        if self._worker is None:
            self._worker = threading.Thread(target=self._run, name="additions", daemon=True)
            self._worker.start()

    def _run(self) -> None:
        while work := self._work.get():
            try:
                work()
            except Exception as error:  # noqa: BLE001 - the thread goes on with the next document
                _LOG.error("Work on the documents failed: %s", describe(error))

    def _add(self, job: Job, upload: Upload) -> None:
        document: Added | None = None
        try:
            sha256, _ = self._shelf.identify(upload.folder)
            self._refuse_known(self._shelf.catalog.find(sha256))
            document = self._shelf.take_in(upload.folder, upload.name)
            job.state = "reading"
            ready = self._shelf.build(self._embedding, _JobProgress(job, document.source), document, self.limits)
            self._take_up(job, document, ready)
        except RefusedError as error:
            self._fail(job, document, error.code, title=str(error.values.get("title", "")))
        except DocumentError as error:
            self._fail(job, document, "unreadable", detail=error.message)
        except PublicAIError as error:
            _LOG.warning("A document was not added: %s", error.message)
            self._fail(job, document, "failed", detail=error.message)
        except Exception as error:
            self._fail(job, document, "failed")
            raise error from None
        finally:
            self.uploads.end(upload)

    @property
    def _embedding(self) -> Path:
        folder = self._bundle.embedding_path
        assert folder is not None  # noqa: S101 - open() has looked
        return folder

    def _take_up(self, job: Job, document: Added, ready: Ready) -> None:
        """Put a document into the catalog, and search its index from now on."""
        with self._lock:
            added = self._open_added(ready.path)
            try:
                passages = added.document(document.source)
                found = replace(document, title=passages[0].document, passages=len(passages))
                self._refuse_known(self._twin(found, [passage.text for passage in passages]))
                self._shelf.commit(self._shelf.catalog.with_added(found, ready.generation))
            except BaseException:
                added.close()
                ready.path.unlink(missing_ok=True)
                raise
            self._use(added, ready.path)
            job.passages, job.title, job.state = found.passages, found.title, "done"

    def _refuse_known(self, known: "Added | Listed | None") -> None:
        if known:
            raise RefusedError("same", title=known.title)

    def _twin(self, document: Added, texts: list[str]) -> "Listed | None":
        """Return a document of the bundle that says the same, passage for passage."""
        alike = [
            item for item in self._own.values() if (item.title, item.passages) == (document.title, document.passages)
        ]
        combined = self._combined
        assert combined is not None  # noqa: S101 - open() has set it
        return next((item for item in alike if [found.text for found in combined.document(item.source)] == texts), None)

    def _fail(self, job: Job, document: Added | None, code: str, *, detail: str = "", title: str = "") -> None:
        with self._lock:
            if document:
                self._shelf.drop(document)
            job.code, job.detail, job.title, job.state = code, detail, title, "failed"

    def _reindex(self) -> None:
        self._opened.wait()
        try:
            with self.changing() as catalog:
                count = len(catalog.added)
            ready = self._shelf.build(self._embedding, Silent(), limits=self.limits)
            with self._lock:
                added = self._open_added(ready.path)
                self._shelf.commit(replace(self._shelf.catalog, generation=ready.generation))
                self._use(added, ready.path)
            _LOG.info("The added documents are searched again: %d.", count)
        except RefusedError as error:
            _LOG.warning("The added documents are not searched: %s", error.values.get("detail", error.code))
        except PublicAIError as error:
            _LOG.warning("The added documents are not searched: %s", error.message)

    # --- what the page shows ----------------------------------------------------------------------------------

    def code(self) -> CodeHash | None:
        """Return the code that opens the page, or None where there is none, or it cannot be read."""
        try:
            return staff_code.load(self.place)
        except HostError as error:
            _LOG.warning("%s", error.message)
            return None

    def describe(self) -> dict[str, Any]:
        """Return last changes, work under way and limits, as the page shows them.

        ``version`` says when :meth:`documents` gives another answer than before.
        """
        refusal = self._refusal()
        with self._lock:
            catalog = self._shelf.catalog
            changes = [{"kind": item.kind, "title": item.title} for item in reversed(catalog.changes)]
            jobs = [vars(job).copy() for job in self._jobs]
            version = self._version
        return {
            "version": version,
            "changes": changes,
            "jobs": jobs,
            "refusal": refusal,
            "limits": {
                "file_bytes": self.limits.file_bytes,
                "free_bytes": self._shelf.free_bytes(),
                "documents": MOST_DOCUMENTS,
                "added": len(catalog.added),
            },
        }

    def documents(self) -> list[dict[str, Any]]:
        """Return every document, the last added first, then those of the bundle by title."""
        with self._lock:
            catalog = self._shelf.catalog
            added = [
                {"subject": item.id, "source": item.source, "title": item.title, "name": item.name}
                | {"passages": item.passages, "kind": "added", "hidden": False}
                for item in catalog.added
            ]
            own = [
                {"subject": item.source, "source": item.source, "title": item.title, "name": item.source}
                | {"passages": item.passages, "kind": "bundle", "hidden": item.source in catalog.hidden}
                for item in self._own.values()
            ]
        return added[::-1] + own

    def _refusal(self) -> dict[str, Any] | None:
        try:
            with self.changing():
                return None
        except RefusedError as error:
            return {"code": error.code, **error.values}

    def close(self) -> None:
        """Stop; a document being read is given up, and its file is removed at the next start."""
        self.sessions.end_all()
        self._work.put(None)
        with self._lock:
            if self._held:
                self._held.close()


class _JobProgress(Silent):
    """Shows a child's work on one document in its job."""

    def __init__(self, job: Job, source: str) -> None:
        self._job = job
        self._source = source

    def task(self, label: str, *, total: int | None = None, unit: Unit = "items") -> Task:
        """Open a task; only that of the job's own document is shown."""
        return _JobTask(self._job, total or 0) if self._source == label else Task()


class _JobTask(Task):
    def __init__(self, job: Job, total: int) -> None:
        self._job = job
        job.state, job.done, job.total = "indexing", 0, total

    def advance(self, amount: int) -> None:
        self._job.done += amount
