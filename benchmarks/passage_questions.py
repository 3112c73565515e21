"""Questions over passages as the kiosk would find them, with the facts that their answers must hold.

They are in `questions/passage-facts.toml`: on the Debian FAQ in English and French, and on the demo's documents in
English and Spanish. Each comes with two passages: the best that does not hold the answer, and behind it, where putting
passages together can lose something, the best that does.
"""

import re
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import material
from publicai_edge.engine.embedder import Embedder
from publicai_edge.evaluate.questions import Question, states
from publicai_edge.kiosk.answering import Inquiry, compose, passage_run
from publicai_edge.knowledge.build import IndexSettings, build_index
from publicai_edge.progress import Silent
from publicai_edge.search.base import KnowledgeBase, Passage
from tests.convert import minilm
from tests.kiosk.conftest import manifest

DEMO = Path(__file__).resolve().parent.parent / "recipes" / "documents" / "demo"
SETTINGS = IndexSettings(passage_words=120)


def questions() -> list[Question]:
    """Return all of them; none where apt does not have the Debian FAQ."""
    asked = tomllib.loads((Path(__file__).parent / "questions" / "passage-facts.toml").read_text("utf-8"))
    found: list[Question] = []
    for language, items in asked["faq"].items():
        documents = material.debian_faq(language)
        if documents is None:
            return []
        found += _about(documents, language, items)
    library = {path.name: path for path in DEMO.iterdir() if path.name != "LICENSE"}
    for language, items in asked["library"].items():
        found += _about(library, language, items)
    return found


def _about(documents: Mapping[str, Path], language: str, items: list[dict[str, Any]]) -> Iterator[Question]:
    embedder = minilm.converted_model()
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index.sqlite"
        build_index(documents, embedder, index, SETTINGS, Silent())
        base = KnowledgeBase.open(index, Embedder.open(embedder, threads=2))
        for item in items:
            yield _question(base, language, item)
        base.close()


def _question(base: KnowledgeBase, language: str, item: dict[str, Any]) -> Question:
    ranked = [base.passage(number) for number in base.candidates(item["ask"]).scores()]
    right = next((passage for passage in (*ranked, *_everything(base, item)) if _answers(passage, item)), None)
    if right is None:
        raise RuntimeError(f"no passage answers {item['ask']!r}")
    other = next(passage for passage in ranked if not states(passage_run(passage), item["fact"]))
    texts = [f"[{number}]{passage_run(passage)}" for number, passage in enumerate((other, right), 1)]
    service = next(service for service in manifest().services if service.search)
    system, user = compose(Inquiry(service, language, item["ask"], labels={}), texts).messages
    facts = (tuple(item["fact"]),)
    return Question(item["ask"], language, "ask", system.content, user.content, facts, user.passages)


def _everything(base: KnowledgeBase, item: dict[str, Any]) -> Iterator[Passage]:
    """Yield the passages that may answer, where the search's candidates have none of them."""
    for source in [item["file"]] if "file" in item else base.sources():
        yield from base.document(source)


def _answers(passage: Passage, item: dict[str, Any]) -> bool:
    if "file" in item and passage.source != item["file"]:
        return False
    if "section" in item and not re.search(rf"(?<![\d.]){re.escape(item['section'])}\.\s", passage.heading):
        return False
    return states(passage_run(passage), item["fact"])
