"""Several conversations in one context: nobody waits for nothing, nothing is read twice, nothing is mixed up."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from publicai_edge.engine.chat import ChatFormat
from publicai_edge.engine.llama import LlamaContext, LlamaModel
from publicai_edge.engine.lookup import LONGEST
from publicai_edge.engine.prefixes import Prefixes
from publicai_edge.engine.protocol import ChatMessage, ChatRequest, Delta, Event, Finished, Sampling, Started
from publicai_edge.engine.scheduler import Scheduler
from publicai_edge.errors import ContextOverflowError, EngineError, PublicAIError

SYSTEM = "You answer questions about a town library from the passages you are given, in one short sentence. " * 6
OTHER = "You are the desk of a small museum of ships and answer visitors kindly and in few words. " * 6
SLOTS = 4


@dataclass
class Heard:
    """What one request was sent."""

    started: Started | None = None
    finished: Finished | None = None
    error: PublicAIError | None = None
    text: str = ""


@dataclass
class Desk:
    """A scheduler on a context of its own, and what it sent to whom."""

    context: LlamaContext
    scheduler: Scheduler
    heard: dict[int, Heard]

    def run(self) -> dict[int, Heard]:
        for _ in range(5000):
            if not self.scheduler.busy:
                return self.heard
            self.scheduler.step()
        raise AssertionError("it does not end")


def hear(heard: Heard, event: Event | PublicAIError) -> None:
    match event:
        case Started():
            heard.started = event
        case Delta(text):
            heard.text += text
        case Finished():
            heard.finished = event
        case PublicAIError():
            heard.error = event


@pytest.fixture(scope="module")
def loaded(model: Path) -> Iterator[LlamaModel]:
    loaded = LlamaModel(model)
    yield loaded
    loaded.close()


@pytest.fixture
def desk(loaded: LlamaModel) -> Iterator[Desk]:
    yield from make_desk(loaded)


def make_desk(loaded: LlamaModel, *, limit: int = 1024, drafts: bool = False) -> Iterator[Desk]:
    chat = ChatFormat(loaded)
    shared = [chat.shared_prefix(SYSTEM)]
    context = LlamaContext(loaded, n_ctx=limit, n_seq=SLOTS, threads=2, outputs=SLOTS + LONGEST)
    prefixes = Prefixes(context, shared)
    heard: dict[int, Heard] = defaultdict(Heard)
    scheduler = Scheduler(
        context,
        chat,
        prefixes,
        slots=SLOTS,
        limit=limit,
        send=lambda number, event: hear(heard[number], event),
        drafts=drafts,
    )
    desk = Desk(context, scheduler, heard)
    yield desk
    context.close()


def ask(question: str, system: str | None = SYSTEM, **sampling: object) -> ChatRequest:
    turns = [ChatMessage("system", system)] if system else []
    values = {"max_tokens": 16, **sampling}
    return ChatRequest((*turns, ChatMessage("user", question)), Sampling(**values))  # type: ignore[arg-type]


def test_requests_join_and_leave_and_each_gets_its_own_answer(desk: Desk) -> None:
    questions = ["What is 2 + 2?", "Name a fruit.", "Say hello.", "What is a ship?", "What is a book?", "Name a city."]
    for number, question in enumerate(questions):
        desk.scheduler.admit(number, ask(question, max_tokens=4 + 3 * number))
    assert desk.scheduler.active == SLOTS
    heard = desk.run()
    for number in range(len(questions)):
        finished, started = heard[number].finished, heard[number].started
        assert finished and started
        assert finished.completion_tokens <= 4 + 3 * number
        assert heard[number].text
    assert desk.scheduler.counts.steps < 60, "they were answered one after the other"


@pytest.mark.parametrize("streams", [True, False])
def test_what_patrons_share_is_read_once(loaded: LlamaModel, monkeypatch: pytest.MonkeyPatch, streams: bool) -> None:
    """Also with models that cannot have streams, where all sequences have one cache."""
    monkeypatch.setattr(LlamaModel, "has_streams", streams)
    for desk in make_desk(loaded):
        shared = len(desk.scheduler.chat.shared_prefix(SYSTEM))
        for number in range(6):
            desk.scheduler.admit(number, ask(f"What is {number}?"))
        heard = desk.run()
        own = sum(item.started.prompt_tokens - shared for item in heard.values() if item.started)
        said = sum(item.finished.completion_tokens for item in heard.values() if item.finished)
        assert all(item.started and item.started.reused_tokens == shared for item in heard.values())
        assert desk.context.evaluated <= shared + own + said


def test_a_system_prompt_that_nobody_announced_is_shared_while_one_is_there(desk: Desk) -> None:
    for number in range(3):
        desk.scheduler.admit(number, ask(f"What is {number}?", OTHER))
    heard = desk.run()
    reused = [item.started.reused_tokens for item in heard.values() if item.started]
    assert reused[0] == 0
    assert min(reused[1:]) > 80
    desk.scheduler.admit(9, ask("What is it?", OTHER))
    started = desk.run()[9].started
    assert started
    assert started.reused_tokens == 0, "it was kept after all had left"


def test_the_batch_is_in_the_order_of_the_sequences(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever came first: streams in another order are computed one by one."""
    orders = []
    evaluate = desk.context.evaluate

    def look() -> None:
        batch = desk.context.batch
        orders.append(batch._sequences[: len(batch)].tolist())
        evaluate()

    monkeypatch.setattr(desk.context, "evaluate", look)
    for number in range(9):
        desk.scheduler.admit(number, ask(f"What is {number}?", None, max_tokens=3 + 5 * number % 11))
    desk.run()
    assert all(order == sorted(order) for order in orders)
    assert any(len(set(order)) == SLOTS for order in orders)


