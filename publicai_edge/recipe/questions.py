"""What a service is tried with: questions, and what the passages and the answers must hold."""

from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import Field, model_validator

from publicai_edge.recipe.fields import Language, Table

Facts = list[str | Annotated[list[str], Field(min_length=1)]]
MOST_LETTERS = 2000


class ExpectedPassage(Table):
    """A passage that answers a question."""

    source: Annotated[str, Field(min_length=1)]
    """The document's path, or the end of it: "opening-hours.md"."""
    page: Annotated[int, Field(ge=1)] | None = None
    """The page, in documents that have pages."""
    words: list[Annotated[str, Field(min_length=1)]] = []  # noqa: RUF012 - pydantic copies it
    """Words that stand in the passage."""


class ServiceQuestion(Table):
    """A question that `publicai-edge try` puts to the service above it."""

    language: Language
    """The language it is asked in."""
    question: Annotated[str, Field(min_length=1, max_length=MOST_LETTERS)]
    """The question, as a patron would type it."""
    facts: Facts = []  # noqa: RUF012 - pydantic copies it
    """What the answer must say; a list stands for wordings of which one is enough: ["6 pm", "until six"]."""
    passages: list[ExpectedPassage] = []  # noqa: RUF012 - pydantic copies it
    """Passages of which one must be found: { source = "opening-hours.md", page = 2, words = ["Thursday"] }."""
    outside: bool = False
    """Whether the documents do not answer it, so that the kiosk must say that nothing was found."""

    @model_validator(mode="after")
    def _expects(self) -> Self:
        if self.outside and (self.facts or self.passages):
            raise ValueError("a question with outside = true has no facts and no passages: nothing is to be found")
        if not (self.outside or self.facts or self.passages):
            raise ValueError("nothing is expected; give facts, passages or outside = true")
        return self


def question_problems(
    where: str, questions: Sequence[ServiceQuestion], languages: Sequence[str], *, search: bool
) -> list[str]:
    """Return what of a service's questions does not fit the rest of the recipe, in sentences."""
    found = []
    for number, question in enumerate(questions):
        place = f"{where}.questions[{number}]"
        if question.language not in languages:
            found.append(f"{place}: [bundle] languages does not list {question.language!r}")
        if not search and (question.passages or question.outside):
            found.append(f"{place}: the service does not search, so it has facts only")
    return found
