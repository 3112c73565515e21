"""Text leaves as whole characters, and never a part of a stop string."""

from hypothesis import given
from hypothesis import strategies as st

from publicai_edge.engine.text import TextOut


def run(data: bytes, sizes: list[int], stops: list[str]) -> tuple[list[str], bool]:
    out, text, at = TextOut(stops), [], 0
    for size in [*sizes, len(data)]:
        text.append(out.push(data[at : at + size]))
        at += size
        if out.stopped or at >= len(data):
            break
    if not out.stopped:
        text.append(out.flush())
    return text, out.stopped


def test_half_a_character_is_held_back() -> None:
    out = TextOut([])
    assert [out.push(bytes([byte])) for byte in "é€😀".encode()] == ["", "é", "", "", "€", "", "", "", "😀"]


def test_what_may_become_a_stop_string_is_held_back_and_given_when_it_does_not() -> None:
    out = TextOut(["###"])
    assert [out.push(b"a#"), out.push(b"#"), out.push(b"b##")] == ["a", "", "##b"]
    assert out.flush() == "##"


@given(st.text(max_size=60), st.lists(st.integers(1, 7), max_size=40), st.sampled_from(["ab", "\n\n", "é€", "aab"]))
def test_pieces_make_the_text_up_to_the_first_stop_string(text: str, sizes: list[int], stop: str) -> None:
    pieces, stopped = run(text.encode(), sizes, [stop])
    assert "".join(pieces) == text.split(stop, maxsplit=1)[0]
    assert stopped == (stop in text)