def test_answers_go_on_while_a_long_prompt_is_read(loaded: LlamaModel, monkeypatch: pytest.MonkeyPatch) -> None:
    for desk in make_desk(loaded, limit=2048):
        desk.scheduler._reading.rate = 200.0
        monkeypatch.setattr(desk.scheduler._reading, "saw", lambda *_: None)  # how fast this machine is does not count
        desk.scheduler.admit(0, ask("Tell me a long story.", None, max_tokens=40))
        while desk.scheduler.counts.steps < 3:
            desk.scheduler.step()
        desk.scheduler.admit(1, ask("word " * 1200, None, max_tokens=4))
        said = []
        while not desk.heard[1].started:
            before = desk.scheduler._active[0]._count if desk.scheduler._active[0].number == 0 else None
            desk.scheduler.step()
            if before is not None and desk.scheduler._active and desk.scheduler._active[0].number == 0:
                said.append(desk.scheduler._active[0]._count - before)
        assert len(said) >= 5, "the prompt was read in one piece"
        assert set(said) == {1}, "the answer stood still"


def test_cancelled_request_is_gone_after_no_more_than_one_step(desk: Desk) -> None:
    for number in range(6):
        desk.scheduler.admit(number, ask("Tell me a story.", max_tokens=200))
    for _ in range(12):
        desk.scheduler.step()
    desk.scheduler.cancel(0)  # writing
    desk.scheduler.cancel(5)  # waiting
    desk.scheduler.cancel(99)  # unknown
    assert desk.heard[0].finished
    assert desk.heard[0].finished.reason == desk.heard[5].finished.reason == "cancelled"  # type: ignore[union-attr]
    assert [slot.number for slot in desk.scheduler._active] == [1, 2, 3, 4]
    for number in range(1, 5):
        desk.scheduler.cancel(number)
    assert not desk.scheduler.busy
    assert sorted(desk.scheduler._free) == list(range(SLOTS))


def test_nothing_of_a_request_stays_in_the_cache(desk: Desk) -> None:
    desk.scheduler.admit(0, ask("Remember the word zanzibar."))
    desk.run()
    desk.scheduler.admit(1, ask("Remember the word zanzibar.", OTHER))
    desk.scheduler.admit(2, ask("Remember the word zanzibar.", OTHER))
    desk.run()
    memory, last = desk.context.memory, desk.context._llama.llama_memory_seq_pos_max
    shared = len(desk.scheduler.chat.shared_prefix(SYSTEM))
    assert sorted(last(memory, sequence) for sequence in range(SLOTS)) == [-1] * (SLOTS - 1) + [shared - 1]


def test_every_slot_has_room_for_a_whole_context(loaded: LlamaModel) -> None:
    for desk in make_desk(loaded, limit=512):
        for number in range(SLOTS):
            desk.scheduler.admit(number, ask("word " * 440, None, max_tokens=999))
        assert desk.scheduler.active == SLOTS
        finished = [item.finished for item in desk.run().values()]
        assert all(item and item.reason in {"stop", "length"} for item in finished)


def test_too_long_a_conversation_is_refused_with_numbers_and_the_others_go_on(desk: Desk) -> None:
    desk.scheduler.admit(0, ask("Name a fruit."))
    desk.scheduler.admit(1, ask("word " * 1100))
    heard = desk.run()
    assert isinstance(heard[1].error, ContextOverflowError)
    assert "1024" in heard[1].error.message
    assert heard[0].finished


