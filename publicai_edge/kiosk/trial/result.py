"""What was found for each question, and what that comes to: plain values, and pure functions of them.

A question is right when all that it asks for holds: one of its passages was found, every fact is in the answer, or,
for a question outside the documents, the kiosk said that it found nothing. Whether an answer names its passages is told
beside that, and makes no question wrong.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from publicai_edge.bundle.questions import Passage, Question
from publicai_edge.kiosk.trial.asking import Found, Heard
from publicai_edge.kiosk.trial.wording import says

FORMAT = "publicai-edge/trial/1"


@dataclass(frozen=True)
class Fact:
    """A fact that was asked for, by its first wording, and whether the answer says it."""

    fact: str
    said: bool


@dataclass(frozen=True)
class Line:
    """One question and what came of it.

    Attributes:
        service, language, question, outside: as they were asked.
        place: at which place, from 1, the expected passage was shown; None where it was not, or none was asked for.
        passage: whether it was shown; None where none was asked for.
        facts: what the answer had to say.
        nothing: for a question outside the documents, whether the kiosk said that it found nothing; else None.
        cited: of an answer to a service that searches, whether a sentence of it names a passage; else None.
        shown: the documents of the passages that were shown, in order.
        answer: the answer.
        trouble: the code of an error, or "length" for an answer that was cut; None where all went well.
        to_passages, to_first_word, to_end: seconds; None for what did not come.
    """

    service: str
    language: str
    question: str
    outside: bool
    place: int | None
    passage: bool | None
    facts: tuple[Fact, ...]
    nothing: bool | None
    cited: bool | None
    shown: tuple[str, ...]
    answer: str
    trouble: str | None
    to_passages: float | None
    to_first_word: float | None
    to_end: float | None

    @property
    def right(self) -> bool:
        """Whether all that was asked for holds."""
        if self.trouble not in {None, "length"} or self.passage is False or self.nothing is False:
            return False
        return all(fact.said for fact in self.facts)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "right": self.right}


def judge(question: Question, heard: Heard) -> Line:
    """Return what came of a question."""
    place = _place(question.passages, heard.passages)
    answered = bool(heard.answer.strip())
    return Line(
        service=question.service,
        language=question.language,
        question=question.question,
        outside=question.outside,
        place=place,
        passage=place is not None if question.passages else None,
        facts=tuple(Fact(wordings[0], says(heard.answer, wordings)) for wordings in question.facts),
        nothing=heard.nothing_found if question.outside else None,
        cited=heard.cited > 0 if answered and heard.passages else None,
        shown=tuple(_called(found) for found in heard.passages),
        answer=heard.answer.strip(),
        trouble=heard.trouble or ("length" if heard.ended == "length" else None),
        to_passages=_rounded(heard.to_passages),
        to_first_word=_rounded(heard.to_first_word),
        to_end=_rounded(heard.to_end),
    )


def _place(expected: Sequence[Passage], shown: Sequence[Found]) -> int | None:
    return next((at for at, found in enumerate(shown, 1) if any(_is(passage, found) for passage in expected)), None)


def _is(passage: Passage, found: Found) -> bool:
    if not passage.is_in(found.source) or passage.page not in {None, found.page}:
        return False
    return all(says(found.text, (word,)) for word in passage.words)


def _called(found: Found) -> str:
    return f"{found.source}, page {found.page}" if found.page else found.source


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


@dataclass(frozen=True)
class Share:
    """So many of so many."""

    count: int
    of: int

    def __str__(self) -> str:
        """Return "9 of 12", or "-" of none."""
        return f"{self.count} of {self.of}" if self.of else "-"


@dataclass(frozen=True)
class Score:
    """What the questions of one service in one language come to; of all, where both are "".

    Seconds are medians over the questions that have them.
    """

    service: str
    language: str
    right: Share
    passages: Share
    facts: Share
    nothing: Share
    cited: Share
    to_passages: float | None
    to_first_word: float | None
    to_end: float | None

    @property
    def percent(self) -> float:
        """How many of a hundred questions were right."""
        return 100 * self.right.count / self.right.of if self.right.of else 0.0


def scores(lines: Sequence[Line]) -> tuple[Score, ...]:
    """Return a score for each service and language, in the order in which they were asked."""
    groups: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        groups.setdefault((line.service, line.language), []).append(line)
    return tuple(score(group, *key) for key, group in groups.items())


def score(lines: Sequence[Line], service: str = "", language: str = "") -> Score:
    """Return what these lines come to."""
    return Score(
        service=service,
        language=language,
        right=_share(line.right for line in lines),
        passages=_share(line.passage for line in lines),
        facts=_share(fact.said for line in lines for fact in line.facts),
        nothing=_share(line.nothing for line in lines),
        cited=_share(line.cited for line in lines),
        to_passages=_median(lines, lambda line: line.to_passages),
        to_first_word=_median(lines, lambda line: line.to_first_word),
        to_end=_median(lines, lambda line: line.to_end),
    )


def _share(holds: Iterable[bool | None]) -> Share:
    asked = [value for value in holds if value is not None]
    return Share(sum(asked), len(asked))


def _median(lines: Sequence[Line], value: Callable[[Line], float | None]) -> float | None:
    known = [seconds for line in lines if (seconds := value(line)) is not None]
    return round(median(known), 3) if known else None


@dataclass(frozen=True)
class Trial:
    """A whole trial.

    Attributes:
        when: date and time with the offset from UTC, by the clock of the machine that asked.
        bundle, version, digest: which bundle; ``digest`` is the SHA-256 of its tag manifest, None where it has none.
        title: the bundle's title.
        model: the model's name and quantization.
        machine: what the machine that asked is, in a few words.
        url: the kiosk that was asked, or None for one that was started for the trial.
        planned: how many questions there are; fewer lines mean that the trial was interrupted.
        lines: what was found.
    """

    when: str
    bundle: str
    version: str
    digest: str | None
    title: str
    model: str
    machine: str
    url: str | None
    planned: int
    lines: tuple[Line, ...]

    @property
    def whole(self) -> bool:
        """Whether every question was asked."""
        return len(self.lines) == self.planned

    @property
    def total(self) -> Score:
        """What all questions come to."""
        return score(self.lines)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        head = {name: getattr(self, name) for name in ("when", "bundle", "version", "digest", "title", "model")}
        return {
            "format": FORMAT,
            **head,
            "machine": self.machine,
            "url": self.url,
            "planned": self.planned,
            "whole": self.whole,
            "percent": round(self.total.percent, 1),
            "total": asdict(self.total),
            "scores": [{**asdict(item), "percent": round(item.percent, 1)} for item in scores(self.lines)],
            "questions": [line.to_json() for line in self.lines],
        }
