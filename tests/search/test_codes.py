import hashlib

import apsw
import numpy as np
import pytest

from publicai_edge.search import codes, database
from publicai_edge.search.codes import LOOKED_AT, Signs, cosines
from publicai_edge.search.database import DamageError

DIM = 96


def index(vectors):
    connection = apsw.Connection(":memory:")
    database.create_schema(connection)
    rows = ((number, code.tobytes()) for number, code in enumerate(codes.encode(vectors), 1))
    connection.executemany("INSERT INTO codes (id, code) VALUES (?, ?)", rows)
    codes.write_signs(connection, vectors.shape[1])
    return connection


def signs(connection, vectors):
    centre, bits = (database.read_array(connection, name) for name in ("centre", "signs"))
    return Signs(centre, bits, *vectors.shape)


def units(chance, count, dim=DIM, lean=0.0):
    """Vectors that differ in 64 ways, as texts differ in far fewer ways than their vectors have dimensions.

    With ``lean`` they all lean to one side, as many embedding models' do.
    """
    ways = np.random.default_rng(dim).standard_normal((64, dim)) / 8
    found = chance.standard_normal((count, 64)) @ ways + 0.2 * chance.standard_normal((count, dim)) + lean
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def ranked(connection, looked, question):
    found = cosines(connection, looked, question)
    return looked[np.lexsort((looked, -found))]


def recall(vectors, questions, connection, kept):
    found = []
    for question in questions:
        exact = np.argsort(-(vectors @ question), kind="stable")[:10] + 1
        found.append(len(set(exact) & set(ranked(connection, kept.likely(question), question)[:10])) / 10)
    return np.mean(found)


@pytest.mark.parametrize("lean", [0.0, 1.0])
def test_nineteen_of_twenty_nearest_passages_are_found_among_many(lean):
    chance = np.random.default_rng(7)
    vectors, questions = (units(chance, count, 384, lean) for count in (20_000, 40))
    connection = index(vectors)
    kept = signs(connection, vectors)
    assert len(kept.likely(questions[0])) == LOOKED_AT
    assert recall(vectors, questions, connection, kept) >= 0.95


def test_signs_around_zero_would_miss_more_where_all_vectors_lean():
    chance = np.random.default_rng(7)
    vectors, questions = (units(chance, count, 384, 1.0) for count in (20_000, 40))
    connection = index(vectors)
    bits = np.packbits(vectors > 0, axis=1).tobytes()
    assert recall(vectors, questions, connection, Signs(bytes(2 * 384), bits, *vectors.shape)) < 0.95


def test_signs_that_are_no_ones_find_little():
    chance = np.random.default_rng(7)
    vectors = units(chance, 20_000)
    connection = index(vectors)
    kept = Signs(database.read_array(connection, "centre"), bytes(chance.bytes(16 * 20_000)), *vectors.shape)
    question = units(chance, 1)[0]
    exact = np.argsort(-(vectors @ question))[:10] + 1
    assert len(set(exact) & set(kept.likely(question))) < 5


def test_a_small_library_is_looked_through_whole():
    chance = np.random.default_rng(8)
    vectors = units(chance, LOOKED_AT)
    kept = signs(index(vectors), vectors)
    assert kept.likely(units(chance, 1)[0]).tolist() == list(range(1, LOOKED_AT + 1))


def test_a_cosine_of_codes_is_within_a_hundred_thousandth():
    chance = np.random.default_rng(9)
    vectors, questions = units(chance, 200, 384), units(chance, 20, 384)
    connection = index(vectors)
    for question in questions:
        found = cosines(connection, np.arange(1, 201), question)
        assert np.abs(found - vectors @ question).max() < 1e-5


def test_of_equally_many_different_signs_the_lower_numbers_are_looked_at():
    vectors = np.ones((3 * LOOKED_AT, DIM), np.float32) / np.float32(DIM**0.5)
    assert signs(index(vectors), vectors).likely(vectors[0]).tolist() == list(range(1, LOOKED_AT + 1))


@pytest.mark.parametrize("dim", [1, 63, 64, 65, 384, 1000])
def test_any_number_of_dimensions_will_do(dim):
    chance = np.random.default_rng(dim)
    vectors = units(chance, LOOKED_AT + 50, dim)
    connection = index(vectors)
    looked = signs(connection, vectors).likely(vectors[17])
    assert 18 in looked or dim == 1  # where there are but two vectors, all are as near
    assert cosines(connection, looked, vectors[17]).max() == pytest.approx(1, abs=1e-5)


def test_the_same_vectors_give_the_same_bytes_on_every_machine():
    numbers = np.arange(5000 * DIM, dtype=np.int64)
    vectors = ((numbers * 2_654_435_761 % 65_537).astype(np.float32) / np.float32(65_536)).reshape(-1, DIM)
    connection = index(vectors - np.float32(0.25))
    parts = [database.read_array(connection, name) for name in ("centre", "signs")]
    parts += [code for (code,) in connection.execute("SELECT code FROM codes ORDER BY id")]
    assert (
        hashlib.sha256(b"".join(parts)).hexdigest()
        == "95e2e55c56971b28f1e3aa8363efb08f03370505051343c0b823d065c1cd6efd"
    )


def test_a_vector_of_nothing_is_no_error():
    vectors = np.zeros((LOOKED_AT + 1, DIM), np.float32)
    connection = index(vectors)
    looked = signs(connection, vectors).likely(vectors[0])
    assert not cosines(connection, looked, vectors[0]).any()


def test_a_code_that_is_not_there_is_damage():
    vectors = units(np.random.default_rng(1), 10)
    connection = index(vectors)
    with pytest.raises(DamageError):
        cosines(connection, np.array([3, 11]), vectors[0])
