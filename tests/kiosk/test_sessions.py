"""A session lives in memory, for a while, and is gone at once."""

from publicai_edge.kiosk.answering import Turn
from publicai_edge.kiosk.sessions import SPEECH, Sessions


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_token_cannot_be_guessed_and_finds_its_session() -> None:
    sessions = Sessions(60)
    tokens = {sessions.find_or_open(None).token for _ in range(20)}
    assert len(tokens) == 20
    assert all(len(token) >= 22 for token in tokens), "128 bits are 22 characters of base64"
    token = tokens.pop()
    assert sessions.find_or_open(token).token == token
    assert sessions.find_or_open("made up").token != "made up"


def test_an_idle_session_is_wiped_and_its_stream_stopped() -> None:
    clock = Clock()
    sessions = Sessions(60, clock=clock)
    session = sessions.find_or_open(None)
    session.remember("s", Turn("question", "answer"))
    stop = session.begin_stream()
    clock.now = 59
    assert sessions.sweep() == 0
    assert sessions.find_or_open(session.token) is session
    clock.now = 59 + 60
    assert sessions.sweep() == 1
    assert len(sessions) == 0
    assert session.turns("s") == ()
    assert stop.is_set()


def test_an_ended_session_keeps_nothing_that_comes_later() -> None:
    sessions = Sessions(60)
    session = sessions.find_or_open(None)
    assert sessions.end(session.token)
    session.remember("s", Turn("question", "answer"))
    assert session.turns("s") == ()
    assert not sessions.end(session.token)


def test_sessions_and_what_they_hold_are_bounded() -> None:
    clock = Clock()
    sessions = Sessions(60, most=3, clock=clock)
    held = []
    for second in range(5):
        clock.now = second
        held.append(sessions.find_or_open(None))
    assert len(sessions) == 3
    assert [session.ended for session in held] == [True, True, False, False, False]
    for _ in range(9):
        held[-1].remember("s", Turn("q" * 9999, "a" * 9999))
    assert len(held[-1].turns("s")) == 2
    assert len(held[-1].turns("s")[0].question) == 2000


def test_a_new_question_stops_the_one_before() -> None:
    session = Sessions(60).find_or_open(None)
    first, second = session.begin_stream(), session.begin_stream()
    assert first.is_set()
    assert not second.is_set()


def test_what_is_read_aloud_and_an_answer_go_on_beside_each_other_and_end_together() -> None:
    session = Sessions(60).find_or_open(None)
    answer, first, second = session.begin_stream(), session.begin_stream(SPEECH), session.begin_stream(SPEECH)
    assert [stop.is_set() for stop in (answer, first, second)] == [False, True, False]
    session.end_stream(second)
    assert session.streaming
    session.wipe()
    assert answer.is_set()


def test_who_keeps_no_cookies_ends_nobodys_answer() -> None:
    clock = Clock()
    sessions = Sessions(60, most=3, clock=clock)
    asking = sessions.find_or_open(None)
    stop = asking.begin_stream()
    for second in range(1, 9):
        clock.now = second
        sessions.find_or_open(None)
    assert not stop.is_set()
    asking.end_stream(stop)
    sessions.find_or_open(None)
    assert asking.ended
