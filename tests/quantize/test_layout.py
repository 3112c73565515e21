"""Chunks of text: one language each, nothing lost but crumbs, in an order that serves all languages."""

from publicai_edge.quantize import layout

TEXTS = [("en", range(100, 150)), ("sw", range(200, 240)), ("en", range(150, 180)), ("sw", range(240, 290))]


def test_no_chunk_holds_two_languages_and_no_token_is_lost() -> None:
    made = layout.chunks(TEXTS, 32, begin=None, between=(1, 2))
    for language, tokens in (("en", range(100, 180)), ("sw", range(200, 290))):
        found = [token for chunk in made if chunk.language == language for token in chunk.tokens]
        assert [token for token in found if token > 2] == list(tokens)
        assert found.count(1) == found.count(2) == 1
    assert all(len(chunk.tokens) <= 32 for chunk in made)


def test_languages_take_turns() -> None:
    made = layout.chunks(TEXTS, 32, begin=None, between=())
    assert [chunk.language for chunk in made] == ["en", "sw", "en", "sw", "en", "sw"]


def test_each_chunk_starts_with_the_beginning_token_in_place_of_its_first() -> None:
    made = layout.chunks(TEXTS, 32, begin=7, between=())
    assert all(chunk.tokens[0] == 7 for chunk in made)
    assert [chunk.tokens[1] for chunk in made if chunk.language == "en"] == [101, 133, 165]


def test_a_rest_too_short_to_count_is_dropped() -> None:
    made = layout.chunks([("en", range(32 + layout.LEAST_TOKENS - 1))], 32, begin=None, between=())
    assert [len(chunk.tokens) for chunk in made] == [32]
    made = layout.chunks([("en", range(32 + layout.LEAST_TOKENS))], 32, begin=None, between=())
    assert [len(chunk.tokens) for chunk in made] == [32, 16]


def test_a_language_brings_no_more_than_the_limit() -> None:
    made = layout.chunks([("en", range(500)), ("sw", range(40))], 32, begin=None, between=(), limit=40)
    counts = {tag: sum(len(chunk.tokens) for chunk in made if chunk.language == tag) for tag in ("en", "sw")}
    assert counts == {"en": 32, "sw": 32}  # the rest of 8 is too short to count
    made = layout.chunks([("en", range(500))], 32, begin=None, between=(), limit=64)
    assert [token for chunk in made for token in chunk.tokens] == list(range(64))
