"""What staff do with a running kiosk's documents: add, remove, hide, show, take back, delete for good.

The folder that it is done to is in :mod:`.staff_folder`, the work in the background in :mod:`.staff_jobs`, and the
search of the documents together with the additions in :mod:`publicai_edge.knowledge.added.library`.

Invariants: one document is read at a time, in a child process, by a thread of its own, so that patrons are answered
meanwhile. Nothing a patron typed comes here.
"""

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from publicai_edge.bundle.open import Bundle
from publicai_edge.errors import DocumentError, HostError, PublicAIError
from publicai_edge.kiosk import passage_states, staff_code
from publicai_edge.kiosk.staff_code import CodeHash, Gate
from publicai_edge.kiosk.staff_folder import AddedFolder, RefusedError
from publicai_edge.kiosk.staff_jobs import Job, JobProgress, Jobs
from publicai_edge.kiosk.staff_sessions import StaffSessions
from publicai_edge.kiosk.staff_uploads import Upload, Uploads
from publicai_edge.knowledge.added.catalog import Added, Catalog
from publicai_edge.knowledge.added.shelf import LIMITS, MOST_DOCUMENTS, Ready
from publicai_edge.knowledge.extractor import Limits

if TYPE_CHECKING:  # they bring the embedding runtime; the page must be up before that is loaded
    from publicai_edge.engine.embedder import Embedder
    from publicai_edge.search.combined import CombinedBase, Listed

