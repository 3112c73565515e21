"""A bounded reader of GGUF headers (version 2 and 3), in plain Python.

It reads what a build decides on (architecture, types, sizes, context length, chat template) before any native code
sees the file, and it answers hostile input quickly: every count and length is checked against what is left of the
file before anything is allocated. Tensor data is never read.

Invariant: what passes here is laid out as llama.cpp demands it: names once each, types known, tensors one behind the
other. llama.cpp ends its process over some files that are not, so it sees none that this reader has not passed.

Source: the GGUF specification, ggml-org/ggml ``docs/gguf.md``; block sizes after ``ggml-common.h``; what is refused
after the cases of llama.cpp's ``tests/test-gguf.cpp``.
"""

import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from publicai_edge.errors import ModelError

MAGIC = b"GGUF"
_MAX_HEADER = 256 << 20
_MAX_KEYS = 1 << 16
_MAX_TENSORS = 1 << 17
_MAX_TEXT = 16 << 20
_MAX_DIMENSIONS = 4
_MAX_TENSOR_NAME = 63  # bytes; ggml's own names end there
_MAX_SIZE = (1 << 63) - 1  # of what llama.cpp counts in signed 64 bits
_ALIGNMENT, _U32 = "general.alignment", 4
_PIECE = 1 << 20

# Scalar metadata types: code → struct format. 8 is a string, 9 an array.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9

CALIBRATION_DOCUMENTS = "publicai_edge.calibration.documents"
"""Metadata key, an array of SHA-256: the texts that a model's importance matrix was collected on."""

# ggml type → (name, weights in a block, bytes in a block)
TENSOR_TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
    42: ("Q2_0", 64, 18),
}
UNQUANTIZED = frozenset({"F32", "F16", "BF16", "F64", "I8", "I16", "I32", "I64"})


@dataclass(frozen=True)
class Tensor:
    """One tensor's header: dimensions innermost first, ggml type name, offset from the start of the data."""

    name: str
    dimensions: tuple[int, ...]
    type: str
    offset: int

    @property
    def weights(self) -> int:
        """Number of weights."""
        count = 1
        for size in self.dimensions:
            count *= size
        return count


@dataclass(frozen=True)
class Header:
    """What a GGUF file says of itself. Arrays of metadata are kept as their length only.

    ``size`` is in bytes. Of a model in several files (see :mod:`.split`), it is that of all of them, ``tensors`` are
    those of all, and ``files`` names them; ``data_start`` and a tensor's offset tell its place in a single file only.
    """

    path: Path
    version: int
    metadata: dict[str, Any]
    tensors: tuple[Tensor, ...] = field(repr=False)
    data_start: int
    size: int = 0
    files: tuple[Path, ...] = ()

    @property
    def architecture(self) -> str:
        """The model's architecture, as llama.cpp names it; "" when unsaid."""
        return str(self.metadata.get("general.architecture", ""))

    @property
    def chat_template(self) -> str | None:
        """The model's own chat template (Jinja), or None."""
        value = self.metadata.get("tokenizer.chat_template")
        return value if isinstance(value, str) else None

    @property
    def quantization(self) -> str:
        """The type most weights have, like "Q4_1"."""
        count: Counter[str] = Counter()
        for tensor in self.tensors:
            count[tensor.type] += tensor.weights
        return count.most_common(1)[0][0] if count else "none"

    @property
    def is_quantized(self) -> bool:
        """Whether any tensor is stored in fewer than 16 bits a weight."""
        return any(tensor.type not in UNQUANTIZED for tensor in self.tensors)

    def number(self, key: str) -> int | None:
        """Return an integer of the architecture's own metadata, like ``number("block_count")``."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def kv_bytes_per_token(self, bytes_each: int = 2) -> int:
        """Return the KV cache's size for one token of context, in bytes; 0 when the header does not tell."""
        layers, heads = self.number("block_count"), self.number("attention.head_count")
        width = self.number("embedding_length")
        if not (layers and heads and width):
            return 0
        kv_heads = self.number("attention.head_count_kv") or heads
        key = self.number("attention.key_length") or width // heads
        value = self.number("attention.value_length") or width // heads
        return layers * kv_heads * (key + value) * bytes_each


