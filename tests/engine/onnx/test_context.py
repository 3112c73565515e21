"""The cache: the same logits however a text is read, alone or beside others, from a file or anew."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from publicai_edge.engine.onnx.cache import Growing, InPlace
from publicai_edge.engine.onnx.context import OnnxContext, OnnxModel
from publicai_edge.engine.onnx.state import rounded
from publicai_edge.errors import EngineError

TEXT = "Everyone has the right to education. Education shall be free, at least in the elementary stages."


@pytest.fixture(scope="module")
def model(tiny: Path) -> OnnxModel:
    return OnnxModel(tiny, threads=1)


@pytest.fixture(scope="module")
def growing(tiny: Path) -> OnnxModel:
    """The same graph, used as one that returns a longer cache."""
    found = OnnxModel(tiny, threads=1)
    found.graph = replace(found.graph, in_place=False)
    return found


def one_by_one(context: OnnxContext, tokens: list[int], sequence: int, start: int = 0) -> np.ndarray:
    rows = []
    for place, token in enumerate(tokens[start:], start):
        context.decode([token], sequence=sequence, position=place, logits=True)
        rows.append(context.logits(0))
    return np.stack(rows)


def test_the_graph_of_each_kind_gets_the_cache_it_needs(model: OnnxModel, minimind: Path) -> None:
    assert isinstance(OnnxContext(model, length=16, n_seq=1)._cache, InPlace)
    assert isinstance(OnnxContext(OnnxModel(minimind, 1), length=16, n_seq=1)._cache, Growing)


def test_reading_at_once_in_pieces_and_word_by_word_gives_the_same_logits(model: OnnxModel, growing: OnnxModel) -> None:
    tokens = model.tokenize(TEXT, special=False)[:60]
    found = []
    for kind in (model, growing):
        context = OnnxContext(kind, length=len(tokens), n_seq=2)
        context.batch.add(tokens, sequence=0, position=0, logits=len(tokens))
        context.evaluate()
        found.append(np.stack([context.logits(place) for place in range(len(tokens))]))
        found.append(one_by_one(context, tokens, sequence=1))
        context.clear(0)
        context.decode(tokens[:25], sequence=0, position=0, logits=False)
        found.append(one_by_one(context, tokens, sequence=0, start=25))
    whole = found[0]
    assert np.ptp(whole) > 1
    for other in found[1:]:
        np.testing.assert_allclose(other, whole[-len(other) :], atol=2e-4)


def test_conversations_side_by_side_get_what_each_would_get_alone_but_for_the_last_bits(model: OnnxModel) -> None:
    texts = [model.tokenize(TEXT[at:], special=False) for at in (0, 11, 30, 52)]
    together = OnnxContext(model, length=128, n_seq=6)
    rows: list[list[np.ndarray]] = [[] for _ in texts]
    sequences = (0, 1, 2, 4)  # with a hole, so that they do not all fit one run
    for sequence, tokens in zip(sequences, texts, strict=True):
        together.decode(tokens[:10], sequence=sequence, position=0, logits=False)
    for place in range(10, 20):
        together.batch.clear()
        at = [
            together.batch.add([tokens[place]], sequence=sequence, position=place, logits=1)
            for sequence, tokens in zip(sequences, texts, strict=True)
        ]
        together.evaluate()
        for index, where in enumerate(at):
            rows[index].append(together.logits(where).copy())
    for index, tokens in enumerate(texts):
        alone = OnnxContext(model, length=128, n_seq=1)
        alone.decode(tokens[:10], sequence=0, position=0, logits=False)
        expected = one_by_one(alone, tokens[:20], 0, start=10)
        # Bit by bit with AVX-512; with AVX2 alone, other kernels run where there are several rows.
        np.testing.assert_allclose(np.stack(rows[index]), expected, rtol=0, atol=1e-5)
        assert np.stack(rows[index]).argmax(axis=1).tolist() == expected.argmax(axis=1).tolist()


@pytest.mark.parametrize("kind", ["model", "growing"])
def test_a_wrong_guess_is_forgotten(kind: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(kind)
    tokens = model.tokenize(TEXT, special=False)
    context = OnnxContext(model, length=64, n_seq=1)
    context.decode(tokens[:10], sequence=0, position=0, logits=True)
    context.batch.clear()
    context.batch.add([tokens[10], 77, 78, 79], sequence=0, position=10, logits=4)
    context.evaluate()
    context.forget(0, 11)
    guessed = one_by_one(context, tokens[:15], 0, start=11)
    context.clear(0)
    context.decode(tokens[:10], sequence=0, position=0, logits=False)
    np.testing.assert_allclose(guessed, one_by_one(context, tokens[:15], 0, start=10)[1:], atol=2e-4)


@pytest.mark.parametrize("kind", ["model", "growing"])
def test_a_state_from_a_file_is_the_one_from_reading_the_prompt(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    model = request.getfixturevalue(kind)
    tokens = model.tokenize(TEXT, special=False)
    prompt = tokens[:30]
    made = OnnxContext(model, length=30, n_seq=1)
    made.decode(prompt, sequence=0, position=0, logits=False)
    made.save(0, prompt, tmp_path / "state")
    cold, warm = (OnnxContext(model, length=64, n_seq=2) for _ in range(2))
    cold.decode(prompt, sequence=1, position=0, logits=False)
    found = warm.open_state(tmp_path / "state", 30)
    assert found
    assert found[0] == prompt
    answers = []
    for context, kept in ((cold, cold.state(1)), (warm, found[1])):
        assert context.restore(0, kept)
        answers.append(one_by_one(context, tokens[:40], 0, start=30))
    np.testing.assert_array_equal(answers[0], answers[1])
    assert cold.evaluated == warm.evaluated + 30


@pytest.mark.parametrize("damage", ["truncated", "another form", "other shape", "too long", "pickle"])
def test_a_file_that_is_no_state_of_this_model_is_not_loaded(
    model: OnnxModel, minimind: Path, tmp_path: Path, damage: str
) -> None:
    tokens = model.tokenize(TEXT, special=False)[:20]
    place = tmp_path / "state"
    context = OnnxContext(model, length=64, n_seq=1)
    context.decode(tokens, sequence=0, position=0, logits=False)
    context.save(0, tokens, place)
    data = place.read_bytes()
    match damage:
        case "truncated":
            place.write_bytes(data[:-100])
        case "another form":
            place.write_bytes(data.replace(b"state 1", b"state 9"))
        case "pickle":
            with place.open("wb") as stream:
                stream.write(data[: data.index(b"\n") + 1])
                np.save(stream, np.array([{}], dtype=object), allow_pickle=True)
        case "other shape":
            context = OnnxContext(OnnxModel(minimind, 1), length=64, n_seq=1)
    assert context.open_state(place, 10 if damage == "too long" else 21) is None


def test_nothing_of_a_conversation_is_left_in_the_cache_when_it_ends(model: OnnxModel) -> None:
    tokens = model.tokenize(TEXT, special=False)[:60]
    context = OnnxContext(model, length=64, n_seq=3)
    for sequence in range(3):
        context.decode(tokens, sequence=sequence, position=0, logits=False)
    assert all(np.any(part) for part in context._cache.read(1, 64))
    context.clear(1)
    assert not any(np.any(part) for part in context._cache.read(1, 64))
    assert all(np.any(part[:, : len(tokens)]) for sequence in (0, 2) for part in context._cache.read(sequence, 64))


def test_a_copied_beginning_goes_on_as_its_source_would(model: OnnxModel) -> None:
    tokens = model.tokenize(TEXT, special=False)
    context = OnnxContext(model, length=64, n_seq=2)
    context.decode(tokens[:30], sequence=0, position=0, logits=False)
    context.copy_first(0, 1, 20)
    np.testing.assert_allclose(
        one_by_one(context, tokens[:25], 1, start=20), one_by_one(context, tokens[:25], 0, start=20), atol=2e-4
    )


def test_values_beyond_16_bits_become_the_largest_there_is() -> None:
    found = rounded(np.array([1e9, -1e9, 0.5], np.float32))
    np.testing.assert_array_equal(found, np.array([65504, -65504, 0.5], np.float16))


def test_a_batch_takes_no_more_than_it_has_room_for(model: OnnxModel) -> None:
    context = OnnxContext(model, length=512, n_seq=1)
    with pytest.raises(ValueError, match="no room"):
        context.batch.add([5] * (context.n_batch + 1), sequence=0, position=0, logits=1)


def test_a_sequence_longer_than_the_cache_is_refused_before_it_is_written(model: OnnxModel) -> None:
    context = OnnxContext(model, length=256, n_seq=1)
    context.decode([7], sequence=0, position=255, logits=True)
    with pytest.raises(EngineError, match="room for 256"):
        context.decode([7], sequence=0, position=256, logits=True)


def test_memory_is_taken_as_it_is_written_and_given_back(model: OnnxModel) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    before = resident()
    context = OnnxContext(model, length=100_000, n_seq=16)
    size = 16 * 100_000 * model.graph.bytes_per_token
    assert size > 300 << 20
    assert resident() - before < size / 20
    filled = [np.ones((part.heads, 60_000, part.width), np.float32) for part in model.graph.parts]
    written = resident()
    context._cache.write(3, filled)
    assert resident() - written > 60_000 * model.graph.bytes_per_token * 0.9
    context.clear(3)
    assert resident() - written < size / 20


def test_a_gap_in_a_sequence_is_refused(growing: OnnxModel) -> None:
    context = OnnxContext(growing, length=64, n_seq=1)
    with pytest.raises(EngineError, match="5 were expected"):
        context.decode([7], sequence=0, position=5, logits=True)
