"""Rows of a file: JSON lines, a JSON list, CSV, TSV or Parquet, one text each.

Files come from strangers: a line, a file that must be read whole, and the number of rows with faults are bounded, and
Parquet, which native code reads, is read in a process of its own.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from publicai_edge.errors import DocumentError

MAX_WHOLE_BYTES = 64 << 20
_MAX_LINE = 16 << 20
ID = "id"
LANGUAGE = "language"


@dataclass(frozen=True)
class Columns:
    """Names of the columns: the text's, and the language's where it is not ``language``."""

    text: str = "text"
    language: str | None = None


@dataclass(frozen=True)
class Row:
    """One text, with the id and the language its row gives, where it does, and its number from 1."""

    number: int
    text: str
    id: str | None = None
    language: str | None = None


def read_text(path: Path) -> str:
    """Return the text of a file in UTF-8, with or without a byte order mark.

    Raises:
        DocumentError: it is too large, not UTF-8, or not text.
    """
    with path.open("rb") as stream:
        data = stream.read(MAX_WHOLE_BYTES + 1)
    if len(data) > MAX_WHOLE_BYTES:
        raise DocumentError(
            f"{path} is larger than {MAX_WHOLE_BYTES >> 20} MiB.", hint="Divide it into several files, or JSON lines."
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentError(
            f"{path} is not UTF-8: byte {error.start} is 0x{data[error.start]:02x}.", hint="Save it as UTF-8."
        ) from error
    if "\0" in text:
        raise DocumentError(f"{path} is not text: it holds zero bytes.", hint="Save its text as UTF-8.")
    return text


def json_lines(path: Path, columns: Columns) -> Iterator[Row]:
    """Yield the rows of a file with one JSON object a line; empty lines are passed over.

    Raises:
        DocumentError: a line is no such object, or longer than 16 MiB.
    """
    line_number = number = 0
    with path.open("rb") as stream:
        while line := stream.readline(_MAX_LINE + 1):
            line_number += 1
            where = f"{path}, line {line_number}"
            if len(line) > _MAX_LINE:
                raise DocumentError(f"{where} is longer than {_MAX_LINE >> 20} MiB.", hint="Is it JSON lines?")
            if line.strip():
                number += 1
                yield row_of(number, _parsed(line, where), columns, where)


def json_list(path: Path, columns: Columns) -> Iterator[Row]:
    """Yield the rows of a file that is one JSON list, of objects or of texts.

    Raises:
        DocumentError: it is anything else, or larger than 64 MiB.
    """
    listed = _parsed(read_text(path).encode(), str(path))
    if not isinstance(listed, list):
        raise DocumentError(f"{path} is not a list of texts: expected [...], found {_kind(listed)}.")
    for number, item in enumerate(listed, 1):
        value = {columns.text: item} if isinstance(item, str) else item
        yield row_of(number, value, columns, f"{path}, item {number}")


def table(path: Path, columns: Columns) -> Iterator[Row]:
    """Yield the rows of a CSV or TSV file, whose first line names the columns.

    Raises:
        DocumentError: it is not UTF-8, lacks the text's column, or is no such table.
    """
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    number = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            for number, value in enumerate(csv.DictReader(stream, delimiter=delimiter, strict=True), 1):
                given = {name: field for name, field in value.items() if isinstance(name, str) and field is not None}
                yield row_of(number, given, columns, f"{path}, row {number}")
    except csv.Error as error:
        raise DocumentError(f"{path} is not a table as its name says, near row {number + 1}: {error}.") from error
    except UnicodeDecodeError as error:
        raise DocumentError(f"{path} is not UTF-8, near row {number + 1}.", hint="Save it as UTF-8.") from error


def plain_tag(text: str) -> str:
    """Return a language's name in the form in which names are compared: ``swh_Latn`` and ``swh-latn`` are one."""
    return text.strip().lower().replace("_", "-")


def row_of(number: int, value: Any, columns: Columns, where: str) -> Row:
    """Return a row of its columns' values.

    Raises:
        DocumentError: it is no mapping, lacks a column, or its text is something else.
    """
    if not isinstance(value, Mapping):
        raise DocumentError(f"{where} is {_kind(value)}; expected an object with the key {columns.text!r}.")
    text = value.get(columns.text)
    if text is None:
        raise missing_column(columns.text, list(value), where)
    if not isinstance(text, str):
        raise DocumentError(
            f"{where}: {columns.text!r} is {_kind(text)}; expected text.", hint='Name the text\'s column: column = "…".'
        )
    if columns.language and columns.language not in value:
        raise missing_column(columns.language, list(value), where)
    name, language = value.get(ID), value.get(columns.language or LANGUAGE)
    return Row(
        number,
        text,
        str(name) if isinstance(name, str | int) and not isinstance(name, bool) and str(name).strip() else None,
        language if isinstance(language, str) and language.strip() else None,
    )


def missing_column(name: str, found: list[Any], where: str) -> DocumentError:
    """Return the error for a column that is not there."""
    listed = ", ".join(str(item)[:40] for item in found[:20]) or "none"
    return DocumentError(
        f"{where} has no column {name!r}; it has: {listed}.",
        hint='Name the column that holds the text: column = "…"; and the language\'s: language_column = "…".',
    )


def _parsed(data: bytes, where: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"{where} is not JSON: {error}.") from error


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")