class _Reader:
    """Reads little-endian values and never past the end of the file or the header's bound."""

    def __init__(self, stream: BinaryIO, size: int, path: Path) -> None:
        self.stream = stream
        self.size = size
        self.path = path
        self.at = 0

    def take(self, count: int, what: str) -> bytes:
        if count < 0 or self.at + count > self.size or self.at + count > _MAX_HEADER:
            raise self.broken(f"it ends inside {what}")
        data = self.stream.read(count)
        if len(data) != count:
            raise self.broken(f"it ends inside {what}")
        self.at += count
        return data

    def unpack(self, form: str, what: str) -> Any:
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form), what))[0]

    def text(self, what: str, limit: int = _MAX_TEXT) -> str:
        length = self.unpack("Q", what)
        if length > limit:
            raise self.broken(f"{what} claims {length:,} bytes")
        return self.take(length, what).decode("utf-8", "replace")

    def skip(self, count: int, what: str) -> None:
        if self.at + count > self.size or self.at + count > _MAX_HEADER:
            raise self.broken(f"it ends inside {what}")
        self.stream.seek(count, 1)
        self.at += count

    def skip_strings(self, count: int, what: str) -> None:
        """Skip ``count`` strings: a vocabulary has some hundred thousand, so they are walked in large pieces."""
        length = struct.Struct("<Q").unpack_from
        while count:
            piece = self.stream.read(_PIECE)
            at, last = 0, len(piece) - 8
            if last < 0:
                raise self.broken(f"it ends inside {what}")
            while count and at <= last:
                at += 8 + length(piece, at)[0]
                count -= 1
            if self.at + at > min(self.size, _MAX_HEADER):
                raise self.broken(f"it ends inside {what}")
            self.at = self.stream.seek(self.at + at)

    def broken(self, why: str) -> ModelError:
        return ModelError(
            f"{self.path} is not a whole GGUF file: {why} (byte {self.at:,} of {self.size:,}).",
            hint="Fetch the file again; a cut download is the usual cause.",
            path=str(self.path),
        )


@dataclass(frozen=True)
class Span:
    """Where one key of the metadata lies: its entry from ``start`` to ``end``, its value from ``value`` on (bytes)."""

    start: int
    value: int
    end: int
    type: int


def read(path: Path) -> Header:
    """Read the header of the GGUF file at ``path``.

    Raises:
        ModelError: it is not GGUF, is truncated, or claims what cannot be.
    """
    return _opened(path, {})


def read_stream(stream: BinaryIO, size: int, name: str) -> Header:
    """Read the header at the start of a seekable stream, a file of ``size`` bytes that messages call ``name``.

    Of the stream no more is read than the header. Raises as :func:`read`, and what the stream itself raises.
    """
    return _read(_Reader(stream, size, Path(name)), {})


def spans(path: Path) -> dict[str, Span]:
    """Return where each key of the metadata lies in the file, in the file's order; raises as :func:`read`."""
    found: dict[str, Span] = {}
    _opened(path, found)
    return found


def strings(path: Path, key: str) -> tuple[str, ...]:
    """Return an array of strings of the metadata, empty when there is no such key; raises as :func:`read`.

    Raises:
        ModelError: the key holds something else.
    """
    span = spans(path).get(key)
    if span is None:
        return ()
    with path.open("rb") as stream:
        reader = _Reader(stream, span.end, path)
        reader.at = stream.seek(span.value)
        if span.type != _ARRAY or reader.unpack("I", key) != _STRING:
            raise reader.broken(f"{key} is not an array of strings")
        return tuple(reader.text(key) for _ in range(reader.unpack("Q", key)))


def _opened(path: Path, found: dict[str, Span]) -> Header:
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            return _read(_Reader(stream, size, path), found)
    except FileNotFoundError as error:
        raise ModelError(f"There is no model file at {path}.", hint="Check the path.") from error
    except IsADirectoryError as error:
        raise ModelError(f"{path} is a folder, not a GGUF file.", hint="Name the .gguf file in it.") from error
    except OSError as error:
        raise ModelError(f"Cannot read {path}: {error.strerror}.") from error


