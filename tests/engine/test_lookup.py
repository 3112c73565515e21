"""Drafts come from what was said before, and only where they pay."""

from publicai_edge.engine.lookup import LONGEST, Accepted, Lookup, Pace


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_draft_is_what_followed_the_last_three_tokens_where_they_were_last() -> None:
    lookup = Lookup([1, 2, 3, 4, 5, 1, 2, 3, 6, 7, 8])
    lookup.extend([1, 2, 3])
    assert lookup.draft(2) == [6, 7]
    assert lookup.draft(0) == []


def test_no_draft_for_what_is_new_and_none_from_the_run_itself() -> None:
    assert Lookup([1, 2]).draft(4) == []
    assert Lookup([1, 2, 3]).draft(4) == []
    assert Lookup([7, 7, 7]).draft(4) == []
    assert Lookup([7, 7, 7, 7]).draft(4) == [7]


def paced(costs: dict[int, float]) -> Pace:
    pace = Pace(Clock())
    for tokens, seconds in costs.items():
        pace.saw(tokens, seconds)
    return pace


def test_nothing_is_drafted_before_anything_is_measured() -> None:
    assert Pace().length(1.0) == 0


def test_long_drafts_where_they_cost_nothing_and_none_where_each_token_costs_a_step() -> None:
    free = paced({1: 0.01, 3: 0.01, 5: 0.01, 9: 0.01})
    dear = paced({1: 0.01, 3: 0.03, 5: 0.05, 9: 0.09})
    assert free.length(0.9) == LONGEST
    assert free.length(0.01) == 0
    assert dear.length(0.95) == 0


def test_figures_of_a_busier_time_are_forgotten() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.saw(1, 0.01)
    for tokens in (3, 5, 9):
        pace.saw(tokens, 1.0)
    assert pace.length(0.9) == 0
    clock.now = 60.0
    pace.saw(1, 0.01)
    assert pace.length(0.9) > 0


def test_chance_follows_what_happens() -> None:
    good, bad = Accepted(), Accepted()
    for _ in range(10):
        good.saw(4, 4)
        bad.saw(0, 4)
    assert good.chance > 0.9
    assert bad.chance < 0.2
