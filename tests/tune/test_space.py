"""The points that a search chooses from."""

from publicai_edge.tune.space import Point, Space
from publicai_edge.tuning import Tuning

TYPES = ("Q4_0", "Q8_0")


def test_every_point_is_offered_once_and_can_be_run() -> None:
    space = Space.of(TYPES, fixed={}, prompt=512, cores=(4, 8))
    assert space.threads == (8, 4, 3, 2)
    points = space.all()
    assert len(points) == len(set(points)) == 2 * 4 * 3 * 5
    assert {point.coarse for point in points} == set(space.coarse())


def test_what_the_recipe_decides_is_not_searched() -> None:
    fixed = {"threads": 3, "batch": 256, "kv_type": "f16", "flash_attention": "off", "drafts": False}
    points = Space.of(TYPES, fixed=fixed, prompt=512, cores=(4, 4)).all()
    assert {point.tuning for point in points} == {Tuning(threads=3, batch=256, flash_attention="off")}


def test_values_of_the_recipe_that_a_search_would_not_try_are_kept_as_they_are() -> None:
    space = Space.of(TYPES, fixed={"batch": 2048, "flash_attention": "on"}, prompt=512, cores=(1, 1))
    assert space.batches == ((2048, 2048),)
    assert space.caches == ({"kv_type": "f16", "flash_attention": "on"},)
    assert Space.of(TYPES, fixed={"ubatch": 64}, prompt=512, cores=(1, 1)).batches == ((512, 64),)
    assert Space.of(TYPES, fixed={"ubatch": 1024}, prompt=512, cores=(1, 1)).batches == ((1024, 1024),)


def test_batches_beyond_the_usual_are_tried_where_a_prompt_fills_them() -> None:
    assert max(Space.of(TYPES, fixed={}, prompt=512).batches) == (512, 512)
    assert max(Space.of(TYPES, fixed={}, prompt=900).batches) == (1024, 1024)


def test_caches_that_nobody_judged_are_left_out() -> None:
    points = Space.of(TYPES, fixed={}, prompt=512, kv_types=("f16",)).all()
    assert {point.model for point in points} == {("Q4_0", "f16"), ("Q8_0", "f16")}


def test_finer_points_come_batch_by_batch() -> None:
    """So that where not all can be afforded, none of the coarse points is forgotten."""
    space = Space.of(TYPES, fixed={}, prompt=512, cores=(1, 1))
    first = space.finer(space.coarse())[: len(space.coarse())]
    assert {point.coarse for point in first} == set(space.coarse())


def test_a_point_is_told_in_words() -> None:
    told = str(Point("Q4_0", Tuning(threads=2, ubatch=128)))
    assert told == "Q4_0, 2 threads, batch 512/128, KV cache f16, flash attention auto"
