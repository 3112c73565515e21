"""``data/questions.json``: what a bundle's services are tried with, packed and signed with all the rest.

It is a file of its own and no part of ``bundle.json``: a kiosk does not need it, and a program that does not know it
still runs the bundle.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from publicai_edge.bundle import contents
from publicai_edge.bundle.open import Bundle
from publicai_edge.errors import BundleError, RecipeError

if TYPE_CHECKING:
    from publicai_edge.recipe import Recipe

FILE = "data/questions.json"
MOST_BYTES = 1 << 20


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Passage(_Part):
    """A passage that answers a question: its document (the path, or the path's end), page, and words in it."""

    source: str
    page: int | None = None
    words: tuple[str, ...] = ()

    def is_in(self, source: str) -> bool:
        """Say whether this is the document of that path."""
        return source == self.source or source.endswith(f"/{self.source}")


class Question(_Part):
    """A question, and what must come of it.

    Attributes:
        service: id of the service it is put to.
        language: the language it is in.
        question: its words.
        facts: what the answer must say; each as its accepted wordings, the first of which names it.
        passages: of these, one must be found; empty where none is asked for.
        outside: the documents do not answer it.
    """

    service: str
    language: str
    question: Annotated[str, Field(min_length=1)]
    facts: tuple[tuple[str, ...], ...] = ()
    passages: tuple[Passage, ...] = ()
    outside: bool = False


class Questions(_Part):
    """The whole of the file."""

    format: Literal[1] = 1
    questions: Annotated[tuple[Question, ...], Field(min_length=1)]

    def to_bytes(self) -> bytes:
        """Return the file's content."""
        return (self.model_dump_json(indent=1) + "\n").encode()


def of(recipe: "Recipe") -> Questions | None:
    """Return a recipe's questions: those of its services, then those of [quality]; None where it has none."""
    found = [
        Question(
            service=service.id,
            language=item.language,
            question=item.question,
            facts=_wordings(item.facts),
            passages=tuple(Passage(**passage.model_dump()) for passage in item.passages),
            outside=item.outside,
        )
        for service in recipe.services
        for item in service.questions
    ]
    asked = {(item.service, item.language, item.question) for item in found}
    found += [
        Question(service=item.service, language=item.language, question=item.question, facts=_wordings(item.facts))
        for item in (recipe.quality.questions if recipe.quality else ())
        if (item.service, item.language, item.question) not in asked
    ]
    return Questions(questions=tuple(found)) if found else None


def _wordings(facts: Iterable[str | list[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple((fact,) if isinstance(fact, str) else tuple(fact) for fact in facts)


def check_sources(questions: Questions, documents: Iterable[str]) -> None:
    """See that every document that a question names is among the recipe's.

    Raises:
        RecipeError: one is not; a question that nothing can answer would be counted against the kiosk.
    """
    known = sorted(documents)
    for question in questions.questions:
        for passage in question.passages:
            # What lies in an archive has the archive's path before its own.
            inside = any(passage.source.startswith(f"{name}/") for name in known)
            if not inside and not any(passage.is_in(name) for name in known):
                raise RecipeError(
                    f"services.questions: {question.question!r} expects a passage of {passage.source!r}, and no "
                    "document of [knowledge] has that path.",
                    hint=f"The documents are: {', '.join(known[:12])}{' …' if len(known) > 12 else ''}.",  # noqa: PLR2004
                )


def read(bundle: Bundle) -> Questions:
    """Return the questions of a bundle.

    Raises:
        BundleError: it has none, or they cannot be read.
    """
    if not (bundle.root / FILE).exists():
        raise BundleError(
            f"The bundle {bundle.root} brings no questions to try it with.",
            hint="Add [[services.questions]] to its recipe and build it again, or give --recipe FILE.",
        )
    try:
        return Questions.model_validate_json(contents.read(bundle.root, FILE, MOST_BYTES))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise BundleError(
            f"{FILE} in {bundle.root} is not what this version reads: {key}: {first['msg']}.",
            hint="Use the version of publicai-edge that built the bundle, or build it again.",
        ) from error
