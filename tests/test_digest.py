"""A digest is the same however the bytes come."""

import hashlib
import io

from publicai_edge import digest

DATA = bytes(range(256)) * 9000


def test_a_stream_and_pieces_of_it_have_the_digest_of_the_whole() -> None:
    expected = hashlib.sha256(DATA).hexdigest()
    told: list[int] = []
    assert digest.of_stream(io.BytesIO(DATA), told.append) == expected
    assert sum(told) == len(DATA)
    state = digest.Sha256()
    for start in range(0, len(DATA), 1000):
        state.update(memoryview(DATA)[start : start + 1000])
    assert state.hexdigest() == expected


def test_a_digest_can_be_asked_for_before_the_end() -> None:
    state = digest.Sha256()
    assert state.hexdigest() == hashlib.sha256(b"").hexdigest()
    state.update(b"abc")
    assert state.hexdigest() == state.hexdigest() == digest.of_bytes(b"abc")
