"""What was added to a bundle, what of it is hidden, and how each of the last changes is taken back: plain values.

Invariants: a change gives a new catalog and touches nothing else; :meth:`Catalog.undone` gives back what was there
before the last change; a document that was removed stays named while its removal can still be taken back, and no
longer; of one that was deleted for good nothing is said. The file is one JSON object, replaced as a whole.
"""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from publicai_edge.errors import BundleError

FORMAT = 1
REMEMBERED = 20
"""Changes that can be taken back, the last first."""

Kind = Literal["add", "remove", "hide", "show"]
_KINDS = ("add", "remove", "hide", "show")


@dataclass(frozen=True)
class Added:
    """A document that was added.

    Attributes:
        id: the first 16 hexadecimal digits of the SHA-256 of its content.
        name: its file name.
        title: as the page shows it.
        sha256: of its content, in hexadecimal.
        size: in bytes.
        passages: how many it was cut into.
    """

    id: str
    name: str
    title: str
    sha256: str
    size: int
    passages: int

    @property
    def source(self) -> str:
        """What its passages are found under; no document of a bundle lies below such a folder."""
        return f"added/{self.id}/{self.name}"


@dataclass(frozen=True)
class Change:
    """One change: of an added document, by its id, or of a document of the bundle, by its source."""

    kind: Kind
    subject: str
    title: str


@dataclass(frozen=True)
class Catalog:
    """The whole of ``catalog.json``.

    Attributes:
        generation: number of the index that holds ``added`` and ``removed``; 0 where there is none yet.
        added: in the order they were added.
        removed: no longer shown, kept while their removal can be taken back.
        hidden: documents of the bundle that are not shown, by source.
        changes: oldest first.
    """

    generation: int = 0
    added: tuple[Added, ...] = ()
    removed: tuple[Added, ...] = ()
    hidden: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()

    @property
    def kept(self) -> tuple[Added, ...]:
        """Every document whose file is still here."""
        return self.added + self.removed

    def find(self, sha256: str) -> Added | None:
        """Return the document with this content, where it is shown."""
        return next((item for item in self.added if item.sha256 == sha256), None)

    def with_added(self, document: Added, generation: int) -> "Catalog":
        """Return the catalog with one document more, and the index that holds it."""
        removed = tuple(item for item in self.removed if item.id != document.id)
        changed = replace(self, added=(*self.added, document), removed=removed, generation=generation)
        return changed._noting(Change("add", document.id, document.title))

    def without(self, number: str) -> "Catalog":
        """Return the catalog without an added document.

        Raises:
            KeyError: there is none of that id.
        """
        document = _named(self.added, number)
        return self._taking_out(document)._noting(Change("remove", number, document.title))

    def deleting(self, number: str) -> "Catalog":
        """Return the catalog without an added or a removed document, and without the changes that speak of it.

        Raises:
            KeyError: there is none of that id.
        """
        _named(self.kept, number)
        return replace(
            self,
            added=tuple(item for item in self.added if item.id != number),
            removed=tuple(item for item in self.removed if item.id != number),
            changes=tuple(item for item in self.changes if item.subject != number or item.kind in {"hide", "show"}),
        )

    def hiding(self, source: str, title: str) -> "Catalog":
        """Return the catalog with a document of the bundle hidden.

        Raises:
            KeyError: it is hidden already.
        """
        if source in self.hidden:
            raise KeyError(source)
        return replace(self, hidden=(*self.hidden, source))._noting(Change("hide", source, title))

    def showing(self, source: str, title: str) -> "Catalog":
        """Return the catalog with a document of the bundle shown again.

        Raises:
            KeyError: it is not hidden.
        """
        return self._unhidden(source)._noting(Change("show", source, title))

    def undone(self) -> "Catalog":
        """Return the catalog as it was before the last change.

        Raises:
            KeyError: there is no change to take back.
        """
        if not self.changes:
            raise KeyError("no change")
        before, last = replace(self, changes=self.changes[:-1]), self.changes[-1]
        match last.kind:
            case "add":
                changed = before._taking_out(_named(self.added, last.subject))
            case "remove":
                document = _named(self.removed, last.subject)
                others = tuple(item for item in self.removed if item.id != document.id)
                changed = replace(before, added=(*self.added, document), removed=others)
            case "hide":
                changed = before._unhidden(last.subject)
            case "show":
                changed = replace(before, hidden=(*self.hidden, last.subject))
        return changed._trimmed()

    def _taking_out(self, document: Added) -> "Catalog":
        added = tuple(item for item in self.added if item.id != document.id)
        return replace(self, added=added, removed=(*self.removed, document))

    def _unhidden(self, source: str) -> "Catalog":
        if source not in self.hidden:
            raise KeyError(source)
        return replace(self, hidden=tuple(item for item in self.hidden if item != source))

    def _noting(self, change: Change) -> "Catalog":
        return replace(self, changes=(*self.changes, change)[-REMEMBERED:])._trimmed()

    def _trimmed(self) -> "Catalog":
        wanted = {change.subject for change in self.changes if change.kind == "remove"}
        return replace(self, removed=tuple(item for item in self.removed if item.id in wanted))

    def to_bytes(self) -> bytes:
        """Return the file's content."""
        text = json.dumps({"format": FORMAT, **asdict(self)}, indent=1, ensure_ascii=False)
        return (text + "\n").encode()


def parse(data: bytes, where: str) -> Catalog:
    """Read what :meth:`Catalog.to_bytes` wrote.

    Raises:
        BundleError: it is not that.
    """
    try:
        raw = json.loads(data)
        if raw["format"] != FORMAT:
            raise BundleError(
                f"{where} has format {raw['format']!r}; this program reads format {FORMAT}.",
                hint="Update publicai-edge on this machine.",
            )
        found = Catalog(
            generation=int(raw["generation"]),
            added=tuple(_added(item) for item in raw["added"]),
            removed=tuple(_added(item) for item in raw["removed"]),
            hidden=tuple(str(item) for item in raw["hidden"]),
            changes=tuple(_change(item) for item in raw["changes"]),
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise BundleError(
            f"{where} is damaged: {' '.join(str(error).split())[:200]}.",
            hint="Move its folder away to start with no added documents; their files are in `originals` there.",
        ) from error
    return found


def _added(raw: dict[str, Any]) -> Added:
    found = Added(**raw)
    texts = (found.id, found.name, found.title, found.sha256)
    if not all(isinstance(text, str) for text in texts) or not _is_hex(found.id) or not _is_hex(found.sha256):
        raise ValueError(f"an added document is {raw!r}")
    return found


def _change(raw: dict[str, Any]) -> Change:
    found = Change(**raw)
    if found.kind not in _KINDS:
        raise ValueError(f"a change is {raw!r}")
    return found


def _is_hex(text: str) -> bool:
    return bool(text) and all(letter in "0123456789abcdef" for letter in text)


def _named(documents: tuple[Added, ...], number: str) -> Added:
    found = next((item for item in documents if item.id == number), None)
    if found is None:
        raise KeyError(number)
    return found
