"""The JSON files that lie beside a model's graphs: they come from strangers, so what is read of one is bounded."""

import json
from pathlib import Path
from typing import Any

from publicai_edge.errors import ModelError


def read(path: Path, most_bytes: int, hint: str) -> dict[str, Any]:
    """Return the object that a file holds.

    Args:
        path: the file.
        most_bytes: as much as is read of it.
        hint: what to do about one that cannot be read.

    Raises:
        ModelError: it is not there, damaged, longer than that, or holds something else than an object.
    """
    try:
        with path.open("rb") as stream:
            value = json.loads(stream.read(most_bytes))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read: {str(error)[:200]}.", hint=hint, path=str(path)) from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds no object, but {type(value).__name__}.", hint=hint, path=str(path))
    return value
