"""One native batch, filled from Python without a call for each token.

``llama_batch`` is five arrays. Here they are numpy arrays that the native struct points into, so that a prompt's piece
is five slice assignments whatever its length.

Invariant: the arrays live as long as the struct that points into them; there are never more rows of logits than
``outputs``, because llama.cpp ends the process on one more.
"""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from publicai_edge.engine.llama import library


class Batch:
    """Room for tokens of several sequences.

    Args:
        capacity: tokens.
        outputs: rows of logits.
    """

    def __init__(self, capacity: int, outputs: int) -> None:
        self.capacity = capacity
        self.outputs = outputs
        self._tokens = np.zeros(capacity, np.int32)
        self._positions = np.zeros(capacity, np.int32)
        self._counts = np.ones(capacity, np.int32)
        self._sequences = np.zeros(capacity, np.int32)
        self._wanted = np.zeros(capacity, np.int8)
        places = self._sequences.ctypes.data + 4 * np.arange(capacity, dtype=np.uint64)
        self._pointers = places.astype(np.uint64)
        llama = library()
        fields = dict(llama.llama_batch._fields_)

        def at(array: Any, name: str) -> Any:
            return ctypes.cast(array.ctypes.data, fields[name])

        self.native = llama.llama_batch()
        self.native.token = at(self._tokens, "token")
        self.native.pos = at(self._positions, "pos")
        self.native.n_seq_id = at(self._counts, "n_seq_id")
        self.native.seq_id = at(self._pointers, "seq_id")
        self.native.logits = at(self._wanted, "logits")
        self.native.n_tokens = 0
        self._rows = 0

    def __len__(self) -> int:
        return int(self.native.n_tokens)

    @property
    def room(self) -> int:
        """Tokens that may still be added."""
        return self.capacity - len(self)

    @property
    def room_for_logits(self) -> int:
        """Rows of logits that may still be asked for."""
        return self.outputs - self._rows

    def clear(self) -> None:
        """Begin again."""
        self.native.n_tokens = 0
        self._rows = 0

    def add(self, tokens: Sequence[int], *, sequence: int, position: int, logits: int) -> int:
        """Add tokens of one sequence from ``position`` on, and want the logits of the last ``logits`` of them.

        Returns:
            The index in the batch of the first whose logits are wanted.

        Raises:
            ValueError: there is no room; the caller looks first.
        """
        start, count = len(self), len(tokens)
        if count > self.room or logits > min(count, self.room_for_logits):
            raise ValueError(f"no room for {count} tokens and {logits} rows of logits")
        end = start + count
        if count == 1:  # most of them, most of the time
            self._tokens[start] = tokens[0]
            self._positions[start] = position
            self._sequences[start] = sequence
            self._wanted[start] = logits
            self.native.n_tokens = end
            self._rows += logits
            return start if logits else end
        self._tokens[start:end] = tokens
        self._positions[start:end] = np.arange(position, position + count, dtype=np.int32)
        self._sequences[start:end] = sequence
        self._wanted[start:end] = 0
        self._wanted[end - logits : end] = 1
        self.native.n_tokens = end
        self._rows += logits
        return end - logits
