"""A sequence's state in fewer bytes: keys in 8 bits and values in 4, with a scale for each block of 32.

llama.cpp writes a state as a head (its mark, the sequence, the number of streams, then each cell's position), and after
it, layer by layer, the keys' rows and then the values' rows. Where those are 16-bit floats in whole blocks they are
packed here; a state of any other form is left as it is, and kept so.

Keys are what attention compares, and errors in them grow in its exponential; values are only averaged. So keys get
8 bits, and values 4 with a lowest value of their own for each block (ggml's Q8_0 and Q4_1). `benchmarks/passages.py`
measures what that costs.

Invariants: what is packed comes back with the same head and the same sizes; bytes that were not packed here are
refused with a ``ValueError``, never read past their end.

Source: ``llama_kv_cache::state_write`` of llama.cpp; "KIVI", Liu et al. 2024, on keys and values in few bits.
"""

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BLOCK = 32
_F16 = 1  # ggml's number for the type
_NUMBERS = struct.Struct("<IIII")  # mark, sequence, streams, cells
_CELL = struct.Struct("<iIi")  # position, how many sequences, the sequence
_LAYERS = struct.Struct("<II")  # whether values are transposed, layers
_ROWS = struct.Struct("<iQ")  # type, bytes of a row
_SHAPE = struct.Struct("<IIQQ")  # bytes of the head, layers, bytes of a row of keys, and of values
_MOST_CELLS, _MOST_LAYERS, _MOST_ROW = 1 << 20, 1 << 10, 1 << 20


@dataclass(frozen=True)
class _Form:
    """Where what lies in a state: cells, layers, and bytes of a row."""

    head: int
    cells: int
    layers: int
    key_row: int
    value_row: int

    def block(self, row: int) -> int:
        """Bytes of one layer's rows, with what stands before them."""
        return _ROWS.size + self.cells * row

    @property
    def size(self) -> int:
        """Bytes of the whole state."""
        return self.head + self.layers * (self.block(self.key_row) + self.block(self.value_row))


def positions(state: bytes | bytearray) -> list[int]:
    """Return the positions of a state's cells, in their order.

    Raises:
        ValueError: it is cut short, or of several streams.
    """
    count = _cells(state)
    return [_CELL.unpack_from(state, _NUMBERS.size + index * _CELL.size)[0] for index in range(count)]


def pack(state: bytes | bytearray) -> bytes | None:
    """Return a state in fewer bytes; None where it is not of the form that can be packed."""
    import numpy as np

    form = _form(state)
    if form is None:
        return None
    data = np.frombuffer(state, np.uint8)
    at = form.head
    parts = [_SHAPE.pack(form.head, form.layers, form.key_row, form.value_row), bytes(state[: form.head])]
    for row, pack_rows in ((form.key_row, _to_eight), (form.value_row, _to_four)):
        width = form.block(row)
        layers = data[at : at + form.layers * width].reshape(form.layers, width)
        if not (layers[:, : _ROWS.size] == np.frombuffer(_ROWS.pack(_F16, row), np.uint8)).all():
            return None
        values = np.ascontiguousarray(layers[:, _ROWS.size :]).view("<f2").astype(np.float32)
        if not np.isfinite(values).all():
            return None
        parts += pack_rows(values.reshape(-1, _BLOCK))
        at += form.layers * width
    return b"".join(parts)


def unpack(packed: bytes | bytearray) -> bytearray:
    """Return the state that was packed.

    Raises:
        ValueError: it is not what :func:`pack` wrote, or cut short.
    """
    import numpy as np

    form, at = _packed_form(packed)
    state = bytearray(form.size)
    state[: form.head] = packed[_SHAPE.size : at]
    data = np.frombuffer(state, np.uint8)
    to = form.head
    for row, bits in ((form.key_row, 8), (form.value_row, 4)):
        width, blocks = form.block(row), form.layers * form.cells * row // (2 * _BLOCK)
        values, at = (_from_eight if bits == 8 else _from_four)(packed, at, blocks)  # noqa: PLR2004
        layers = data[to : to + form.layers * width].reshape(form.layers, width)
        layers[:, : _ROWS.size] = np.frombuffer(_ROWS.pack(_F16, row), np.uint8)
        layers[:, _ROWS.size :] = values.astype("<f2").reshape(form.layers, -1).view(np.uint8)
        to += form.layers * width
    return state


def _cells(state: bytes | bytearray) -> int:
    if len(state) < _NUMBERS.size:
        raise ValueError("a state is cut short")
    _, _, streams, cells = _NUMBERS.unpack_from(state)
    if streams != 1 or not 0 < cells <= _MOST_CELLS or len(state) < _NUMBERS.size + cells * _CELL.size:
        raise ValueError("not a state of one stream, or cut short")
    return int(cells)


