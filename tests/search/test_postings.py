import random

import apsw
import numpy as np
import pytest

from publicai_edge.search import database
from publicai_edge.search.postings import Collected, Words, best

VOCABULARY = [f"w{number}" for number in range(60)]


def passages(count, seed=3):
    chance = random.Random(seed)
    weights = [1 / rank for rank in range(1, len(VOCABULARY) + 1)]
    return [
        (
            chance.choices(VOCABULARY, weights, k=chance.randrange(4)),
            chance.choices(VOCABULARY, weights, k=chance.randrange(1, 90)),
        )
        for _ in range(count)
    ]


def index(texts):
    connection = apsw.Connection(":memory:")
    database.create_schema(connection)
    collected = Collected()
    for heading, text in texts:
        collected.add(heading, text)
    collected.write(connection)
    return connection, Words(database.read_array(connection, "lengths"), len(texts))


@pytest.fixture(scope="module")
def texts():
    return passages(400)


def test_scores_are_those_of_fts5(texts):
    connection, words = index(texts)
    connection.execute("CREATE VIRTUAL TABLE peer USING fts5 (heading, text)")
    rows = ((number, " ".join(heading), " ".join(text)) for number, (heading, text) in enumerate(texts, 1))
    connection.executemany("INSERT INTO peer (rowid, heading, text) VALUES (?, ?, ?)", rows)
    chance = random.Random(4)
    for _ in range(30):
        asked = [word for word in chance.sample(VOCABULARY, 5) if words.look_up(connection, [word])[0].weight > 0]
        match = " OR ".join(f'"{word}"' for word in asked)
        query = "SELECT rowid, -bm25(peer, 2.0, 1.0) FROM peer WHERE peer MATCH ?"
        expected = np.zeros(len(texts) + 1)
        for number, score in connection.execute(query, (match,)) if asked else ():
            expected[number] = score
        np.testing.assert_allclose(words.scores(words.look_up(connection, asked)), expected, rtol=1e-4, atol=1e-7)


def test_a_term_that_more_than_half_of_the_passages_hold_weighs_nothing():
    connection, words = index([([], ["the", "cat"]), ([], ["the", "dog"]), ([], ["a"]), ([], ["the"])])
    common, rare, unknown = words.look_up(connection, ["the", "cat", "zebra"])
    assert (common.weight, len(common.numbers)) == (0.0, 0)
    assert 0 < rare.weight < unknown.weight
    assert words.scores([common, unknown]).tolist() == [0, 0, 0, 0, 0]


def test_who_holds_a_term_is_told_of_any_passages(texts):
    connection, words = index(texts)
    (term,) = words.look_up(connection, ["w30"])
    asked = np.arange(1, len(texts) + 1)
    held = {number for number, (heading, text) in enumerate(texts, 1) if "w30" in heading + text}
    assert set(asked[term.among(asked)].tolist()) == held
    (unknown,) = words.look_up(connection, ["zebra"])
    assert not unknown.among(asked).any()


def test_a_word_said_a_thousand_times_is_no_error():
    connection, words = index([([], ["spam"] * 1000), ([], ["spam"]), ([], ["ham"]), ([], ["egg"])])
    scores = words.scores(words.look_up(connection, ["spam"]))
    assert scores[1] > 0
    assert scores[2] > 0


def test_the_best_come_first_and_equal_ones_by_number():
    scores = np.array([0, 1, 3, 0, 3, 2, 3], np.float32)
    assert best(scores, 10).tolist() == [2, 4, 6, 5, 1]
    assert best(scores, 2).tolist() == [2, 4]
    assert best(scores, 4).tolist() == [2, 4, 6, 5]
    assert best(np.zeros(5, np.float32), 3).tolist() == []


@pytest.mark.parametrize("different", [3, 10_000])
def test_the_best_of_many_are_those_that_sorting_all_would_give(different):
    chance = np.random.default_rng(5)
    for _ in range(20):
        scores = np.maximum(chance.integers(-different, different, 9_001), 0).astype(np.float32)
        order = sorted(np.flatnonzero(scores).tolist(), key=lambda number: (-scores[number], number))
        assert best(scores, 40).tolist() == order[:40]


def test_the_order_of_terms_is_the_same_however_they_came(texts):
    one, _ = index(texts)
    other, _ = index([(heading, sorted(text)) for heading, text in texts])
    rows = "SELECT term, held, postings FROM terms"
    assert list(one.execute(rows)) == list(other.execute(rows))
    assert [row[0] for row in one.execute(rows)] == sorted(VOCABULARY)
