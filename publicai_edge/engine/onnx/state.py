"""A sequence's keys and values in a file: the tokens they stand for, then a layer's keys and values each, in 16 bits.

A line that names the form, then arrays as ``numpy.save`` writes them, without pickles. Whether a file is whole is for
its digest to say; here a file of another model is only told from one of this.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from publicai_edge.engine.onnx.graph import Array, Part

_FORM = b"publicai-edge onnx state 1\n"
_LARGEST = 65504.0  # of 16-bit floating point numbers


def rounded(values: Array) -> Array:
    """Return values in 16 bits; one too large for them becomes the largest."""
    with np.errstate(over="ignore"):
        return np.clip(values, -_LARGEST, _LARGEST).astype(np.float16)


def write(path: Path, tokens: Sequence[int], parts: Sequence[Array]) -> None:
    """Write a state: ``parts`` of shape (heads, tokens, width)."""
    with path.open("wb") as stream:
        stream.write(_FORM)
        np.save(stream, np.array(tokens, np.int32), allow_pickle=False)
        for values in parts:
            np.save(stream, rounded(values), allow_pickle=False)


def read(path: Path, capacity: int, parts: Sequence[Part]) -> tuple[list[int], list[Array]] | None:
    """Return the tokens and values of a state of up to ``capacity`` tokens; None when it is not one of this model."""
    try:
        with path.open("rb") as stream:
            if stream.read(len(_FORM)) != _FORM:
                return None
            tokens: Any = np.load(stream, allow_pickle=False)
            if tokens.dtype != np.int32 or tokens.ndim != 1 or len(tokens) > capacity:
                return None
            found = []
            for part in parts:
                values = np.load(stream, allow_pickle=False)
                if values.shape != (part.heads, len(tokens), part.width) or values.dtype != np.float16:
                    return None
                found.append(values)
    except (OSError, ValueError, EOFError):
        return None
    return [int(token) for token in tokens], found
