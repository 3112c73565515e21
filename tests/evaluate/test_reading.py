"""What putting passages together costs: measured with the real small model, judged by numbers alone."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from publicai_edge.engine.passages.settings import PassageSettings
from publicai_edge.evaluate import reading
from publicai_edge.evaluate.questions import Question
from publicai_edge.evaluate.reading import Answered, Reading
from publicai_edge.progress import Silent
from publicai_edge.tuning import Tuning
from tests.engine.passages.test_composer import PASSAGES, SYSTEM, message

ASKED = (
    ("When does the library open on Saturday?", ("ten",)),
    ("How many seats has the Weir Room?", ("sixty", "60")),
)


def question(text: str, facts: tuple[str, ...], order: tuple[int, ...]) -> Question:
    turn = message(tuple(PASSAGES[index] for index in order), f"\n\nQuestion: {text}")
    return Question(text, "en", "ask", SYSTEM, turn.content, (facts,), turn.passages)


def test_the_same_questions_are_answered_in_each_way(model: Path, tmp_path: Path) -> None:
    questions = [question(*asked, order) for asked, order in zip(ASKED, [(1, 0), (0, 2)], strict=True)]
    questions.append(Question("Hello?", "en", "ask", "", "Hello?", (("hello",),)))  # it has no passages
    ways = [PassageSettings("shifted"), PassageSettings("recomputed", 128)]
    exact, shifted, whole = reading.measure(
        model, questions, ways, context=1024, max_tokens=12, tuning=Tuning(), kept=tmp_path, progress=Silent()
    )
    assert [len(item.answers) for item in (exact, shifted, whole)] == [2, 2, 2]
    assert all(answer.kl == 0 and answer.agreement == 1 for answer in exact.answers)
    assert all(answer.text for item in (exact, shifted, whole) for answer in item.answers)
    assert 0 < shifted.mean_kl.value < 0.5
    assert whole.mean_kl.value < shifted.mean_kl.value, "128 tokens are all of each passage"
    read = [sum(answer.read for answer in item.answers) for item in (exact, shifted, whole)]
    assert read[1] < read[2] < read[0]
    assert reading.Reading.from_json(shifted.to_json()) == shifted


def test_a_question_is_measured_once_whatever_ended_it_or_is_asked_beside_it(model: Path, tmp_path: Path) -> None:
    questions = [question(*asked, order) for asked, order in zip(ASKED, [(1, 0), (0, 2)], strict=True)]

    def measure(count: int, *ways: PassageSettings) -> tuple[Reading, ...]:
        return reading.measure(
            model,
            questions[:count],
            ways,
            context=1024,
            max_tokens=4,
            tuning=Tuning(),
            kept=tmp_path,
            progress=Silent(),
        )

    shifted, recomputed = PassageSettings("shifted"), PassageSettings("recomputed", 32)
    measure(1, shifted)
    assert mark(tmp_path) == 2, "with all read, and with the passages put together"
    assert [were_kept(item) for item in measure(2, shifted)] == [[True, False], [True, False]]
    mark(tmp_path)
    _, *others = measure(2, shifted, recomputed)
    assert [were_kept(item) for item in others] == [[True, True], [False, False]]
    mark(tmp_path)
    next(tmp_path.iterdir()).write_text("{")
    assert sum(map(sum, map(were_kept, measure(2, shifted, recomputed)))) < 6, "a damaged one is measured again"


def mark(folder: Path) -> int:
    """Change the text of every answer that is kept, so that it is known again; return how many there are."""
    found = list(folder.iterdir())
    for file in found:
        file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), "text": "kept"}), "utf-8")
    return len(found)


def were_kept(item: Reading) -> list[bool]:
    return [answer.text == "kept" for answer in item.answers]


def answered(kl: float, *found: bool, read: int = 10) -> Answered:
    return Answered("?", "en", kl, 1.0, "text", found, read)


def measured(*kls: float, name: str = "shifted", facts: int = 4) -> Reading:
    answers = tuple(answered(kl, number < facts) for number, kl in enumerate(kls))
    return Reading(name, 0, answers)


EXACT = Reading("exact", 0, tuple(answered(0.0, number < 4, read=100) for number in range(5)))
SHIFTED = measured(0.01, 0.02, 0.01, 0.03, 0.02)
RECOMPUTED = measured(0.001, 0.002, 0.001, 0.003, 0.002, name="recomputed")


@pytest.mark.parametrize(
    ("shifted", "recomputed", "bound", "chosen"),
    [
        (SHIFTED, RECOMPUTED, 0.05, "shifted"),
        (SHIFTED, RECOMPUTED, 0.018, "recomputed"),  # the mean is within, the interval's end is not
        (SHIFTED, RECOMPUTED, 0.0005, "exact"),
        (measured(0, 0, 0, 0, 0, facts=3), RECOMPUTED, 0.05, "recomputed"),
        (measured(0, 0, 0, 0, 0, facts=3), measured(0, 0, 0, 0, 0, facts=3), 0.05, "exact"),
    ],
)
def test_what_reads_least_is_taken_of_what_loses_little_enough(
    shifted: Reading, recomputed: Reading, bound: float, chosen: str
) -> None:
    composition, reason = reading.judge((EXACT, shifted, recomputed), bound)
    assert composition == chosen
    assert ("Every passage is read" in reason) == (chosen == "exact")


def test_no_language_pays_for_another() -> None:
    def spoken(item: Reading, language: str) -> Reading:
        return replace(item, answers=tuple(replace(answer, language=language) for answer in item.answers))

    def both(one: Reading, other: Reading) -> Reading:
        return replace(one, answers=one.answers + spoken(other, "es").answers)

    exact = both(EXACT, EXACT)
    won, lost = measured(0, 0, 0, 0, 0, facts=5), measured(0, 0, 0, 0, 0, facts=3)
    assert both(won, lost).facts == exact.facts
    composition, reason = reading.judge((exact, both(won, lost)), 0.05)
    assert composition == "exact"
    assert "(in es: up to 0.000, 3 facts where 4 are stated)" in reason
    far = measured(*[0.06] * 5)
    assert both(RECOMPUTED, far).mean_kl.high < 0.07
    composition, reason = reading.judge((exact, both(RECOMPUTED, far)), 0.059)
    assert composition == "exact"
    assert "in es: up to 0.060" in reason
    assert reading.judge((exact, both(RECOMPUTED, far)), 0.0601)[0] == "recomputed"


def test_a_composition_is_told_with_its_figures() -> None:
    said = reading.line(EXACT, replace(SHIFTED, composition="shifted"))
    assert said == (
        "Passages put together (shifted): loss 0.018 (0.012 to 0.024), 4 facts where 4 are stated with all passages "
        "read, 10% of the tokens to read."
    )