_LOG = logging.getLogger("publicai_edge.kiosk")


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
        self.jobs = Jobs()
        self._folder = AddedFolder(place / "documents", bundle, limits, self.jobs.submit)
        self._shelf = self._folder.shelf
        self.uploads = Uploads(self._shelf)

    @property
    def embedder(self) -> "Embedder | None":
        """The bundle's search model, once it is open."""
        return self._folder.library.embedder if self._folder.is_open else None

    def open(self) -> "CombinedBase":
        """Open the bundle's documents and the additions; what is wrong with the latter is told on the page.

        Raises:
            BundleError: the bundle's own documents cannot be opened.
        """
        return self._folder.open()

    @property
    def version(self) -> int:
        """A number that grows whenever other documents are searched than before."""
        return self._folder.version

    # --- changes ----------------------------------------------------------------------------------------------

    def change(self, kind: Literal["remove", "hide", "show", "undo"], subject: str) -> None:
        """Remove an added document, hide or show one of the bundle, or take the last change back.

        Raises:
            RefusedError: there is no such document, or the disk refuses.
        """
        with self._folder.changing() as catalog:
            own = self._folder.library.own
            try:
                match kind:
                    case "remove":
                        changed = catalog.without(subject)
                    case "hide":
                        changed = catalog.hiding(subject, own[subject].title)
                    case "show":
                        changed = catalog.showing(subject, own[subject].title)
                    case "undo":
                        changed = catalog.undone()
            except KeyError as error:
                raise RefusedError("gone") from error
            self._commit(changed)
            for title in {item.title for item in catalog.added} - {item.title for item in changed.added}:
                self.jobs.drop(title)  # it said that the document can be found

    def _commit(self, changed: Catalog) -> None:
        """Make this the catalog, and erase what the model has computed of documents that are shown no more."""
        library = self._folder.library
        gone = library.shown_by(self._shelf.catalog) - library.shown_by(changed)
        passages = [passage for source in gone for passage in library.combined.document(source)]
        self._folder.commit(changed)
        passage_states.forget(self.place, [passage_states.digest_of(passage) for passage in passages])

    # --- deleting for good ------------------------------------------------------------------------------------

    def delete(self, subject: str) -> Job:
        """Delete an added document, or a removed one, for good: it is gone at once, and from the disk soon after.

        Raises:
            RefusedError: there is no such document, or the disk refuses.
        """
        with self._folder.changing() as catalog:
            document = next((item for item in catalog.kept if item.id == subject), None)
            if document is None:
                raise RefusedError("gone")
            self._commit(catalog.deleting(subject))
            self.jobs.drop(document.title)
            return self.jobs.begin(document.title, self._erase)

    def _erase(self, job: Job) -> None:
        job.state = "erasing"
        try:
            self._folder.erase_unnamed()
            job.state = "erased"
        except PublicAIError as error:
            _LOG.warning("A document was not erased: %s", error.message)
            self._fail(job, None, "not_erased", detail=error.message)
        except Exception as error:
            self._fail(job, None, "not_erased")
            raise error from None

    # --- adding -----------------------------------------------------------------------------------------------

    def begin_upload(self, name: str, size: int) -> Upload:
        """Make room for a document.

        Raises:
            RefusedError: it is too large, one too many, or the disk refuses.
        """
        with self._folder.changing() as catalog:
            if len(catalog.added) + self.jobs.waiting >= MOST_DOCUMENTS:
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
        return self.jobs.begin(upload.name, lambda job: self._add(job, upload))

    def _add(self, job: Job, upload: Upload) -> None:
        document: Added | None = None
        try:
            sha256, _ = self._shelf.identify(upload.folder)
            self._refuse_known(self._shelf.catalog.find(sha256))
            document = self._shelf.take_in(upload.folder, upload.name)
            job.state = "reading"
            ready = self._folder.build(JobProgress(job, document.source), document)
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
        else:
            self._tidy()
        finally:
            self.uploads.end(upload)

    def _tidy(self) -> None:
        """Remove the index before this one, and what of removed documents cannot be brought back any more."""
        try:
            self._shelf.erase_unnamed()
        except HostError as error:
            _LOG.warning("%s", error.message)

    def _take_up(self, job: Job, document: Added, ready: Ready) -> None:
        """Put a document into the catalog, and search its index from now on."""
        with self._folder.lock:
            library = self._folder.library
            index = library.open_index(ready.path)
            try:
                passages = index.base.document(document.source)
                found = replace(document, title=passages[0].document, passages=len(passages))
                self._refuse_known(library.twin(found, [passage.text for passage in passages]))
                self._shelf.commit(self._shelf.catalog.with_added(found, ready.generation))
            except BaseException:
                index.base.close()
                ready.path.unlink(missing_ok=True)
                raise
            library.use(index)
            self._folder.version += 1
            job.passages, job.title, job.state = found.passages, found.title, "done"

    def _refuse_known(self, known: "Added | Listed | None") -> None:
        if known:
            raise RefusedError("same", title=known.title)

    def _fail(self, job: Job, document: Added | None, code: str, *, detail: str = "", title: str = "") -> None:
        with self._folder.lock:
            if document:
                self._shelf.drop(document)
            job.code, job.detail, job.title, job.state = code, detail, title, "failed"

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
        with self._folder.lock:
            catalog = self._shelf.catalog
            changes = [{"kind": item.kind, "title": item.title} for item in reversed(catalog.changes)]
            jobs = self.jobs.to_json()
            version = self._folder.version
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
        """Return every document: the last added first, then those removed that can come back, then the bundle's."""
        with self._folder.lock:
            catalog = self._shelf.catalog
            own = self._folder.library.own.values() if self._folder.is_open else ()
            rows = [_row("added", item.id, item, item.name) for item in reversed(catalog.added)]
            rows += [_row("removed", item.id, item, item.name, hidden=True) for item in reversed(catalog.removed)]
            return rows + [
                _row("bundle", item.source, item, item.source, hidden=item.source in catalog.hidden) for item in own
            ]

    def changed(self) -> tuple[int, int]:
        """Return how many documents, and passages, there are more than came with the bundle; less is negative."""
        with self._folder.lock:
            catalog = self._shelf.catalog
            own = self._folder.library.own if self._folder.is_open else {}
            hidden = [own[source].passages for source in catalog.hidden if source in own]
            passages = sum(document.passages for document in catalog.added) - sum(hidden)
            return len(catalog.added) - len(hidden), passages

    def _refusal(self) -> dict[str, Any] | None:
        try:
            with self._folder.changing():
                return None
        except RefusedError as error:
            return {"code": error.code, **error.values}

    def close(self) -> None:
        """Stop; a document being read is given up, and its file is removed at the next start."""
        self.sessions.end_all()
        self.jobs.close()
        self._folder.close()


def _row(kind: str, subject: str, item: "Added | Listed", name: str, *, hidden: bool = False) -> dict[str, Any]:
    facts = {"source": item.source, "title": item.title, "name": name, "passages": item.passages}
    return {"kind": kind, "subject": subject, "hidden": hidden, **facts}
