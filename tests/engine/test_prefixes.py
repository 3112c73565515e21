"""Shared prompts: what lies in which sequence, and what is computed how often."""

from pathlib import Path

import pytest

from publicai_edge import digest
from publicai_edge.engine.llama import LlamaContext, LlamaModel
from publicai_edge.engine.prefixes import SHARED_CHUNK, Prefixes

PROMPTS = (tuple(range(100, 250)), tuple(range(300, 400)), tuple(range(500, 620)))


class Recorded:
    """A context that keeps the tokens of each sequence instead of their keys and values."""

    holds = True

    def __init__(self) -> None:
        self.cells: dict[int, list[int]] = {}
        self.evaluated = 0
        self.restored = 0
        self.refuses = False

    def decode(self, tokens: tuple[int, ...], *, sequence: int, position: int, logits: bool) -> None:
        held = self.cells.setdefault(sequence, [])
        assert position == len(held), "there is a gap, or something is read twice"
        assert len(tokens) <= SHARED_CHUNK
        held.extend(tokens)
        self.evaluated += len(tokens)

    def clear(self, sequence: int) -> None:
        self.cells.pop(sequence, None)

    def forget(self, sequence: int, begin: int) -> None:
        del self.cells[sequence][begin:]

    def state(self, sequence: int) -> list[int]:
        return list(self.cells[sequence])

    def restore(self, sequence: int, kept: list[int]) -> bool:
        self.restored += 1
        self.cells[sequence] = list(kept)
        return not self.refuses


@pytest.fixture
def context() -> Recorded:
    return Recorded()


@pytest.fixture
def prefixes(context: Recorded) -> Prefixes:
    """Three prompts, all of them read."""
    made = Prefixes(context, PROMPTS)  # type: ignore[arg-type] # it has the face of one
    for index in range(len(PROMPTS)):
        while not made.is_ready(index):
            made.read_piece(index, sequence=0)
    return made


def serve(prefixes: Prefixes, context: Recorded, free: list[int], index: int | None) -> int:
    """Begin a request with shared prompt ``index``, and let it say something."""
    sequence = prefixes.choose(free, index)
    if index is not None:
        assert prefixes.lend(index, sequence) == len(PROMPTS[index])
    assert tuple(context.cells.get(sequence, ())) == (PROMPTS[index] if index is not None else ())
    context.cells.setdefault(sequence, []).extend([1, 2, 3])
    return sequence


def test_a_prompt_stays_where_the_last_patron_had_it(prefixes: Prefixes, context: Recorded) -> None:
    places = []
    for _ in range(3):
        places.append(serve(prefixes, context, [0, 1, 2], 0))
        prefixes.end(places[-1])
    assert len(set(places)) == 1
    assert context.restored == 1, "the first read it away for the others"
    assert context.evaluated == sum(map(len, PROMPTS))


def test_services_that_take_turns_do_not_push_each_other_out(prefixes: Prefixes, context: Recorded) -> None:
    for index in (0, 1, 2) * 4:
        prefixes.end(serve(prefixes, context, [0, 1, 2], index))
    assert context.restored == 2  # the third lay where it was read


def test_with_one_sequence_every_prompt_is_there_when_it_is_wanted(prefixes: Prefixes, context: Recorded) -> None:
    for index in (0, None, 1, 1, None, 2, 0):
        prefixes.end(serve(prefixes, context, [0], index))
        assert 1 not in context.cells.get(0, []), "what a patron said is still there"


def test_the_prompt_used_last_is_pushed_out_last(prefixes: Prefixes, context: Recorded) -> None:
    for index in (0, 1):
        prefixes.end(serve(prefixes, context, [0, 1], index))
    prefixes.end(serve(prefixes, context, [0, 1], 0))
    before = context.restored
    prefixes.end(serve(prefixes, context, [0, 1], 2))
    prefixes.end(serve(prefixes, context, [0, 1], 0))
    assert context.restored == before + 1


def test_several_patrons_of_one_service_each_have_it(prefixes: Prefixes, context: Recorded) -> None:
    free = [0, 1, 2]
    for _ in range(3):
        free.remove(serve(prefixes, context, free, 1))
    assert not free
    assert context.evaluated == sum(map(len, PROMPTS))


def test_a_context_that_cannot_keep_the_beginning_is_emptied(prefixes: Prefixes, context: Recorded) -> None:
    context.holds = False
    sequence = serve(prefixes, context, [0, 1], 0)
    prefixes.end(sequence)
    assert sequence not in context.cells
    prefixes.lay([0, 1])
    prefixes.end(serve(prefixes, context, [sequence], 0))


