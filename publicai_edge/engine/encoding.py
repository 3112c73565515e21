"""Encoding rows of weights in ggml's types, and reading them back.

Invariant: encoding gives the bytes that ``llama_model_quantize`` would write for the same rows, type and importances.
Rows are encoded one by one, so a part of a tensor's rows is encoded as it would be within the whole.

Source: ``ggml_quantize_chunk`` and ``ggml_get_type_traits`` in ``ggml/include/ggml.h`` of llama.cpp.
"""

import ctypes
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

from publicai_edge import gguf
from publicai_edge.host import usable_cores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SLAB_WEIGHTS = 1 << 18
_CODES = {name: code for code, (name, _, _) in gguf.TENSOR_TYPES.items()}
_BLOCKS = {name: (weights, size) for name, weights, size in gguf.TENSOR_TYPES.values()}


class _TypeTraits(ctypes.Structure):
    _fields_ = (
        ("type_name", ctypes.c_char_p),
        ("block", ctypes.c_int64),
        ("block_interleave", ctypes.c_int64),
        ("type_size", ctypes.c_size_t),
        ("is_quantized", ctypes.c_bool),
        ("to_float", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)),
        ("from_float_ref", ctypes.c_void_p),
    )


@cache
def _ggml() -> Any:
    """Return llama.cpp's own library handle: ggml's symbols are found through it."""
    from publicai_edge.engine.llama import library

    native = library()._lib
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    native.ggml_get_type_traits.restype = ctypes.POINTER(_TypeTraits)
    native.ggml_get_type_traits.argtypes = [ctypes.c_int]
    native.ggml_quantize_chunk.restype = ctypes.c_size_t
    native.ggml_quantize_chunk.argtypes = [ctypes.c_int, pointer, pointer, number, number, number, pointer]
    return native


def fits(type_name: str, columns: int) -> bool:
    """Say whether rows of ``columns`` weights can be stored in a type: whole blocks only."""
    return columns % _BLOCKS[type_name][0] == 0


def row_bytes(type_name: str, columns: int) -> int:
    """Return the bytes of a row of ``columns`` weights."""
    weights, size = _BLOCKS[type_name]
    return columns // weights * size


def encode(
    weights: "NDArray[np.float32]", type_name: str, importance: "NDArray[np.float32] | None" = None
) -> "NDArray[np.uint8]":
    """Encode rows of weights as llama.cpp's quantizer would.

    Args:
        weights: shape (rows, columns), or (matrices, rows, columns) for a stack of experts.
        type_name: a quantized ggml type whose blocks divide ``columns``.
        importance: how much each column counts, shape (columns,) or (matrices, columns); None counts all alike.

    Returns:
        Bytes, shape (all rows, bytes of a row).
    """
    import numpy as np

    native, code = _ggml(), _CODES[type_name]
    *stack, rows, columns = weights.shape
    flat = np.ascontiguousarray(weights, np.float32).reshape(-1, columns)
    out = np.empty((len(flat), row_bytes(type_name, columns)), np.uint8)
    matrices = stack[0] if stack else 1
    counts = None if importance is None else np.ascontiguousarray(importance, np.float32).reshape(matrices, columns)

    def work(first: int, last: int) -> None:
        chosen = None if counts is None else counts[first // rows].ctypes.data
        source, target = flat[first:].ctypes.data, out[first:].ctypes.data
        native.ggml_quantize_chunk(code, source, target, 0, last - first, columns, chosen)

    _in_parallel(work, _slabs(matrices, rows, columns))
    return out


def decode(data: "NDArray[np.uint8]", type_name: str, shape: tuple[int, ...]) -> "NDArray[np.float32]":
    """Return the weights that encoded rows stand for, as an array of ``shape`` (its last axis is the columns)."""
    import numpy as np

    to_float = _ggml().ggml_get_type_traits(_CODES[type_name]).contents.to_float
    columns = shape[-1]
    rows = np.ascontiguousarray(data).reshape(-1, row_bytes(type_name, columns))
    out = np.empty((len(rows), columns), np.float32)

    def work(first: int, last: int) -> None:
        to_float(rows[first:].ctypes.data, out[first:].ctypes.data, (last - first) * columns)

    _in_parallel(work, _slabs(1, len(rows), columns))
    return out.reshape(shape)


def round_trip(
    weights: "NDArray[np.float32]", type_name: str, importance: "NDArray[np.float32] | None" = None
) -> "NDArray[np.float32]":
    """Return what is left of ``weights`` after they were stored in a type."""
    return decode(encode(weights, type_name, importance), type_name, weights.shape)


def _slabs(matrices: int, rows: int, columns: int) -> Iterator[tuple[int, int]]:
    """Yield row ranges of bounded size that cross no border between matrices."""
    step = max(1, _SLAB_WEIGHTS // columns)
    for start in range(0, matrices * rows, rows):
        for first in range(start, start + rows, step):
            yield first, min(first + step, start + rows)


def _in_parallel(work: Callable[[int, int], None], slabs: Iterator[tuple[int, int]]) -> None:
    with ThreadPoolExecutor(usable_cores()) as pool:
        for done in [pool.submit(work, first, last) for first, last in slabs]:
            done.result()
