"""Vectors as an index keeps them: two bytes a dimension to measure by, and a bit a dimension to look through them all.

Looking through every vector is a matter of how many bytes are read. A passage's *code* is its vector in whole numbers
of two bytes, over its largest part; cosines from codes are within a hundred-thousandth of those of float32. Its *signs*
are a bit a dimension: whether the vector lies above the mean of all passages there (the centre: of many embedding
models all vectors lean to one side, and bits around zero would hardly differ). A question is compared with the signs of
all passages, and with the codes of the :data:`LOOKED_AT` whose signs differ least. Up to so many passages, all codes
are compared, and nothing is missed. What was measured: docs/adr/0040.

Invariants: what is written depends on the vectors alone, not on the machine: whole numbers, or single operations that
IEEE 754 gives one result for. Nothing here multiplies matrices with numpy, which is slow in the standalone program
(docs/adr/0034).
"""

from collections.abc import Iterator
from itertools import islice

import apsw
import numpy as np
import numpy.typing as npt

from publicai_edge.search.database import DamageError

LOOKED_AT = 1000
_ONE = 32767
_CODE = "<i2"
_AT_ONCE = 4096
_WORD = 64

Codes = npt.NDArray[np.int16]
Vectors = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]


def encode(vectors: Vectors) -> Codes:
    """Return the codes of vectors: whole numbers of two bytes, of the same shape."""
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    codes: Codes = np.rint(vectors / np.maximum(largest, np.float32(1e-12)) * np.float32(_ONE)).astype(_CODE)
    return codes


def write_signs(connection: apsw.Connection, dim: int) -> None:
    """Write the centre and the signs of all codes in ``connection`` into its arrays."""
    total, count = np.zeros(dim, np.int64), 0
    for codes in _all_codes(connection, dim):
        total += _whole(codes).sum(axis=0)
        count += len(codes)
    centre = np.rint(total / max(count, 1)).astype("<i2")
    signs = b"".join(_signs(_whole(codes), centre).tobytes() for codes in _all_codes(connection, dim))
    rows = (("centre", centre.tobytes()), ("signs", signs))
    connection.executemany("INSERT INTO arrays (name, data) VALUES (?, ?)", rows)


class Signs:
    """The signs of all passages, in memory; several threads may use it at once."""

    def __init__(self, centre: bytes, signs: bytes, count: int, dim: int) -> None:
        width = -(-dim // _WORD)
        if len(centre) != 2 * dim or len(signs) != 8 * width * count:
            raise DamageError("its signs do not fit its passages")
        self._centre = np.frombuffer(centre, "<i2")
        # A row a word of 64 dimensions, so that each step below reads one piece of memory from end to end.
        self._rows = np.ascontiguousarray(np.frombuffer(signs, np.uint64).reshape(count, width).T)

    def likely(self, vector: Vectors) -> Numbers:
        """Return the passages that are looked at for a question's ``vector``, by rising number.

        At most :data:`LOOKED_AT`; of equally many different signs, those of the lower numbers.
        """
        count = self._rows.shape[1]
        if count <= LOOKED_AT:
            return np.arange(1, count + 1)
        question = _signs(_whole(vector[None]), self._centre).view(np.uint64)[0]
        apart = np.zeros(count, np.uint16)
        for row, word in zip(self._rows, question, strict=True):
            apart += np.bitwise_count(row ^ word)
        within = np.bincount(apart).cumsum()
        limit = int(np.searchsorted(within, LOOKED_AT))
        nearer = np.flatnonzero(apart < limit)
        equal = np.flatnonzero(apart == limit)[: LOOKED_AT - len(nearer)]
        return np.sort(np.concatenate([nearer, equal])) + 1


def cosines(connection: apsw.Connection, numbers: Numbers, vector: Vectors) -> npt.NDArray[np.float32]:
    """Return the cosines of passages to a question's ``vector``, in the order of ``numbers``, which rise.

    Raises:
        DamageError: a code is missing, or of another size.
    """
    query = (
        f"SELECT code FROM codes WHERE id IN ({','.join('?' * len(numbers))}) "  # noqa: S608 - nothing but marks
        "AND typeof(code) = 'blob' AND length(code) = ? ORDER BY id"
    )
    found = [code for (code,) in connection.execute(query, [*numbers.tolist(), 2 * vector.size])]
    if len(found) != len(numbers):
        raise DamageError("codes of passages are missing")
    codes = np.frombuffer(b"".join(found), _CODE).reshape(len(found), vector.size).astype(np.float32)
    products = np.einsum("ij,j->i", codes, vector)  # not `@`: einsum's loops are numpy's own
    lengths = np.sqrt(np.einsum("ij,ij->i", codes, codes))
    measured: npt.NDArray[np.float32] = products / np.maximum(lengths, np.float32(1))
    return measured


def _all_codes(connection: apsw.Connection, dim: int) -> Iterator[Codes]:
    rows = connection.execute("SELECT code FROM codes ORDER BY id")
    while batch := [code for (code,) in islice(rows, _AT_ONCE)]:
        yield np.frombuffer(b"".join(batch), _CODE).reshape(len(batch), dim)


def _whole(vectors: Codes | Vectors) -> Numbers:
    """Return vectors at the length :data:`_ONE`, in whole numbers."""
    exact = vectors.astype(np.float64)
    lengths = np.sqrt((exact * exact).sum(axis=1, keepdims=True))
    whole: Numbers = np.rint(exact / np.maximum(lengths, 1e-12) * _ONE).astype(np.int64)
    return whole


def _signs(whole: Numbers, centre: npt.NDArray[np.int16]) -> npt.NDArray[np.uint8]:
    bits = np.packbits(whole > centre, axis=1)
    return np.pad(bits, ((0, 0), (0, -bits.shape[1] % (_WORD // 8))))
