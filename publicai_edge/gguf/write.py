"""The few bytes of GGUF that this project writes itself: metadata entries, tensor headers, small files.

Source: the GGUF specification, ggml-org/ggml ``docs/gguf.md``, version 3.
"""

import struct
from collections.abc import Iterable, Sequence

from publicai_edge.gguf.header import MAGIC, TENSOR_TYPES

ALIGNMENT = 32
COUNT_AT = 16  # byte where the number of metadata entries lies
_U32, _F32, _STRING, _ARRAY = 4, 6, 8, 9
_CODES = {name: code for code, (name, _, _) in TENSOR_TYPES.items()}

Value = str | int | float | Sequence[str]


def entry(key: str, value: Value) -> bytes:
    """Return one metadata entry; ints are stored as uint32, floats as float32, sequences as arrays of strings."""
    head = text(key)
    if isinstance(value, str):
        return head + struct.pack("<I", _STRING) + text(value)
    if isinstance(value, int):
        return head + struct.pack("<II", _U32, value)
    if isinstance(value, float):
        return head + struct.pack("<If", _F32, value)
    return head + struct.pack("<IIQ", _ARRAY, _STRING, len(value)) + b"".join(map(text, value))


def tensor_header(name: str, dimensions: Sequence[int], type_name: str, offset: int) -> bytes:
    """Return one tensor's header; trailing dimensions of 1 are left out, as ggml does."""
    sizes = trimmed(dimensions)
    return text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, _CODES[type_name], offset)


def trimmed(dimensions: Sequence[int]) -> Sequence[int]:
    """Return the dimensions without trailing ones; at least one is left."""
    last = max((place for place, size in enumerate(dimensions) if size > 1), default=0)
    return dimensions[: last + 1]


def padded(size: int) -> int:
    """Return ``size`` rounded up to GGUF's default alignment."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def file(entries: Sequence[bytes], tensors: Iterable[tuple[str, Sequence[int], str, bytes]]) -> bytes:
    """Return a whole GGUF file of metadata entries and tensors (name, dimensions, type, data)."""
    headers, data, offset = [], [], 0
    for name, dimensions, type_name, values in tensors:
        headers.append(tensor_header(name, dimensions, type_name, offset))
        data.append(values.ljust(padded(len(values)), b"\0"))
        offset += padded(len(values))
    head = struct.pack("<4sIQQ", MAGIC, 3, len(headers), len(entries)) + b"".join([*entries, *headers])
    return head.ljust(padded(len(head)), b"\0") + b"".join(data)


def text(value: str) -> bytes:
    """Return a string as GGUF writes it: its length in bytes, and UTF-8."""
    data = value.encode()
    return struct.pack("<Q", len(data)) + data
