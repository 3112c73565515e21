"""The steward's own texts, and data sets that arrived as folders of files.

A file's language is told by its row (JSON, CSV, Parquet), else by its place (``texts/sw/leaflet.txt``) or name
(``leaflet.sw.md``, ``sw.txt``), else by the caller. Ids leave the language out, so that ``texts/sw/leaflet.txt`` and
``texts/en/leaflet.txt`` count as translations of one text: the split keeps them on one side.

Invariants: the same files give the same documents, in the same order, on every machine; memory is bounded by
``limit_characters`` a language and the size of the largest file that is read whole; no paragraph is given twice in a
language. A file that cannot be used is left out and named in the source's notes.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path

from publicai_edge.corpus import cut, parquet, rows
from publicai_edge.corpus.documents import PART, Corpus, Document, TextSource, normalised
from publicai_edge.corpus.rows import Columns, Row, plain_tag
from publicai_edge.corpus.sample import Sample
from publicai_edge.errors import DocumentError, RecipeError
from publicai_edge.progress import Progress

_TEXTS = frozenset({".txt", ".md"})
_TABLES = {".jsonl": rows.json_lines, ".json": rows.json_list, ".csv": rows.table, ".tsv": rows.table}
_PARQUET = ".parquet"
SUFFIXES = frozenset({*_TEXTS, *_TABLES, _PARQUET})
_LONG_PARAGRAPH = 40  # characters from which a paragraph that comes again is a copy, not a phrase
_MAX_FILES = 10_000
_MAX_PARAGRAPHS = 500_000  # remembered of a language, about 50 MB; copies beyond that are left to the split
_NOTED = 20
# What a folder or a name says of a language that was not asked for: "es", "pt-BR", "swh_Latn"; a folder also "swh".
_MARK = re.compile(r"(?:[a-z]{2}|[a-z]{3}(?=[-_][A-Z\d]))(?:[-_](?:[A-Za-z]{2}|[A-Z][a-z]{3}|\d{3}))*")
_FOLDER_MARK = re.compile(rf"{_MARK.pattern}|[a-z]{{3}}")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Reading:
    """How to read files.

    Attributes:
        languages: tags wanted, as the recipe writes them; texts in others are left out.
        language: the language of texts that do not tell theirs.
        columns: names of the columns in JSON, CSV and Parquet.
        aliases: other names for languages: ``{"swh_Latn": "sw"}``.
        limit_characters: most characters kept of a language; a longer set is sampled.
        called: what messages and origins call the folder that is read, where it lies in a cache; None: its own name.
    """

    languages: tuple[str, ...]
    language: str | None = None
    columns: Columns = field(default_factory=Columns)
    aliases: Mapping[str, str] = field(default_factory=dict)
    limit_characters: int = 400_000
    called: str | None = None

    def tag(self, name: str) -> str | None:
        """Return the wanted language that ``name`` means, or None."""
        return self.known.get(plain_tag(name))

    @property
    def known(self) -> dict[str, str]:
        """The wanted languages by every name they go by."""
        names = {plain_tag(language): language for language in self.languages}
        return names | {
            plain_tag(name): language for name, language in self.aliases.items() if language in self.languages
        }


@dataclass(frozen=True)
class _File:
    """A file: where it is, how reports call it (not by this machine's folders), its id and language.

    ``foreign`` is the language that its place or name tells, where that is none of the wanted ones.
    """

    path: Path
    shown: str
    name: str
    language: str | None
    foreign: str | None = None


def read(
    places: Sequence[Path],
    reading: Reading,
    *,
    name: str,
    license: str,
    license_url: str | None = None,
    progress: Progress,
) -> Corpus:
    """Return the texts of files and folders.

    Args:
        places: files, or folders that are read with their sub-folders; hidden files are passed over.
        reading: languages, columns and limits.
        name: what a report calls these texts.
        license: their terms.
        license_url: where the terms are stated.
        progress: told of each file, and warned of those left out.

    Raises:
        RecipeError: a place does not exist, or nothing could be read in any wanted language.
        HostError: a Parquet file is there, and pyarrow is not.
    """
    notes: list[str] = []
    files = _files(places, reading)
    readers = _Reader(reading, notes, progress)
    with progress.task(f"Read {name}", total=len(files)) as task:
        for file in files:
            try:
                readers.take(file)
            except DocumentError as error:
                notes.append(_note(error, file))
            task.advance(1)
    documents = readers.documents()
    notes += readers.counts()
    for note in notes[:_NOTED]:
        progress.warn(note)
    if len(notes) > _NOTED:
        progress.warn(f"{name}: {len(notes) - _NOTED} more of this kind.")
    if not documents:
        raise RecipeError(
            f"{name}: no text in {', '.join(reading.languages)} was found in "
            + (reading.called or ", ".join(str(place) for place in places))
            + (f". {notes[0]}" if notes else "."),
            hint="Put texts in a folder named after their language (sw/leaflet.txt), end the file's name with it "
            '(leaflet.sw.txt), or say language = "…".',
            notes=notes[:_NOTED],
        )
    source = TextSource.of(documents, name=name, license=license, license_url=license_url, notes=notes)
    return Corpus(tuple(documents), (source,))


class _Reader:
    """Takes files one after the other and keeps a sample of their documents in each language."""

    def __init__(self, reading: Reading, notes: list[str], progress: Progress) -> None:
        self._reading = reading
        self._notes = notes
        self._progress = progress
        self._samples = {language: Sample(reading.limit_characters) for language in reading.languages}
        self._paragraphs: dict[str, set[bytes]] = {language: set() for language in reading.languages}
        self._again = dict.fromkeys(reading.languages, 0)
        self._foreign: dict[str, int] = {}
        self._foreign_files: dict[str, int] = {}

    def take(self, file: _File) -> None:
        """Read one file.

        Raises:
            DocumentError: it cannot be used.
        """
        if file.path.suffix.lower() in _TEXTS:
            if file.foreign and not file.language:
                self._foreign_files[file.foreign] = self._foreign_files.get(file.foreign, 0) + 1
                return
            text = rows.read_text(file.path)
            if not file.language:
                raise DocumentError(f"{file.path} does not tell its language")
            if not text.strip():
                raise DocumentError(f"{file.path} is empty")
            if not self._keep(file.name, file.language, text, file):
                raise DocumentError(f"{file.path} holds no text that was not read before")
            return
        found = rejected = 0
        for row in self._rows(file):
            language = self._reading.tag(row.language) if row.language else file.language
            if language:
                found += self._keep(_row_id(file, row), language, row.text, file)
            else:
                rejected += 1
                self._count_foreign(row.language or file.foreign or "no language")
        if not found and not rejected:
            raise DocumentError(f"{file.path} holds no text")

    def documents(self) -> list[Document]:
        """Return what was kept, language after language."""
        return [document for sample in self._samples.values() for document in sample]

    def counts(self) -> Iterator[str]:
        """Yield sentences on what was left out for no fault of its own."""
        for language, sample in self._samples.items():
            if sample.left_out:
                kept = sum(1 for _ in sample)
                yield (
                    f"{language}: {kept} of {kept + sample.left_out} documents are used, up to "
                    f"{self._reading.limit_characters:,} characters."
                )
            if self._again[language]:
                yield f"{language}: {self._again[language]} paragraphs that came again are left out."
        wanted = ", ".join(self._reading.languages)
        for name, count in sorted(self._foreign_files.items(), key=lambda item: -item[1])[:_NOTED]:
            yield f"{count} {'file' if count == 1 else 'files'} in {name} left out: not asked for (wanted: {wanted})."
        for name, count in sorted(self._foreign.items(), key=lambda item: -item[1])[:_NOTED]:
            yield f"{count} rows in {name} are left out."

    def _rows(self, file: _File) -> Iterable[Row]:
        suffix = file.path.suffix.lower()
        if suffix == _PARQUET:
            limit = self._reading.limit_characters
            return parquet.sampled_rows(file.path, self._reading.columns, self._reading.known, limit, self._progress)
        return _TABLES[suffix](file.path, self._reading.columns)

    def _keep(self, name: str, language: str, text: str, file: _File) -> int:
        paragraphs = [part for part in cut.paragraphs(_clean(text)) if self._is_new(language, part)]
        parts = [part for part in cut.pieces(paragraphs) if any(letter.isalnum() for letter in part)]
        for number, part in enumerate(parts, 1):
            part_name = f"{name}{PART}{number}" if len(parts) > 1 else name
            self._samples[language].add(Document(part_name, language, part, file.shown))
        return len(parts)

    def _is_new(self, language: str, paragraph: str) -> bool:
        if len(paragraph) < _LONG_PARAGRAPH:
            return True
        key = blake2b(normalised(paragraph).encode(), digest_size=8).digest()
        if key in self._paragraphs[language]:
            self._again[language] += 1
            return False
        if len(self._paragraphs[language]) < _MAX_PARAGRAPHS:
            self._paragraphs[language].add(key)
        return True

    def _count_foreign(self, name: str) -> None:
        known = name[:40]
        if known in self._foreign or len(self._foreign) < _MAX_FILES:
            self._foreign[known] = self._foreign.get(known, 0) + 1


def _files(places: Sequence[Path], reading: Reading) -> list[_File]:
    found: list[_File] = []
    for place in places:
        if place.is_file():
            if place.suffix.lower() not in SUFFIXES:
                raise RecipeError(
                    f"{place} is of kind {place.suffix!r}, which texts are not read from.",
                    hint=f"Kinds that can be read: {', '.join(sorted(SUFFIXES))}.",
                )
            found.append(_described(place, place.parent, reading))
        elif place.is_dir():
            found += [_described(path, place, reading) for path in _listed(place)]
        else:
            raise RecipeError(f"There are no texts at {place}.", hint="Check the path: file or folder.")
    by_language = any(file.language for file in found)
    return [
        file if file.language or (file.foreign and by_language) else replace(file, language=reading.language)
        for file in found
    ]


def _listed(folder: Path) -> list[Path]:
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):  # does not follow links to folders
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if not name.startswith(".") and path.suffix.lower() in SUFFIXES and path.is_file():
                found.append(path)
        if len(found) > _MAX_FILES:
            raise RecipeError(
                f"{folder} holds more than {_MAX_FILES:,} files of texts.", hint="Join them, one JSON object a line."
            )
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _described(path: Path, root: Path, reading: Reading) -> _File:
    """Return a file with its language and its name without the language."""
    *folders, name = path.relative_to(root).parts
    base = root.name if reading.called is None else reading.called
    shown = "/".join(filter(None, [base, path.relative_to(root).as_posix()]))
    before, _, ending = path.stem.rpartition(".")
    if before and (language := reading.tag(ending)):
        return _File(path, shown, "/".join([*folders, before + path.suffix]), language)
    for at, folder in enumerate(folders):
        if language := reading.tag(folder):
            return _File(path, shown, "/".join([*folders[:at], *folders[at + 1 :], name]), language)
    name = "/".join([*folders, name])
    if language := reading.tag(path.stem):
        return _File(path, shown, name, language)
    marks = [mark for mark in (ending if before else path.stem,) if _MARK.fullmatch(mark)]
    marks += [folder for folder in folders if _FOLDER_MARK.fullmatch(folder)]
    return _File(path, shown, name, None, marks[0] if marks else None)


def _note(error: DocumentError, file: _File) -> str:
    used = "left out" if file.path.suffix.lower() not in _TABLES else "nothing of the file is used from there on"
    message = error.message.replace(str(file.path), file.shown)
    return f"{message.rstrip('.')}: {used}." + (f" {error.hint}" if error.hint else "")


def _row_id(file: _File, row: Row) -> str:
    """Return the id of a row: its own, or its number in the file."""
    given = row.id.replace(PART, "_")[:200] if row.id else str(row.number)
    return f"{file.name}:{given}"


def _clean(text: str) -> str:
    """Return text that can be written as UTF-8: without lone surrogates, and controls but line ends and tabs."""
    return _CONTROL.sub(" ", text)
