"""Passages put together from what was computed before, with the real small model: as near to reading as promised."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from publicai_edge.engine.chat import ChatFormat, Prompt
from publicai_edge.engine.llama import LlamaContext, LlamaModel
from publicai_edge.engine.passages.composer import Composer
from publicai_edge.engine.passages.context import PassageContext, cannot_compose
from publicai_edge.engine.passages.settings import PassageSettings
from publicai_edge.engine.passages.store import StateStore, files
from publicai_edge.engine.prefixes import SHARED_CHUNK
from publicai_edge.engine.protocol import ChatMessage
from publicai_edge.tuning import Tuning

FINGERPRINT = "a" * 64
LIMIT = 1024
SYSTEM = "You answer questions about a town library. Use only the passages, and answer in one short sentence."
PASSAGES = (
    " Opening hours\nThe library opens at nine on weekdays and at ten on Saturday. It is closed on Sunday.",
    " Borrowing rules\nBooks may be kept for three weeks and films for one week. A loan can be renewed twice.",
    " Rooms\nThe Weir Room has sixty seats and a piano. It is booked at the desk, a week ahead at least.",
)
QUESTION = "\n\nQuestion: How many seats are there in the Weir Room?"


def message(texts: tuple[str, ...], question: str = QUESTION) -> ChatMessage:
    content, places = "Passages:\n", []
    for number, text in enumerate(texts, 1):
        content += f"\n\n[{number}]" if number > 1 else "[1]"
        places.append((len(content), len(content) + len(text)))
        content += text
    return ChatMessage("user", content + question, tuple(places))


@dataclass
class Bench:
    """A model, a context for patrons and one for passages."""

    model: LlamaModel
    chat: ChatFormat
    patrons: LlamaContext
    passages: PassageContext

    def prompt(self, *texts: str, question: str = QUESTION) -> Prompt:
        return self.chat.encode([ChatMessage("system", SYSTEM), message(texts, question)])

    def composer(self, folder: Path, how: PassageSettings, *, compress: bool = False) -> Composer:
        return Composer(self.passages, StateStore(folder, FINGERPRINT, 1 << 30, compress=compress), how)

    def fill(self, composer: Composer, *texts: str) -> None:
        for text in texts:
            composer.keep(self.prompt(text, question=" "))
            while (how := composer.read_piece()) is None:
                pass
            assert how == "kept"

    def read(self, prompt: Prompt) -> "np.ndarray":
        """Return the chances of the next token when all of a prompt is read, in pieces that end where passages do.

        The last bits of sums depend on how many tokens are evaluated together: with this model in 4 bits, a prompt
        that is read in other pieces is off by 0.006 nats.
        """
        self.patrons.clear(1)
        at = 0
        for end in (edge for run in prompt.runs for edge in (run.start, run.end)):
            for start in range(at, end, SHARED_CHUNK):
                self.patrons.decode(
                    prompt.tokens[start : min(start + SHARED_CHUNK, end)], sequence=1, position=start, logits=False
                )
            at = end
        return self._go_on(prompt, at)

    def begun(self, composer: Composer, prompt: Prompt) -> "np.ndarray":
        """Return the same when the prompt begins with what the composer has of it."""
        found = composer.compose(prompt)
        assert found
        self.patrons.clear(1)
        assert self.patrons.restore(1, self.patrons.fitted(found.state))
        return self._go_on(prompt, found.tokens)

    def _go_on(self, prompt: Prompt, begin: int) -> "np.ndarray":
        rest = prompt.tokens[begin:]
        self.patrons.decode(rest, sequence=1, position=begin, logits=True)
        logits = self.patrons.logits(len(rest) - 1).astype(np.float64)
        chances = np.exp(logits - logits.max())
        return chances / chances.sum()


def divergence(right: "np.ndarray", other: "np.ndarray") -> float:
    """Kullback-Leibler divergence in nats."""
    return float((right * (np.log(right + 1e-30) - np.log(other + 1e-30))).sum())


@pytest.fixture(scope="module")
def bench(model: Path) -> Iterator[Bench]:
    loaded = LlamaModel(model)
    patrons = LlamaContext(loaded, n_ctx=LIMIT, n_seq=3, threads=2)
    passages = PassageContext(loaded, n_ctx=LIMIT, threads=2, tuning=Tuning())
    yield Bench(loaded, ChatFormat(loaded), patrons, passages)
    passages.close()
    patrons.close()
    loaded.close()


def test_a_passages_tokens_do_not_depend_on_its_neighbours(bench: Bench) -> None:
    first, second, third = PASSAGES
    alone = bench.prompt(second)
    among = bench.prompt(first, second, third)
    run, same = alone.runs[0], among.runs[1]
    assert alone.tokens[run.start : run.end] == among.tokens[same.start : same.end]
    assert run.sha256 == same.sha256
    assert alone.tokens[: run.start] == among.tokens[: among.runs[0].start]


def test_one_passage_is_as_if_it_had_been_read(bench: Bench, tmp_path: Path) -> None:
    composer = bench.composer(tmp_path, PassageSettings("shifted"))
    bench.fill(composer, PASSAGES[2])
    prompt = bench.prompt(PASSAGES[2])
    assert divergence(bench.read(prompt), bench.begun(composer, prompt)) < 1e-4


@pytest.mark.parametrize("compress", [False, True])
def test_several_passages_are_nearly_as_if_they_had_been_read(bench: Bench, tmp_path: Path, compress: bool) -> None:
    composer = bench.composer(tmp_path, PassageSettings("shifted"), compress=compress)
    bench.fill(composer, *PASSAGES)
    prompt = bench.prompt(*PASSAGES)
    loss = divergence(bench.read(prompt), bench.begun(composer, prompt))
    assert 1e-7 < loss < 0.2


def test_first_tokens_read_anew_lose_less(bench: Bench, tmp_path: Path) -> None:
    orders = [(0, 1, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0)]
    losses = {}
    for how in (PassageSettings("shifted"), PassageSettings("recomputed", 16)):
        composer = bench.composer(tmp_path, how)
        bench.fill(composer, *PASSAGES)
        prompts = [bench.prompt(*(PASSAGES[index] for index in order)) for order in orders]
        losses[how.composition] = np.mean([divergence(bench.read(p), bench.begun(composer, p)) for p in prompts])
    assert losses["recomputed"] < losses["shifted"]


def test_all_of_a_passage_read_anew_loses_nothing(bench: Bench, tmp_path: Path) -> None:
    composer = bench.composer(tmp_path, PassageSettings("recomputed", 128))
    bench.fill(composer, *PASSAGES[:2])
    prompt = bench.prompt(*PASSAGES[:2])
    assert divergence(bench.read(prompt), bench.begun(composer, prompt)) < 1e-4


def test_only_the_question_is_left_to_read(bench: Bench, tmp_path: Path) -> None:
    composer = bench.composer(tmp_path, PassageSettings("shifted"))
    bench.fill(composer, *PASSAGES)
    prompt = bench.prompt(*PASSAGES)
    found = composer.compose(prompt)
    assert found
    assert found.tokens == prompt.runs[-1].end + 1
    assert len(prompt.tokens) - found.reused < 40


def test_passages_that_are_not_there_are_left_to_be_read(bench: Bench, tmp_path: Path) -> None:
    composer = bench.composer(tmp_path, PassageSettings("shifted"))
    prompt = bench.prompt(*PASSAGES)
    assert composer.compose(prompt) is None
    bench.fill(composer, PASSAGES[0], PASSAGES[2])
    found = composer.compose(prompt)
    assert found
    assert found.tokens == prompt.runs[0].end, "the second is missing, and the third comes after it"
    assert divergence(bench.read(prompt), bench.begun(composer, prompt)) < 0.02, "the rest is read in other pieces"


def test_a_damaged_state_is_read_again_and_kept_whole(bench: Bench, tmp_path: Path) -> None:
    composer = bench.composer(tmp_path, PassageSettings("shifted"))
    bench.fill(composer, PASSAGES[0])
    prompt = bench.prompt(PASSAGES[0])
    (file,) = (file for file in files(tmp_path) if file.stem == prompt.runs[0].sha256)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert composer.compose(prompt) is None
    bench.fill(composer, PASSAGES[0])
    assert file.read_bytes() == whole, "a state is the same whenever it is made"


def test_a_state_is_the_same_whoever_came_meanwhile(bench: Bench, tmp_path: Path) -> None:
    undisturbed = bench.composer(tmp_path / "a", PassageSettings("shifted"))
    bench.fill(undisturbed, *PASSAGES)
    disturbed = bench.composer(tmp_path / "b", PassageSettings("shifted"))
    bench.fill(disturbed, PASSAGES[0])
    disturbed.keep(bench.prompt(PASSAGES[1], question=" "))
    assert disturbed.read_piece(lambda: True) is None, "somebody came at once"
    assert disturbed.compose(bench.prompt(PASSAGES[0]))
    while disturbed.read_piece() is None:
        pass
    name = bench.prompt(PASSAGES[1]).runs[0].sha256
    found = [next(file for file in files(tmp_path / side) if file.stem == name).read_bytes() for side in "ab"]
    assert found[0] == found[1]


def test_an_evaluation_stops_when_somebody_comes(bench: Bench, tmp_path: Path) -> None:
    composer = bench.composer(tmp_path, PassageSettings("shifted"))
    composer.keep(bench.prompt(PASSAGES[0] * 10, question=" "))
    asked = count_of(composer)
    assert asked(lambda number: number > 3) is None
    before = bench.passages.evaluated
    assert asked(lambda number: number > 3) is None
    assert bench.passages.evaluated == before, "it went on to the end"


def count_of(composer: Composer) -> Callable[[Callable[[int], bool]], str | None]:
    def read(stop: Callable[[int], bool]) -> str | None:
        looks = 0

        def look() -> bool:
            nonlocal looks
            looks += 1
            return stop(looks)

        return composer.read_piece(look)

    return read


def test_nothing_that_comes_after_the_passages_is_written(bench: Bench, tmp_path: Path) -> None:
    """The files of a prompt with a question are those of the prompt without one, byte for byte."""
    kept = []
    for name, question in (("a", " "), ("b", "\n\nQuestion: canary-7731")):
        composer = bench.composer(tmp_path / name, PassageSettings("shifted"))
        composer.keep(bench.prompt(PASSAGES[0], question=question))
        while composer.read_piece() is None:
            pass
        composer.compose(bench.prompt(PASSAGES[0], question=question))
        kept.append({file.relative_to(tmp_path / name): file.read_bytes() for file in files(tmp_path / name)})
    assert kept[0] == kept[1]


def test_a_full_disk_budget_is_told(bench: Bench, tmp_path: Path) -> None:
    store = StateStore(tmp_path, FINGERPRINT, 1000)
    composer = Composer(bench.passages, store, PassageSettings("shifted"))
    composer.keep(bench.prompt(PASSAGES[0], question=" "))
    while (how := composer.read_piece()) is None:
        pass
    assert how == "full"
    assert not composer.keeping


@pytest.mark.parametrize("missing", ["keeps_positions", "has_streams"])
def test_models_whose_memory_cannot_be_put_together_say_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    assert cannot_compose(bench.model) is None
    monkeypatch.setattr(LlamaModel, missing, False)
    assert cannot_compose(bench.model)
