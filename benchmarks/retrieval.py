"""Whether a question finds its passage: by words alone, by meaning alone, and by both as the kiosk does it.

    python benchmarks/retrieval.py [--json FILE]

The questions are in `benchmarks/questions/`, each with the section of the Debian FAQ, or the article of the Universal
Declaration of Human Rights, that answers it; they are put as people put them, and seldom in the text's own words. Each
language's declaration is searched by itself, with the embedding model of the demo, which was trained on English. Then
all of it is searched as one: without a preferred language, with the question's own, and with English, as by a patron
who writes in another language than the page's.

recall@5 is the part of the questions for which a right passage is among the first five; MRR is the mean of 1 over the
rank of the first right passage, 0 where it is not among the first 40 of a list. Nothing is left out as irrelevant here.
"""

import argparse
import re
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import material, rows
from benchmarks.rows import Row
from publicai_edge.engine.embedder import Embedder
from publicai_edge.knowledge.build import IndexSettings, build_index
from publicai_edge.progress import Silent
from publicai_edge.search.base import KnowledgeBase, Passage
from tests.convert import minilm

QUESTIONS = Path(__file__).parent / "questions"
LANGUAGES = ("en", "es", "ar", "sw")
FIRST = 5
SETTINGS = IndexSettings(passage_words=120)
WORDS, MEANING, BOTH = "by words", "by meaning", "both"
DECLARATION = "declaration, "


@dataclass(frozen=True)
class Shelf:
    """Documents, and questions about them with what answers each, as ``right`` judges it."""

    name: str
    documents: Mapping[str, Path]
    questions: Mapping[str, str]
    right: Callable[[Passage, str], bool]


def main() -> int:
    """Search, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--misses", action="store_true", help="also tell each question that did not find its passage")
    chosen = parser.parse_args()
    embedder = minilm.converted_model()
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        shelves: list[Shelf] = []
        for shelf in _shelves(Path(name)):
            if isinstance(shelf, Row):
                found.append(shelf)
                continue
            shelves.append(shelf)
            found += _searched(shelf, embedder, Path(name) / "index.sqlite", tell_misses=chosen.misses)
        found += _together(shelves, embedder, Path(name) / "index.sqlite")
    return rows.report(found, chosen.json)


def _shelves(folder: Path) -> Iterator[Shelf | Row]:
    faq = material.debian_faq()
    if faq is None:
        yield rows.missing("Debian FAQ", "apt has no debian-faq 11.1 here", "")
    else:
        yield Shelf("Debian FAQ, en", faq, _questions("debian-faq", "en"), _in_section)
    for language in LANGUAGES:
        place = folder / f"{language}.md"
        texts = {
            document.id.rpartition("-")[2]: document.text for document in material.declaration([language]).documents
        }
        articles = (f"## {number}\n\n{text}" for number, text in texts.items())
        place.write_text("\n\n".join(["# Universal Declaration of Human Rights", *articles]), "utf-8")
        yield Shelf(f"{DECLARATION}{language}", {place.name: place}, _questions("udhr", language), _in_article)


def _questions(name: str, language: str) -> dict[str, str]:
    return dict(tomllib.loads((QUESTIONS / f"{name}.toml").read_text("utf-8"))[language])


def _in_section(passage: Passage, section: str) -> bool:
    """Whether a passage is in a section of the FAQ, or in one of its parts."""
    return re.search(rf"(?<![\d.]){re.escape(section)}\.(?:\d|\s)", passage.heading) is not None


def _in_article(passage: Passage, article: str) -> bool:
    return re.search(rf"(?<!\d){article}(?!\d)", passage.heading) is not None


def _searched(shelf: Shelf, embedder: Path, index: Path, *, tell_misses: bool) -> Iterator[Row]:
    report, _ = build_index(shelf.documents, embedder, index, SETTINGS, Silent())
    base = KnowledgeBase.open(index, Embedder.open(embedder, threads=2))
    ranks: dict[str, list[int | None]] = {WORDS: [], MEANING: [], BOTH: []}
    for answer, question in shelf.questions.items():
        found = base.candidates(question)
        for kind, order in ((WORDS, found.words), (MEANING, found.nearest), (BOTH, found.scores())):
            right = (rank for rank, number in enumerate(order, 1) if shelf.right(base.passage(number), answer))
            ranks[kind].append(next(right, None))
        if tell_misses and (ranks[BOTH][-1] or FIRST + 1) > FIRST:
            print(f"  {shelf.name}, {answer}: {question} (rank {ranks[BOTH][-1]})", file=sys.stderr)
    base.close()
    what = f"{shelf.name}: {len(shelf.questions)} questions, {report.passages} passages"
    for kind, of_kind in ranks.items():
        yield from _rows(what, kind, of_kind)


def _rows(what: str, kind: str, ranks: Sequence[int | None]) -> Iterator[Row]:
    recall = sum(rank is not None and rank <= FIRST for rank in ranks) / len(ranks)
    reciprocal = sum(1 / rank for rank in ranks if rank) / len(ranks)
    yield rows.beside(f"{what}, recall@{FIRST}, {kind}", "", [recall], None, ())
    yield rows.beside(f"{what}, MRR, {kind}", "", [reciprocal], None, ())


def _together(shelves: Sequence[Shelf], embedder: Path, index: Path) -> Iterator[Row]:
    """Search everything at once; right is only a passage of the shelf that the question is about."""
    documents = {name: path for shelf in shelves for name, path in shelf.documents.items()}
    report, _ = build_index(documents, embedder, index, SETTINGS, Silent())
    base = KnowledgeBase.open(index, Embedder.open(embedder, threads=2))
    for shelf in shelves:
        if not shelf.name.startswith(DECLARATION):
            continue
        own = shelf.name.removeprefix(DECLARATION)
        for kind, language in (("no preference", ""), ("prefers its language", own), ("prefers en", "en")):
            ranks: list[int | None] = []
            of_own = 0
            for answer, question in shelf.questions.items():
                order = [base.passage(number) for number in base.candidates(question, language=language).scores()]
                of_own += sum(passage.language == own for passage in order[:FIRST])
                right = (
                    rank
                    for rank, passage in enumerate(order, 1)
                    if passage.source in shelf.documents and shelf.right(passage, answer)
                )
                ranks.append(next(right, None))
            what = f"all {report.passages} passages together, {len(ranks)} questions in {own}"
            yield from _rows(what, kind, ranks)
            share = of_own / (FIRST * len(ranks))
            yield rows.beside(f"{what}, of the first {FIRST} in {own}, {kind}", "", [share], None, ())
    base.close()


if __name__ == "__main__":
    sys.exit(main())