def test_what_is_ready_is_laid_out_before_anybody_asks(prefixes: Prefixes, context: Recorded) -> None:
    prefixes.lay(range(6))
    held = [tuple(context.cells[sequence]) for sequence in range(6)]
    assert set(held) == set(PROMPTS)
    before = context.restored
    for index in range(3):
        serve(prefixes, context, [sequence for sequence in range(6) if held[sequence] == PROMPTS[index]], index)
    assert context.restored == before


def test_a_state_that_the_engine_refuses_is_read_anew(prefixes: Prefixes, context: Recorded) -> None:
    context.refuses = True
    assert prefixes.lend(0, 1) == 0
    assert prefixes.missing == [0]
    context.refuses = False
    while not prefixes.is_ready(0):
        prefixes.read_piece(0, sequence=2)
    assert prefixes.lend(0, 1) == len(PROMPTS[0])


def test_reading_goes_on_where_it_was_when_nobody_needs_the_place(context: Recorded) -> None:
    prefixes = Prefixes(context, PROMPTS)  # type: ignore[arg-type] # it has the face of one
    prefixes.read_piece(0, sequence=0)
    assert prefixes.choose([0, 1], 1) == 1
    assert prefixes.choose([0, 1], None) == 1
    assert prefixes.choose([0, 1], 0) == 0
    prefixes.end(0)  # who waited for it has gone
    while not prefixes.is_ready(0):
        prefixes.read_piece(0, sequence=1)
    assert context.evaluated == len(PROMPTS[0])
    assert tuple(context.cells[0]) == PROMPTS[0]


def test_reading_is_begun_anew_when_its_place_was_needed(context: Recorded) -> None:
    prefixes = Prefixes(context, PROMPTS)  # type: ignore[arg-type] # it has the face of one
    prefixes.read_piece(0, sequence=0)
    assert prefixes.choose([0], None) == 0
    assert not context.cells
    while not prefixes.is_ready(0):
        prefixes.read_piece(0, sequence=1)
    assert tuple(context.cells[1]) == PROMPTS[0]


@pytest.mark.parametrize("streams", [True, False])
def test_a_state_goes_through_a_file_into_a_context_with_more_sequences(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streams: bool
) -> None:
    """Between streams, and in one cache for all; what follows is the same to the last bit."""
    monkeypatch.setattr(LlamaModel, "has_streams", streams)
    loaded = LlamaModel(model)
    tokens = tuple(loaded.tokenize("The library opens at nine. " * 20, special=False))
    contexts = {count: LlamaContext(loaded, n_ctx=512, n_seq=count, threads=2) for count in (1, 4)}
    place = tmp_path / "state"
    first = Prefixes(contexts[1], [tokens])
    while first.missing:
        first.read_piece(0, sequence=0)
    contexts[1].save(0, tokens, place)
    second = Prefixes(contexts[4], [tokens])
    assert second.load(0, place, digest.of_file(place)) is None
    for sequence in (0, 1, 2):  # the memory of the file is given back after each
        assert second.lend(0, sequence) == len(tokens)
        if sequence < 2:
            second.end(sequence)
    found = []
    for context, sequence in ((contexts[1], 0), (contexts[4], 2)):
        context.decode(tokens[:1], sequence=sequence, position=len(tokens), logits=True)
        found.append(context.logits(0).tobytes())
    assert found[0] == found[1]
    assert contexts[4].evaluated == 1
    again = contexts[4].state(2)
    contexts[4].clear(2)
    assert contexts[4].restore(3, again)
    for context in contexts.values():
        context.close()
    loaded.close()


def test_patrons_who_come_together_lie_side_by_side(prefixes: Prefixes, context: Recorded) -> None:
    prefixes.lay(range(8))
    assert prefixes.choose(range(8), 1) == 1, "alone, one goes where the prompt lies"
    assert prefixes.choose([0, 2, 3, 4, 5, 6, 7], 1, busy=[1]) in {0, 2}
    assert prefixes.choose([0, 3, 4, 5, 6, 7], 2, busy=[1, 2]) in {0, 3}


def test_a_gap_between_patrons_is_filled_first(prefixes: Prefixes, context: Recorded) -> None:
    prefixes.lay(range(8))
    assert prefixes.choose([1, 2, 4, 5, 6, 7], 1, busy=[0, 3]) == 1
    assert prefixes.choose([2, 4, 5, 6, 7], 1, busy=[0, 1, 3]) == 2, "although its prompt lies in 4 and 7"
    assert prefixes.choose([5, 7], 1, busy=[0, 1, 2, 3, 4, 6]) == 5
