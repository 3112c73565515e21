"""The questions of the benchmarks: what they expect is in the documents that they are about."""

import tomllib
from pathlib import Path

import pytest

from publicai_edge.evaluate.questions import states
from publicai_edge.knowledge.extract import extract

ROOT = Path(__file__).parent.parent
FACTS = tomllib.loads((ROOT / "benchmarks/questions/passage-facts.toml").read_text("utf-8"))
LIBRARY = [(item["file"], item["ask"], item["fact"]) for items in FACTS["library"].values() for item in items]


def test_there_are_enough_questions_in_enough_languages() -> None:
    asked = {(language, item["ask"]) for shelf in FACTS.values() for language, items in shelf.items() for item in items}
    assert len(asked) >= 60
    assert len({language for language, _ in asked}) >= 3


@pytest.mark.parametrize(("file", "ask", "fact"), LIBRARY, ids=[f"{item[0]}-{item[2][0]}" for item in LIBRARY])
def test_a_fact_stands_in_its_document_and_not_in_its_question(file: str, ask: str, fact: list[str]) -> None:
    document = extract(ROOT / "recipes/documents/demo" / file, file, 10_000_000, 10_000_000)
    text = "\n".join(block.text for block in document.blocks)
    assert states(text, fact)
    assert not states(ask, fact), "a model that only repeats the question would be right"
