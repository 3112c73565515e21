"""The index as an SQLite database: its schema, shared by the builder and the reader, and how it is opened.

SQLite comes from ``apsw``, not from Python's ``sqlite3``: many Pythons are built without loadable extensions
(pyenv's default, python.org's for macOS), so sqlite-vec could not be loaded; and SQLite writes its own
version into every file, so that an index would differ between two machines that differ only in their Python.

Tables: ``meta`` (format, embedder, dim), ``documents``, ``passages``, ``words`` (FTS5, contentless: the terms
of :mod:`publicai_edge.search.terms`), ``vectors`` (sqlite-vec, float32, cosine). A passage has one id in all
of them; ids run from 1 in the order of documents' names and of passages within a document.
"""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import apsw

from publicai_edge.errors import BundleError, HostError

FORMAT = "1"
APPLICATION_ID = 0x50414B42  # "PAKB"
PAGE_SIZE = 4096
_NO_WORD = "x" * 4096  # longer than any that a question may have

# Pieces that SQLite keeps for itself are not overwritten when a question's words in them are let go (scrub.py).
apsw.shutdown()
apsw.config(apsw.SQLITE_CONFIG_LOOKASIDE, 0, 0)
apsw.initialize()

_TABLES = {
    "meta": "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "documents": "CREATE TABLE documents (id INTEGER PRIMARY KEY, source TEXT NOT NULL UNIQUE, title TEXT NOT NULL)",
    "passages": "CREATE TABLE passages (id INTEGER PRIMARY KEY, "
    "document INTEGER NOT NULL REFERENCES documents (id), heading TEXT NOT NULL, page INTEGER, "
    "text TEXT NOT NULL)",
    "passages_document": "CREATE INDEX passages_document ON passages (document)",
    # Marks are part of words (Indic vowel signs); terms() has already folded case and accents.
    "words": "CREATE VIRTUAL TABLE words USING fts5 (heading, text, content='', "
    "tokenize=\"unicode61 remove_diacritics 2 categories 'L* M* N* Co'\")",
    # Chunks of 256 vectors rather than 1,024: a small library's index does not carry a mostly empty chunk.
    "vectors": "CREATE VIRTUAL TABLE vectors USING vec0 (embedding float[{dim}] distance_metric=cosine, "
    "chunk_size=256)",
}


def create_schema(connection: apsw.Connection, dim: int) -> None:
    """Create the empty tables for vectors of ``dim`` dimensions."""
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for statement in _TABLES.values():
        connection.execute(statement.format(dim=dim))


def open_for_building(path: Path) -> apsw.Connection:
    """Open a new database; the caller owns the file until it is whole, so it is written without a journal."""
    connection = apsw.Connection(str(path))
    _load_vec(connection)
    for pragma in (
        f"page_size = {PAGE_SIZE}",
        "journal_mode = OFF",
        "synchronous = OFF",
        "temp_store = MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def open_for_reading(path: Path) -> apsw.Connection:
    """Open a finished index; nothing is ever written beside it, so it may lie on read-only media.

    Raises:
        BundleError: it is missing, damaged, or not an index of this format.
    """
    if not path.is_file():
        raise BundleError(
            f"There is no index of documents at {path}.", hint="Copy the bundle again from where it came."
        )
    with damage(path):
        connection = apsw.Connection(
            f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1",
            flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI,
            statementcachesize=0,  # a statement kept for the next time keeps the words it was last run with
        )
        try:
            _harden(connection)
            _check(connection, path)
            _load_vec(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def forget_question(connection: apsw.Connection) -> None:
    """Have the last word searched for overwritten where the full-text index's tokenizer keeps it."""
    next(iter(connection.execute("SELECT count(*) FROM words WHERE words MATCH ?", (_NO_WORD,))))


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """Turn what SQLite says about a broken file into :class:`BundleError` that names it."""
    try:
        yield
    except (apsw.Error, UnicodeDecodeError) as error:
        raise BundleError(
            f"The index of documents {path} is damaged: {error}.",
            hint="Copy the bundle again from where it came; `publicai-edge verify` names what changed.",
        ) from error


def vec_path() -> str:
    """Return where sqlite-vec's library lies, as its ``loadable_path`` does.

    Its package is not imported: that would bring Python's own SQLite into the standalone program, for a type hint.
    """
    spec = importlib.util.find_spec("sqlite_vec")
    if spec is None or not spec.submodule_search_locations:
        raise HostError("The package sqlite-vec is not installed.", hint="Run: pip install sqlite-vec")
    return str(Path(spec.submodule_search_locations[0]) / "vec0")


def _load_vec(connection: apsw.Connection) -> None:
    connection.enable_load_extension(True)
    try:
        connection.load_extension(vec_path())
    finally:
        connection.enable_load_extension(False)


def _harden(connection: apsw.Connection) -> None:
    """Take what SQLite's own page on untrusted databases advises (sqlite.org/security.html)."""
    for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")


def _check(connection: apsw.Connection, path: Path) -> None:
    (application,) = next(iter(connection.execute("PRAGMA application_id")))
    found = dict(connection.execute("SELECT name, sql FROM sqlite_master"))
    if application != APPLICATION_ID or "meta" not in found:
        raise BundleError(
            f"{path} is not an index of documents that publicai-edge built.",
            hint="Give the knowledge file of a bundle, or build the bundle again.",
        )
    meta = read_meta(connection)
    if meta.get("format") != FORMAT:
        raise BundleError(
            f"{path} is an index of format {meta.get('format')!r}; this program reads format {FORMAT!r}.",
            hint="Update publicai-edge on this machine, or build the bundle again.",
        )
    # A view or trigger in the place of a table would run what somebody else wrote.
    expected = {name: statement.format(dim=meta.get("dim")) for name, statement in _TABLES.items()}
    foreign = list(connection.execute("SELECT 1 FROM sqlite_master WHERE type IN ('view', 'trigger')"))
    if foreign or any(found.get(name) != statement for name, statement in expected.items()):
        raise BundleError(
            f"{path} has other tables than an index of documents has.",
            hint="Copy the bundle again from where it came.",
        )


def read_meta(connection: apsw.Connection) -> dict[str, str]:
    """Return what the index says about itself: ``format``, ``embedder``, ``dim``."""
    return {str(key): str(value) for key, value in connection.execute("SELECT key, value FROM meta")}
