"""States as llama.cpp writes them, of made-up numbers."""

import struct

import numpy as np

LAYERS, WIDTH = 3, 64


def state(cells: int = 10, *, position: int = 5, kind: int = 1, streams: int = 1, transposed: int = 0) -> bytes:
    """Return the state of ``cells`` tokens from ``position`` on, with keys and values of 16-bit floats."""
    rng = np.random.default_rng(3)
    head = struct.pack("<IIII", 7, 0, streams, cells)
    head += b"".join(struct.pack("<iIi", position + index, 1, 0) for index in range(cells))
    head += struct.pack("<II", transposed, LAYERS)
    rows = struct.pack("<iQ", kind, 2 * WIDTH)
    layers = [rng.standard_normal((cells, WIDTH)).astype("<f2").tobytes() for _ in range(2 * LAYERS)]
    return head + b"".join(rows + layer for layer in layers)


def values(data: bytes, cells: int = 10) -> np.ndarray:
    """Return the numbers of such a state, shape (2 x layers, cells, width)."""
    start = 16 + 12 * cells + 8
    rows = np.frombuffer(data, np.uint8)[start:].reshape(2 * LAYERS, 12 + 2 * WIDTH * cells)
    return np.ascontiguousarray(rows[:, 12:]).view("<f2").reshape(2 * LAYERS, cells, WIDTH).astype(np.float32)
