"""CRFsuite's model file, read into plain arrays, within bounds; the file comes from strangers.

The form is that of CRFsuite 0.12 (``crf1d_model.c``, ``cqdb.c``), all numbers little-endian: a header of twelve words
of 32 bits; a list of features, each a kind, two numbers and a weight; and two dictionaries, of labels and of
attributes, that list the strings by their numbers.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from publicai_edge.errors import ModelError

_MAX_BYTES, _MOST_WEIGHTS = 64 << 20, 1 << 24
_HEADER, _CHUNK, _ENTRY = struct.Struct("<4sI4s9I"), struct.Struct("<4sII"), struct.Struct("<II")
_DICTIONARY = struct.Struct("<4sIIIII")
_FEATURE = np.dtype([("kind", "<u4"), ("source", "<u4"), ("target", "<u4"), ("weight", "<f8")])
_STATE, _TRANSITION = 0, 1
_HINT = "Name the folder espeak/ of one of gruut's language packages, such as sdist:gruut-lang-en==2.0.1/."


@dataclass(frozen=True)
class Field:
    """A conditional random field: its labels, its attributes, and what each attribute and label says for a label."""

    labels: tuple[str, ...]
    attributes: tuple[str, ...]
    states: npt.NDArray[np.float64]
    transitions: npt.NDArray[np.float64]


def read(path: Path) -> Field:
    """Read a model file.

    Raises:
        ModelError: it is not one, or damaged.
    """
    try:
        with path.open("rb") as stream:
            return _parse(stream.read(_MAX_BYTES))
    except (OSError, ValueError, struct.error) as error:
        raise ModelError(f"{path} is not a model of CRFsuite: {error}.", hint=_HINT, path=str(path)) from error


def _parse(data: bytes) -> Field:
    magic, _, kind, version, _, labels, attributes, features_at, labels_at, attributes_at, _, _ = _HEADER.unpack_from(
        data
    )
    if (magic, kind, version) != (b"lCRF", b"FOMC", 100):
        raise ValueError("its header is another one")
    if max(labels, attributes) * labels > _MOST_WEIGHTS or not labels:
        raise ValueError(f"it has {labels} labels and {attributes} attributes")
    chunk, _, count = _CHUNK.unpack_from(data, features_at)
    if chunk != b"FEAT":
        raise ValueError("it has no features")
    features = np.frombuffer(data, _FEATURE, count, features_at + _CHUNK.size)
    return Field(
        _strings(data, labels_at, labels),
        _strings(data, attributes_at, attributes),
        _weights(features[features["kind"] == _STATE], attributes, labels),
        _weights(features[features["kind"] == _TRANSITION], labels, labels),
    )


def _weights(features: npt.NDArray[np.void], rows: int, columns: int) -> npt.NDArray[np.float64]:
    weights = np.zeros((rows, columns))
    if len(features) and (features["source"].max() >= rows or features["target"].max() >= columns):
        raise ValueError("a feature is of a label or an attribute that is not there")
    if not np.isfinite(features["weight"]).all():
        raise ValueError("a weight is no number")
    weights[features["source"], features["target"]] = features["weight"]
    return weights


def _strings(data: bytes, start: int, count: int) -> tuple[str, ...]:
    """Return a dictionary's strings by their numbers."""
    chunk, _, _, _, listed, offset = _DICTIONARY.unpack_from(data, start)
    if chunk != b"CQDB" or listed < count:
        raise ValueError("a dictionary is missing or too short")
    places = struct.unpack_from(f"<{count}I", data, start + offset)
    found = []
    for number, place in enumerate(places):
        stated, size = _ENTRY.unpack_from(data, start + place)
        if stated != number or size == 0 or start + place + _ENTRY.size + size > len(data):
            raise ValueError("a dictionary's strings are out of order")
        begin = start + place + _ENTRY.size
        found.append(data[begin : begin + size - 1].decode())
    return tuple(found)