def _form(state: bytes | bytearray) -> _Form | None:
    """Return how a state is laid out; None where that is not a form known here."""
    try:
        cells = _cells(state)
        at = _NUMBERS.size + cells * _CELL.size
        transposed, layers = _LAYERS.unpack_from(state, at)
        head = at + _LAYERS.size
        if transposed or not 0 < layers <= _MOST_LAYERS:
            return None
        key_type, key_row = _ROWS.unpack_from(state, head)
        value_type, value_row = _ROWS.unpack_from(state, head + layers * (_ROWS.size + cells * key_row))
    except (ValueError, struct.error):
        return None
    form = _Form(head, cells, layers, key_row, value_row)
    rows_fit = all(0 < row <= _MOST_ROW and row % (2 * _BLOCK) == 0 for row in (key_row, value_row))
    return form if key_type == value_type == _F16 and rows_fit and form.size == len(state) else None


def _packed_form(packed: bytes | bytearray) -> tuple[_Form, int]:
    """Return what was packed, and where its rows begin."""
    if len(packed) < _SHAPE.size:
        raise ValueError("a packed state is cut short")
    head, layers, key_row, value_row = _SHAPE.unpack_from(packed)
    cells = _cells(packed[_SHAPE.size : _SHAPE.size + head])
    if head != _NUMBERS.size + cells * _CELL.size + _LAYERS.size or not 0 < layers <= _MOST_LAYERS:
        raise ValueError("the head of a packed state has another length")
    if any(not 0 < row <= _MOST_ROW or row % (2 * _BLOCK) for row in (key_row, value_row)):
        raise ValueError("the rows of a packed state are not in whole blocks")
    blocks = layers * cells * key_row // (2 * _BLOCK), layers * cells * value_row // (2 * _BLOCK)
    if len(packed) != _SHAPE.size + head + blocks[0] * (_BLOCK + 2) + blocks[1] * (_BLOCK // 2 + 4):
        raise ValueError("a packed state has another length than its head says")
    return _Form(head, cells, layers, key_row, value_row), _SHAPE.size + head


def _to_eight(blocks: "NDArray[np.float32]") -> list[bytes]:
    """Return the numbers and scales of blocks, shape (blocks, 32), as 8-bit integers times a scale."""
    import numpy as np

    scale = (np.abs(blocks).max(1, keepdims=True) / 127).astype("<f2")
    factor = scale.astype(np.float32)
    factor[factor == 0] = 1
    return [np.rint(blocks / factor).clip(-127, 127).astype(np.int8).tobytes(), scale.tobytes()]


def _from_eight(packed: bytes | bytearray, at: int, blocks: int) -> tuple["NDArray[np.float32]", int]:
    import numpy as np

    numbers = np.frombuffer(packed, np.int8, blocks * _BLOCK, at).reshape(blocks, _BLOCK)
    at += numbers.nbytes
    scale = np.frombuffer(packed, "<f2", blocks, at)
    return numbers * scale.astype(np.float32)[:, None], at + scale.nbytes


def _to_four(blocks: "NDArray[np.float32]") -> list[bytes]:
    """Return the numbers, scales and lowest values of blocks, shape (blocks, 32): two 4-bit numbers a byte."""
    import numpy as np

    low = blocks.min(1, keepdims=True).astype("<f2")
    scale = ((blocks.max(1, keepdims=True) - low.astype(np.float32)) / 15).clip(0, 65504).astype("<f2")
    factor = scale.astype(np.float32)
    factor[factor == 0] = 1
    numbers = np.rint((blocks - low.astype(np.float32)) / factor).clip(0, 15).astype(np.uint8)
    half = _BLOCK // 2
    return [(numbers[:, :half] | numbers[:, half:] << 4).tobytes(), scale.tobytes(), low.tobytes()]


def _from_four(packed: bytes | bytearray, at: int, blocks: int) -> tuple["NDArray[np.float32]", int]:
    import numpy as np

    half = _BLOCK // 2
    pairs = np.frombuffer(packed, np.uint8, blocks * half, at).reshape(blocks, half)
    at += pairs.nbytes
    scale = np.frombuffer(packed, "<f2", blocks, at)
    at += scale.nbytes
    low = np.frombuffer(packed, "<f2", blocks, at)
    values = np.empty((blocks, _BLOCK), np.float32)
    values[:, :half], values[:, half:] = pairs & 15, pairs >> 4
    values *= scale.astype(np.float32)[:, None]
    values += low.astype(np.float32)[:, None]
    return values, at + low.nbytes
