"""Facts are found where a reader would find them, and the real model answers."""

from pathlib import Path

import pytest

from publicai_edge.errors import ContextOverflowError
from publicai_edge.evaluate.questions import Question, answer, compare, states
from publicai_edge.progress import Silent


@pytest.mark.parametrize(
    ("text", "spellings"),
    [
        ("The library opens at 9 a.m.", ["9 a.m.", "9:00"]),
        ("OPEN  ON\nMonday", ["open on monday"]),
        ("ﬁnes are paid at the desk", ["fines"]),
        ("Straße 5", ["STRASSE 5"]),
        ("مفتوح من ٩ صباحا", ["9"]),
        ("وَالمكتبة", ["المكتبة"]),
        ("图书馆在星期一开放", ["星期一"]),
        ("क्‍ष", ["क्ष"]),
        ("cafe\u0301", ["café"]),
    ],
)
def test_fact_is_found_however_it_is_written(text: str, spellings: list[str]) -> None:
    assert states(text, spellings)


@pytest.mark.parametrize(
    ("text", "spelling"),
    [("open at 19", "9"), ("come here", "her"), ("el ano", "año"), ("", "x"), ("anything", ""), ("9000", "900")],
)
def test_fact_is_not_found_in_another_word_or_number(text: str, spelling: str) -> None:
    assert not states(text, [spelling])


def test_answers_of_two_models_are_laid_side_by_side() -> None:
    question = Question("When?", "en", "ask", "", "When?", (("nine", "9"), ("Monday",)))
    (found,) = compare([question], ["At 9 on Monday."], ["At nine."])
    assert found.facts == ("nine", "Monday")
    assert found.reference_found == (True, True)
    assert found.found == (True, False)
    assert found.lost == ("Monday",)


def test_the_real_model_answers_greedily_and_in_order(model: Path) -> None:
    system = "Answer from the passage in one short sentence."
    passage = "Passage: The town library opens at nine o'clock on Monday.\n\nQuestion: When does it open on Monday?"
    first = Question("When?", "en", "ask", system, passage, (("nine", "9"),))
    second = Question(
        "Capital?", "en", "ask", "You are a helpful assistant.", "What is the capital of France?", (("Paris",),)
    )
    answers = answer(model, [first, second], max_tokens=32, progress=Silent())
    assert answers == answer(model, [first, second], max_tokens=32, progress=Silent())
    assert [item.found for item in compare([first, second], answers, answers)] == [(True,), (True,)]


def test_a_question_that_does_not_fit_is_named(model: Path) -> None:
    question = Question("Why?", "en", "ask", "", "word " * 200, ())
    with pytest.raises(ContextOverflowError, match="Why"):
        answer(model, [question], context=128, progress=Silent())


def test_no_questions_start_no_model(tmp_path: Path) -> None:
    assert answer(tmp_path / "absent.gguf", [], progress=Silent()) == ()
