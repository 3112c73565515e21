"""The index as an SQLite database: its schema, shared by the builder and the reader, and how it is opened.

SQLite comes from ``apsw``, not from Python's ``sqlite3``: SQLite writes its own version into every file, so that an
index would differ between two machines that differ only in their Python.

Tables: ``meta`` (format, embedder, dim), ``documents``, ``passages``, ``terms`` (those of
:mod:`publicai_edge.search.terms`, with their :mod:`~publicai_edge.search.postings`), ``codes`` (of the passages'
vectors, :mod:`~publicai_edge.search.codes`), ``arrays`` (what a search keeps in memory: lengths, centre, signs). A
passage has one id in all of them; ids run from 1 without a gap, in the order of documents' names and of passages
within a document.

A passage's ``language`` is a primary language subtag, or "" where it is not known; ``languages`` in ``meta`` names
those that there are, with spaces between them.

Format 1 had an FTS5 table and a table of sqlite-vec in the place of the last three; format 2 told no languages.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import apsw

from publicai_edge.errors import BundleError

FORMAT = "3"
_EARLIER = {"1", "2"}
APPLICATION_ID = 0x50414B42  # "PAKB"
PAGE_SIZE = 4096

# Pieces that SQLite keeps for itself are not overwritten when a question's words in them are let go (scrub.py).
apsw.shutdown()
apsw.config(apsw.SQLITE_CONFIG_LOOKASIDE, 0, 0)
apsw.initialize()

_TABLES = {
    "meta": "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "documents": "CREATE TABLE documents (id INTEGER PRIMARY KEY, source TEXT NOT NULL UNIQUE, title TEXT NOT NULL)",
    "passages": "CREATE TABLE passages (id INTEGER PRIMARY KEY, "
    "document INTEGER NOT NULL REFERENCES documents (id), heading TEXT NOT NULL, page INTEGER, "
    "language TEXT NOT NULL, text TEXT NOT NULL)",
    "passages_document": "CREATE INDEX passages_document ON passages (document)",
    "terms": "CREATE TABLE terms (term TEXT PRIMARY KEY, held INTEGER NOT NULL, postings BLOB NOT NULL) WITHOUT ROWID",
    "codes": "CREATE TABLE codes (id INTEGER PRIMARY KEY, code BLOB NOT NULL)",
    "arrays": "CREATE TABLE arrays (name TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID",
}


class DamageError(Exception):
    """What an index says does not fit together; :func:`damage` gives it the index's name."""


def create_schema(connection: apsw.Connection) -> None:
    """Create the empty tables."""
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for statement in _TABLES.values():
        connection.execute(statement)


def open_for_building(path: Path) -> apsw.Connection:
    """Open a new database; the caller owns the file until it is whole, so it is written without a journal."""
    connection = apsw.Connection(str(path))
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
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """Turn what SQLite says about a broken file into :class:`BundleError` that names it."""
    try:
        yield
    except (apsw.Error, UnicodeDecodeError, DamageError) as error:
        raise BundleError(
            f"The index of documents {path} is damaged: {error}.",
            hint="Copy the bundle again from where it came; `publicai-edge verify` names what changed.",
        ) from error


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
    form = read_meta(connection).get("format")
    if form in _EARLIER:
        raise BundleError(
            f"{path} is an index of format {form!r}, from an earlier publicai-edge; this one reads format {FORMAT!r}.",
            hint="Build the bundle again. Until then, start it with the program it carries (./start), if it has one.",
        )
    if form != FORMAT:
        raise BundleError(
            f"{path} is an index of format {form!r}; this program reads format {FORMAT!r}.",
            hint="Update publicai-edge on this machine, or build the bundle again.",
        )
    # A view or trigger in the place of a table would run what somebody else wrote.
    foreign = list(connection.execute("SELECT 1 FROM sqlite_master WHERE type IN ('view', 'trigger')"))
    if foreign or any(found.get(name) != statement for name, statement in _TABLES.items()):
        raise BundleError(
            f"{path} has other tables than an index of documents has.",
            hint="Copy the bundle again from where it came.",
        )


def read_meta(connection: apsw.Connection) -> dict[str, str]:
    """Return what the index says about itself: ``format``, ``embedder``, ``dim``, ``languages``."""
    return {str(key): str(value) for key, value in connection.execute("SELECT key, value FROM meta")}


def read_array(connection: apsw.Connection, name: str) -> bytes:
    """Return one of the arrays that a search keeps in memory.

    Raises:
        DamageError: it is not there.
    """
    (data,) = next(iter(connection.execute("SELECT data FROM arrays WHERE name = ?", (name,))), (None,))
    if not isinstance(data, bytes):
        raise DamageError(f"its array {name!r} is missing")
    return data
