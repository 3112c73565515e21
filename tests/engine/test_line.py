"""The line before the worker: fair among clients, bounded, and honest about places and seconds."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publicai_edge.engine.line import Line, Ticket
from publicai_edge.errors import OverloadedError


def line(slots: int, queue: int = 100) -> Line:
    return Line(slots=slots, queue=queue)


def enter(where: Line, *clients: str) -> list[Ticket]:
    return [where.enter(client)[0] for client in clients]


def let_in_order(where: Line) -> list[Ticket]:
    """Let everybody be answered, one after the other, the longest there first."""
    order = list(where.active)
    while where.active:
        before = set(where.active)
        where.leave(where.active[0])
        order += [ticket for ticket in where.active if ticket not in before]
    return order


def test_free_slots_are_filled_at_once_and_the_others_have_places() -> None:
    where = line(2)
    tickets = enter(where, "a", "b", "c", "d")
    assert [ticket.position for ticket in tickets] == [0, 0, 1, 2]
    where.leave(tickets[0])
    assert [ticket.position for ticket in tickets[1:]] == [0, 0, 1]
    assert where.active == (tickets[1], tickets[2])


def test_nameless_requests_are_answered_in_the_order_they_came() -> None:
    where = line(1)
    tickets = enter(where, *[""] * 6)
    assert let_in_order(where) == tickets


def test_many_requests_of_one_client_do_not_delay_the_others() -> None:
    where = line(1)
    enter(where, *["greedy"] * 10)
    (patron,) = enter(where, "patron")
    assert patron.position == 1


def test_client_that_fills_every_slot_is_behind_one_that_has_none() -> None:
    where = line(4)
    greedy = enter(where, *["greedy"] * 8)
    patrons = enter(where, "one", "two")
    assert [patron.position for patron in patrons] == [1, 2]
    where.leave(greedy[2])
    where.leave(greedy[0])
    assert set(where.active) == {greedy[1], greedy[3], *patrons}


def test_clients_take_turns() -> None:
    where = line(1)
    a = enter(where, "a", "a", "a")
    b = enter(where, "b", "b")
    c = enter(where, "c")
    assert let_in_order(where) == [a[0], b[0], c[0], a[1], b[1], a[2]]


def test_second_request_of_a_client_is_not_starved_by_ever_new_clients() -> None:
    where = line(1)
    first, second = enter(where, "a", "a")
    fresh = enter(where, "", "")
    where.leave(first)
    for _ in range(2):  # those who were there when its first was answered go before it; those who come later do not
        fresh += enter(where, "")
        where.leave(where.active[0])
    assert where.active == (second,)


def test_leaving_is_possible_from_everywhere_and_only_once() -> None:
    where = line(1)
    tickets = enter(where, "a", "b", "b", "c")
    where.leave(tickets[1])
    assert [ticket.position for ticket in where.waiting] == [1, 2]
    where.leave(tickets[1])
    where.leave(tickets[0])
    where.leave(tickets[0])
    assert where.active == (tickets[2],)
    assert where.waiting == (tickets[3],)


def test_fewer_slots_let_nobody_in_until_they_are_free_again() -> None:
    where = line(3)
    tickets = enter(where, "a", "b", "c", "d")
    where.resize(1)
    where.leave(tickets[0])
    where.leave(tickets[1])
    assert where.active == (tickets[2],)
    assert tickets[3].position == 1
    where.resize(2)
    assert where.active == (tickets[2], tickets[3])


def answer(where: Line, seconds: float | None) -> None:
    (ticket,) = enter(where, "")
    where.leave(ticket, seconds=seconds)


def test_slower_answers_move_the_average_and_those_cut_short_do_not() -> None:
    where = line(1)
    answer(where, 2)
    assert where.answer_seconds == 2
    answer(where, 12)
    assert where.answer_seconds == pytest.approx(4)
    answer(where, None)
    assert where.answer_seconds == pytest.approx(4)


@pytest.mark.parametrize(
    ("slots", "queue", "seconds", "expected"),
    [
        (1, 8, 3.0, 12),  # half of eight, one after the other
        (4, 8, 3.0, 3),
        (4, 1, 3.0, 1),
        (1, 2, 0.001, 1),
        (1, 2, 10_000, 60),  # no more than a client heeds
        (2, 4, None, 10),  # before anything was measured
    ],
)
def test_full_line_refuses_with_the_seconds_in_which_half_of_it_is_let_in(
    slots: int, queue: int, seconds: float | None, expected: int
) -> None:
    where = line(slots, queue)
    for _ in range(3):
        answer(where, seconds)
    enter(where, *[""] * (slots + queue))
    with pytest.raises(OverloadedError, match=f"{queue} requests are waiting") as caught:
        where.enter("")
    assert caught.value.facts["retry_after"] == expected


def test_client_that_fills_the_line_loses_its_last_place_to_one_that_has_none() -> None:
    where = line(1, queue=3)
    greedy = enter(where, *["greedy"] * 4)
    with pytest.raises(OverloadedError):
        where.enter("greedy")
    patron, pushed_out = where.enter("patron")
    assert pushed_out is greedy[3]
    assert patron.position == 1
    assert where.waiting == (patron, greedy[1], greedy[2])
    with pytest.raises(OverloadedError):
        where.enter("patron")  # two against two: nobody is pushed out for the same share


def test_line_without_places_refuses_whoever_cannot_be_let_in() -> None:
    where = line(1, queue=0)
    (ticket,) = enter(where, "a")
    with pytest.raises(OverloadedError):
        where.enter("b")
    where.leave(ticket)
    assert enter(where, "b")[0].position == 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), st.sampled_from(["", "a", "b", "c"])),
        st.tuples(st.just("finish"), st.integers(0, 7)),
        st.tuples(st.just("give up"), st.integers(0, 15)),
        st.tuples(st.just("resize"), st.integers(1, 4)),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(slots=st.integers(1, 4), queue=st.integers(0, 6), steps=STEPS)
def test_line_keeps_its_invariants_whatever_happens(slots: int, queue: int, steps: list[tuple[str, str | int]]) -> None:
    where = line(slots, queue)
    alive: set[Ticket] = set()
    owed: dict[Ticket, dict[object, int]] = {}  # waiting ticket of a client without a slot → let-ins of others since
    entered: list[Ticket] = []
    for what, value in steps:
        active_before, waiting_before = set(where.active), where.waiting
        if what == "enter":
            full = len(active_before) >= where.slots and len(waiting_before) >= queue
            try:
                ticket, pushed_out = where.enter(str(value))
            except OverloadedError as error:
                assert full
                assert 1 <= error.facts["retry_after"] <= 60
                assert where.waiting == waiting_before
                continue
            assert (pushed_out is not None) == full
            if pushed_out:
                assert pushed_out in waiting_before
                alive.remove(pushed_out)
            alive.add(ticket)
            entered.append(ticket)
        elif what == "resize":
            where.resize(int(value))
        else:
            those = where.active if what == "finish" else waiting_before
            if not those:
                continue
            gone = those[int(value) % len(those)]
            where.leave(gone, seconds=3.0 if what == "finish" else None)
            alive.remove(gone)
        _check(where, alive, queue, active_before)
        _check_turns(where, active_before, owed)
    order = let_in_order(where)
    assert set(order) == alive, "everybody is let in in the end"
    for client in "abc":
        own = [ticket.number for ticket in order if ticket.client == client]
        assert own == sorted(own)
    assert not where._clients


def _check(where: Line, alive: set[Ticket], queue: int, active_before: set[Ticket]) -> None:
    active, waiting = set(where.active), where.waiting
    assert active | set(waiting) == alive
    assert not active & set(waiting)
    assert len(waiting) <= queue
    assert len(active) <= max(where.slots, len(active_before))
    assert not waiting or len(active) >= where.slots
    assert [ticket.position for ticket in waiting] == list(range(1, len(waiting) + 1))
    assert all(ticket.position == 0 for ticket in active)


def _check_turns(where: Line, active_before: set[Ticket], owed: dict[Ticket, dict[object, int]]) -> None:
    """A client that holds no slot sees at most one ticket of each other client let in before its own oldest."""
    holding = {ticket.client or ticket for ticket in active_before}
    waiting = set(where.waiting)
    new = [ticket for ticket in where.active if ticket not in active_before]
    for ticket in list(owed):
        if ticket not in waiting or (ticket.client and ticket.client in holding):
            del owed[ticket]
    for ticket, seen in owed.items():
        for other in new:
            if other.client != ticket.client or not ticket.client:
                key = other.client or other
                seen[key] = seen.get(key, 0) + 1
                assert seen[key] <= 1
    oldest: dict[object, Ticket] = {}
    for ticket in waiting:
        key = ticket.client or ticket
        if key not in oldest or ticket.number < oldest[key].number:
            oldest[key] = ticket
    held = {ticket.client or ticket for ticket in where.active}
    for key, ticket in oldest.items():
        if key not in held:
            owed.setdefault(ticket, {})