def _read(reader: _Reader, found: dict[str, Span]) -> Header:
    magic = reader.stream.read(4)
    reader.at = 4
    if magic != MAGIC:
        shown = magic.decode("ascii", "replace")
        raise ModelError(
            f"{reader.path} is not a GGUF file: it starts with {shown!r}, expected 'GGUF'.",
            hint="Name a .gguf file; other formats go through `publicai-edge convert` first.",
            path=str(reader.path),
        )
    version = reader.unpack("I", "the version")
    if version not in {2, 3}:
        raise ModelError(
            f"{reader.path} has GGUF version {version}; this program reads versions 2 and 3.",
            hint="Convert the model again with a current converter.",
        )
    tensor_count = reader.unpack("Q", "the tensor count")
    key_count = reader.unpack("Q", "the key count")
    if tensor_count > _MAX_TENSORS or key_count > _MAX_KEYS:
        raise reader.broken(f"it claims {tensor_count:,} tensors and {key_count:,} keys")
    metadata: dict[str, Any] = {}
    for _ in range(key_count):
        start = reader.at
        key = reader.text("a key's name", 1 << 16)
        code = reader.unpack("I", f"the type of {key}")
        value = reader.at
        if not key or key in metadata:
            raise reader.broken(f"key {key!r} is there twice" if key else "a key has no name")
        metadata[key] = _value(reader, code, key)
        found[key] = Span(start, value, reader.at, code)
    tensors = tuple(_tensor(reader) for _ in range(tensor_count))
    align = metadata.get(_ALIGNMENT, 32)
    known = _ALIGNMENT not in found or found[_ALIGNMENT].type == _U32
    if not known or not isinstance(align, int) or not 0 < align <= 1 << 20 or align & (align - 1):
        raise reader.broken(f"{_ALIGNMENT} is {align!r}, not a power of two of 32 bits")
    start = -(-reader.at // align) * align
    header = Header(reader.path, version, metadata, tensors, start, reader.size, (reader.path,))
    _check_data(reader, header, align)
    return header


def _value(reader: _Reader, code: int, key: str) -> Any:
    if code in _SCALARS:
        return reader.unpack(_SCALARS[code], key)
    if code == _STRING:
        return reader.text(key)
    if code != _ARRAY:
        raise reader.broken(f"{key} has unknown type {code}")
    inner = reader.unpack("I", key)
    count = reader.unpack("Q", key)
    if inner in _SCALARS:
        reader.skip(count * struct.calcsize("<" + _SCALARS[inner]), key)
    elif inner == _STRING:
        if count * 8 > reader.size - reader.at:
            raise reader.broken(f"{key} claims {count:,} strings")
        reader.skip_strings(count, key)
    else:
        raise reader.broken(f"{key} is an array of unknown type {inner}")
    return {"array": count}


def _tensor(reader: _Reader) -> Tensor:
    name = reader.text("a tensor's name", _MAX_TENSOR_NAME)
    dimensions = reader.unpack("I", name)
    if not 1 <= dimensions <= _MAX_DIMENSIONS:
        raise reader.broken(f"tensor {name} has {dimensions} dimensions")
    sizes = tuple(reader.unpack("Q", name) for _ in range(dimensions))
    code = reader.unpack("I", name)
    offset = reader.unpack("Q", name)
    if code not in TENSOR_TYPES:
        raise reader.broken(f"tensor {name} has type {code}, which this version does not know")
    type_name, block, _ = TENSOR_TYPES[code]
    tensor = Tensor(name, sizes, type_name, offset)
    if any(size > _MAX_SIZE for size in sizes) or tensor.weights > _MAX_SIZE or sizes[0] % block:
        raise reader.broken(f"tensor {name} has the impossible shape {' x '.join(map(str, sizes))} in {type_name}")
    return tensor


def _check_data(reader: _Reader, header: Header, align: int) -> None:
    """See that the tensors' data lie one behind the other, each aligned, and inside the file."""
    by_name = {name: (block, size) for name, block, size in TENSOR_TYPES.values()}
    names: set[str] = set()
    expected = 0
    for tensor in header.tensors:
        block, size = by_name[tensor.type]
        if tensor.name in names:
            raise reader.broken(f"tensor {tensor.name} is there twice")
        if tensor.offset != expected:
            raise reader.broken(f"tensor {tensor.name} lies at {tensor.offset:,} of the data, expected {expected:,}")
        names.add(tensor.name)
        length = tensor.weights // block * size
        expected = -(-(expected + length) // align) * align
        end = header.data_start + tensor.offset + length
        if end > reader.size:
            raise ModelError(
                f"{reader.path} is cut short: tensor {tensor.name} ends at byte {end:,}, "
                f"and the file has {reader.size:,}.",
                hint="Fetch the file again.",
                path=str(reader.path),
            )
