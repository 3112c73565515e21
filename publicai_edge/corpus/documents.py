"""Documents, where they come from, and sets of them.

Invariants: every document has text with at least one letter or digit; an id occurs once in a language; the same id in
two languages means the same text, translated. Everything is frozen and goes to JSON and back unchanged.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Self

from publicai_edge import digest
from publicai_edge.errors import RecipeError

PART = "#"
"""What parts a document's id from the number of its part, where a long text was cut: ``leaflet.txt#2``."""


def normalised(text: str) -> str:
    """Return the form in which two texts count as the same: NFKC, case folded, any white space one space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


@dataclass(frozen=True)
class Document:
    """One text.

    Attributes:
        id: names it within its corpus; equal in two languages for translations of one text.
        language: BCP 47 tag, as the recipe writes it.
        text: paragraphs, with an empty line between two.
        origin: the file it was read from, for a person to find it.
    """

    id: str
    language: str
    text: str
    origin: str

    @cached_property
    def sha256(self) -> str:
        """Digest of the normalised text: what proves that two sets of documents share nothing."""
        return digest.of_bytes(normalised(self.text).encode("utf-8", "surrogatepass"))

    def __str__(self) -> str:
        """Return how messages name it."""
        return f"{self.id} ({self.language})"


@dataclass(frozen=True)
class TextSource:
    """Where documents come from and on what terms.

    Attributes:
        name: what a report calls it.
        license: SPDX identifier, or a sentence where no such licence was given.
        license_url: where the terms are stated.
        languages: tags of the documents read.
        documents: how many documents.
        characters: how many characters of text.
        notes: what a reader should know: what was left out or could not be read.
    """

    name: str
    license: str
    license_url: str | None
    languages: tuple[str, ...]
    documents: int
    characters: int
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        documents: Iterable[Document],
        *,
        name: str,
        license: str,
        license_url: str | None,
        notes: Iterable[str] = (),
    ) -> Self:
        """Return the source of these documents, counted."""
        listed = list(documents)
        languages = tuple(dict.fromkeys(document.language for document in listed))
        characters = sum(len(document.text) for document in listed)
        return cls(name, license, license_url, languages, len(listed), characters, tuple(notes))


@dataclass(frozen=True)
class Corpus:
    """Documents in one or more languages, with their sources."""

    documents: tuple[Document, ...]
    sources: tuple[TextSource, ...]

    def __post_init__(self) -> None:
        counts = Counter((document.language, document.id) for document in self.documents)
        (language, name), count = max(counts.items(), key=lambda item: item[1], default=(("", ""), 0))
        if count > 1:
            origins = [d.origin for d in self.documents if (d.language, d.id) == (language, name)]
            raise RecipeError(
                f"Two texts in {language} are both called {name!r}: {origins[0]} and {origins[1]}.",
                hint="Name each folder or file of texts once, or rename one of the two.",
            )

    @property
    def languages(self) -> tuple[str, ...]:
        """Tags of the languages, in the order of their first documents."""
        return tuple(dict.fromkeys(document.language for document in self.documents))

    def of(self, language: str) -> tuple[Document, ...]:
        """Return the documents in a language, in order."""
        return tuple(document for document in self.documents if document.language == language)

    def where(self, keep: Iterable[Document]) -> Self:
        """Return the corpus of some of its documents; the sources stay as they are."""
        return type(self)(tuple(keep), self.sources)

    @cached_property
    def digests(self) -> frozenset[str]:
        """Digests of the documents' texts."""
        return frozenset(document.sha256 for document in self.documents)

    @cached_property
    def sha256(self) -> str:
        """Digest of all documents in their order: of ids, languages and exact texts, not of where they lay."""
        return digest.of_json([[d.id, d.language, digest.of_bytes(d.text.encode())] for d in self.documents])

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"documents": [asdict(d) for d in self.documents], "sources": [asdict(s) for s in self.sources]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Rebuild it from :meth:`to_json`'s value."""
        sources = tuple(_source(item) for item in value["sources"])
        return cls(tuple(Document(**item) for item in value["documents"]), sources)


def joined(corpora: Iterable[Corpus]) -> Corpus:
    """Return one corpus of several.

    Raises:
        RecipeError: two of them hold a document of the same id and language.
    """
    parts = list(corpora)
    documents = tuple(document for part in parts for document in part.documents)
    return Corpus(documents, tuple(source for part in parts for source in part.sources))


def _source(item: Mapping[str, Any]) -> TextSource:
    return TextSource(**{**item, "languages": tuple(item["languages"]), "notes": tuple(item["notes"])})
