"""A state in fewer bytes comes back as it was, but for what its bits cannot hold; nothing else is taken for one."""

import random
import struct

import numpy as np
import pytest

from publicai_edge.engine.passages import packing
from tests.engine.passages.states import LAYERS, state, values


def test_a_state_comes_back_with_its_places_and_nearly_its_numbers() -> None:
    data = state()
    packed = packing.pack(data)
    assert packed is not None
    back = packing.unpack(packed)
    head = 16 + 12 * 10 + 8
    assert len(back) == len(data)
    assert back[:head] == data[:head]
    off = np.abs(values(bytes(back)) - values(data))
    assert 0 < off[:LAYERS].max() < 0.02, "keys have 8 bits"
    assert 0.02 < off[LAYERS:].max() < 0.25, "values have 4"


def test_it_takes_less_than_half() -> None:
    data = state(250)
    packed = packing.pack(data)
    assert packed is not None
    assert len(packed) < 0.45 * len(data)


@pytest.mark.parametrize("value", [0.0, 1.0, -3.5, 60000.0, -60000.0, 6e-8])
def test_equal_numbers_and_the_largest_survive(value: float) -> None:
    data = bytearray(state(2))
    start = 16 + 24 + 8
    for layer in range(2 * LAYERS):
        at = start + layer * (12 + 256) + 12
        data[at : at + 256] = np.full(128, value, "<f2").tobytes()
    packed = packing.pack(data)
    assert packed is not None
    back = values(bytes(packing.unpack(packed)), 2)
    assert np.isfinite(back).all()
    assert np.allclose(back, np.float32(np.float16(value)), rtol=0.01, atol=1e-6)


@pytest.mark.parametrize(
    "other",
    [
        state(kind=8),
        state(streams=2),
        state(transposed=1),
        state()[:-1],
        state() + b"\0",
        b"",
        b"\0" * 64,
    ],
)
def test_a_state_of_another_form_is_left_alone(other: bytes) -> None:
    assert packing.pack(other) is None


def test_numbers_that_are_none_are_left_alone() -> None:
    data = bytearray(state())
    data[-2:] = struct.pack("<e", float("inf"))
    assert packing.pack(data) is None


def test_bytes_that_were_not_packed_are_refused_or_read_within_their_bounds() -> None:
    whole = packing.pack(state())
    assert whole is not None
    rng = random.Random(5)
    for _ in range(300):
        data = bytearray(whole[: rng.randrange(len(whole))] if rng.random() < 0.3 else whole)
        for _ in range(rng.randrange(1, 6)):
            if data:
                data[rng.randrange(min(len(data), 200))] = rng.randrange(256)
        try:
            packing.unpack(data)
        except ValueError:
            continue


def test_the_places_of_a_state_are_read_from_it() -> None:
    assert packing.positions(state(4, position=9)) == [9, 10, 11, 12]
    with pytest.raises(ValueError, match="cut short"):
        packing.positions(state(4)[:20])
