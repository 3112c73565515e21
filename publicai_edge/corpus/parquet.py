"""Parquet files, the usual form of data sets on the hub, read with pyarrow where it is installed.

Invariant: the file is parsed in a child process with a time limit; what comes back is a bounded sample of plain text.
Only the columns of text, id and language are read.
"""

import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from publicai_edge import child
from publicai_edge.corpus.rows import ID, LANGUAGE, Columns, Row, missing_column, plain_tag, row_of
from publicai_edge.errors import DocumentError, HostError
from publicai_edge.progress import Progress

_LIMIT_SECONDS = 600.0
_BATCH_ROWS = 512
_MAX_GROUP_BYTES = 2 << 30  # pyarrow holds one row group at a time


def available() -> bool:
    """Whether pyarrow is installed."""
    return importlib.util.find_spec("pyarrow") is not None


def sampled_rows(
    path: Path, columns: Columns, accepted: Iterable[str], limit_characters: int, progress: Progress
) -> list[Row]:
    """Return a sample of a Parquet file's rows: at most ``limit_characters`` of text for each language they name.

    Args:
        path: the file.
        columns: names of its columns.
        accepted: languages whose rows count, in the form of :func:`rows.plain_tag`; rows that name none count too.
        limit_characters: of each language.
        progress: told of the rows read.

    Raises:
        HostError: pyarrow is not installed.
        DocumentError: the file is broken, or lacks a column.
        EngineError: the child crashed or ran out of time.
    """
    if not available():
        raise HostError(
            f"{path} is a Parquet file, which needs the package pyarrow to read.",
            hint="Install it: pip install pyarrow. Or save the texts as JSON lines (.jsonl) or CSV.",
        )
    payload: dict[str, Any] = {
        "path": str(path),
        "text": columns.text,
        "language": columns.language,
        "limit": limit_characters,
    }
    payload["accepted"] = sorted(accepted)
    result = child.run(
        f"{__name__}:_read", payload, what=f"read {path}", progress=progress, limit_seconds=_LIMIT_SECONDS
    )
    return [Row(*item) for item in result.value]


def _read(payload: dict[str, Any], progress: Progress) -> list[list[Any]]:
    from publicai_edge.corpus.documents import Document
    from publicai_edge.corpus.sample import Sample

    accepted = frozenset(payload["accepted"])
    samples: dict[str, Sample] = {}
    for row in _rows(Path(payload["path"]), Columns(payload["text"], payload["language"]), progress):
        if row.language is None or plain_tag(row.language) in accepted:
            sample = samples.setdefault(row.language or "", Sample(payload["limit"]))
            sample.add(Document(str(row.number), row.language or "", row.text, row.id or ""))
    kept = [document for sample in samples.values() for document in sample]
    return [[int(item.id), item.text, item.origin or None, item.language or None] for item in kept]


def _rows(path: Path, columns: Columns, progress: Progress) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        with parquet.ParquetFile(path, memory_map=True) as file:
            names = _names(file, columns, path)
            with progress.task(f"Read {path.name}", total=file.metadata.num_rows) as task:
                for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=names):
                    for value in batch.to_pylist():
                        number += 1
                        text = value[columns.text]
                        if isinstance(text, str) and text.strip():
                            yield row_of(number, value, columns, f"{path}, row {number}")
                    task.advance(batch.num_rows)
    except (pyarrow.ArrowException, OSError) as error:
        raise DocumentError(f"{path} is not a readable Parquet file: {str(error)[:300]}.") from error


def _names(file: Any, columns: Columns, path: Path) -> list[str]:
    found = [str(name) for name in file.schema_arrow.names]
    for wanted in filter(None, (columns.text, columns.language)):
        if wanted not in found:
            raise missing_column(wanted, list(found), str(path))
    kind = file.schema_arrow.field(columns.text).type
    if str(kind) not in {"string", "large_string", "string_view"}:
        raise DocumentError(f"{path}: column {columns.text!r} holds {kind}; expected text.")
    groups = range(file.metadata.num_row_groups)
    largest = max((file.metadata.row_group(group).total_byte_size for group in groups), default=0)
    if largest > _MAX_GROUP_BYTES:
        raise DocumentError(
            f"{path} has a row group of {largest:,} bytes; at most {_MAX_GROUP_BYTES:,} are read.",
            hint="Write it again with smaller row groups, or as JSON lines.",
        )
    wanted_names = (columns.text, columns.language or LANGUAGE, ID)
    return [name for name in dict.fromkeys(wanted_names) if name in found]