@pytest.mark.parametrize("steps", [1, 9])
def test_a_step_that_fails_ends_its_requests_and_the_next_one_is_answered(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    desk.scheduler.admit(0, ask("Name a fruit."))
    for _ in range(steps):  # still at the prompt that is shared, or writing
        desk.scheduler.step()

    def fail() -> None:
        raise EngineError("no")

    with monkeypatch.context() as patch:
        patch.setattr(desk.context, "evaluate", fail)
        while desk.scheduler.busy:
            desk.scheduler.step()
    assert isinstance(desk.heard[0].error, EngineError)
    desk.scheduler.admit(1, ask("Name a fruit."))
    assert desk.run()[1].finished


def test_an_answer_that_no_token_fits_ends_alone(desk: Desk) -> None:
    nothing = r'root ::= "a" [^\x00-\U0010FFFF]'
    desk.scheduler.admit(0, ask("Name a fruit.", max_tokens=24))
    desk.scheduler.admit(1, ask("Name a fruit.", grammar=nothing))
    desk.scheduler.admit(2, ask("Name an animal.", max_tokens=24))
    heard = desk.run()
    assert isinstance(heard[1].error, EngineError)
    assert heard[1].error.facts["parameter"] == "grammar"
    assert not heard[1].finished
    assert heard[0].finished
    assert heard[2].finished
    desk.scheduler.admit(3, ask("Name a fruit."))
    assert desk.run()[3].finished


def test_drafts_leave_the_text_as_it_is_and_save_evaluations(loaded: LlamaModel) -> None:
    passage = (
        "The library opens at nine on Monday and closes at six. Books may be kept for three weeks, films for one week, "
        "and a loan can be renewed twice at the desk, by telephone or from home. "
    )
    question = f"{passage}\n\nRepeat the text above word for word."
    texts, steps = [], []
    for drafts in (False, True):
        for desk in make_desk(loaded, drafts=drafts):
            desk.scheduler.admit(0, ask(question, None, max_tokens=60))
            texts.append(desk.run()[0].text)
            steps.append(desk.scheduler.counts)
    assert texts[0] == texts[1]
    assert steps[0].drafted == 0
    assert steps[1].steps == steps[0].steps - steps[1].drafts_right  # whether it pays is this processor's to say


def test_every_draft_is_checked_wherever_it_is_wrong(loaded: LlamaModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drafts of every length, right and wrong, must leave the same text as none."""
    question = "Count: one two three four one two three five one two three"
    texts = []
    for length in (0, 1, 3, LONGEST):
        for desk in make_desk(loaded, drafts=length > 0):
            monkeypatch.setattr(desk.scheduler._pace, "length", lambda _chance, most=length: most)
            desk.scheduler.admit(0, ask(question, None, max_tokens=48))
            texts.append(desk.run()[0].text)
            if length == LONGEST:
                assert desk.scheduler.counts.drafted > desk.scheduler.counts.drafts_right > 0
    assert len(set(texts)) == 1, texts


def test_grammar_bounds_the_answer(desk: Desk) -> None:
    desk.scheduler.admit(0, ask("Is the sea wet?", grammar='root ::= "yes" | "no"'))
    desk.scheduler.admit(1, ask("Is the sea wet?", grammar="root :: ="))
    desk.scheduler.admit(2, ask("Name a fruit.", temperature=1.5, seed=3, grammar='root ::= "pear " [a-c]+'))
    heard = desk.run()
    assert heard[0].text in {"yes", "no"}
    assert heard[1].error
    assert heard[2].text.startswith("pear ") and set(heard[2].text[5:]) <= set("abc")


def test_json_schema_makes_json(desk: Desk) -> None:
    import json

    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 12}, "open": {"type": "boolean"}},
        "required": ["name", "open"],
        "additionalProperties": False,
    }
    desk.scheduler.admit(0, ask("Describe the library.", json_schema=json.dumps(schema), max_tokens=60))
    desk.scheduler.admit(1, ask("Describe the library.", json_schema='{"type": "no"}'))
    heard = desk.run()
    found = json.loads(heard[0].text)
    assert set(found) == {"name", "open"} and isinstance(found["open"], bool)
    assert isinstance(heard[1].error, EngineError)


def test_seed_decides_and_penalties_change_the_text(desk: Desk) -> None:
    same = {"temperature": 1.0, "top_p": 0.9, "min_p": 0.02, "max_tokens": 20}
    asked = [ask("Write a line.", **same, seed=seed) for seed in (5, 5, 6)]
    asked.append(ask("la la la la la la", None, max_tokens=24))
    asked.append(ask("la la la la la la", None, max_tokens=24, repeat_penalty=1.8, presence_penalty=1.5))
    texts = []
    for number, item in enumerate(asked):
        desk.scheduler.admit(number, item)
        texts.append(desk.run()[number].text)
    assert texts[0] == texts[1] != texts[2]
    assert texts[3] != texts[4]
