"""What reading passages once costs, as rows and answers: the same ones on the page, in the JSON and on the terminal.

A row is a way of reading passages, over all questions or those of one language; all languages come first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from publicai_edge.evaluate.reading import Answered, Reading
from publicai_edge.evaluate.report import figures
from publicai_edge.evaluate.result import Interval, Quality


@dataclass(frozen=True)
class ReadingRow:
    """One way of reading passages.

    Attributes:
        composition: "exact", "shifted" or "recomputed".
        recomputed: tokens of each passage that are read again.
        language: BCP 47 tag; None for all questions.
        questions: how many were asked.
        mean_kl: loss along the answers, nats per token; None for what the others are compared with.
        facts: facts that the answers state.
        expected: facts that they should state.
        read: tokens that were read.
    """

    composition: str
    recomputed: int
    language: str | None
    questions: int
    mean_kl: Interval | None
    facts: int
    expected: int
    read: int

    @property
    def name(self) -> str:
        """The way as a person reads it."""
        return way(self.composition, self.recomputed)


@dataclass(frozen=True)
class SideBySide:
    """One question, and what was answered: each text once, with the ways that gave it and which facts it states."""

    question: str
    language: str
    answers: tuple[tuple[str, Answered], ...]


def way(composition: str, recomputed: int) -> str:
    """Return the name of a way of reading passages."""
    return f"{composition}, {recomputed} tokens" if recomputed else composition


def rows(quality: Quality) -> tuple[ReadingRow, ...]:
    """Return a row for each way of reading passages, then one for each in each language, where there are several."""
    languages = dict.fromkeys(answer.language for item in quality.reading[:1] for answer in item.answers)
    scopes: list[str | None] = [None, *(languages if len(languages) > 1 else ())]
    return tuple(_row(item, scope) for scope in scopes for item in quality.reading)


def places(found: Sequence[ReadingRow]) -> int:
    """Return the decimals that a column of these rows' losses has."""
    return figures.decimals(row.mean_kl.value for row in found if row.mean_kl)


def side_by_side(quality: Quality) -> Iterator[SideBySide]:
    """Yield every question with its answers, those first whose answers state different facts."""
    ways = [(way(item.composition, item.recomputed), item.answers) for item in quality.reading]
    asked = range(len(ways[0][1])) if ways else range(0)

    def alike(index: int) -> bool:
        return len({answers[index].found for _, answers in ways}) == 1

    for index in sorted(asked, key=alike):
        answers = [(name, each[index]) for name, each in ways]
        first = answers[0][1]
        yield SideBySide(first.question, first.language, _grouped(answers))


def _grouped(answers: Sequence[tuple[str, Answered]]) -> tuple[tuple[str, Answered], ...]:
    """Put the names of ways together that gave the same text."""
    found: dict[str, tuple[list[str], Answered]] = {}
    for name, answer in answers:
        found.setdefault(answer.text, ([], answer))[0].append(name)
    return tuple((" and ".join(names), answer) for names, answer in found.values())


def _row(item: Reading, language: str | None) -> ReadingRow:
    answers = tuple(answer for answer in item.answers if language in {None, answer.language})
    part = Reading(item.composition, item.recomputed, answers)
    return ReadingRow(
        composition=item.composition,
        recomputed=item.recomputed,
        language=language,
        questions=len(answers),
        mean_kl=None if item.composition == "exact" else part.mean_kl,
        facts=part.facts,
        expected=sum(len(answer.found) for answer in answers),
        read=sum(answer.read for answer in answers),
    )
