"""The recipe's questions as the kiosk would put them: with the service's prompt, and the passages found."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from publicai_edge.artifact import FileSet
from publicai_edge.bundle.manifest import ServiceInfo, word
from publicai_edge.errors import RecipeError
from publicai_edge.evaluate.questions import Question as Prepared
from publicai_edge.recipe import Question, Recipe
from publicai_edge.store import Store

if TYPE_CHECKING:
    from publicai_edge.search import KnowledgeBase


def prepare(
    recipe: Recipe,
    store: Store,
    embedding: FileSet | None,
    index: FileSet | None,
    questions: Sequence[Question] | None = None,
    *,
    strict: bool = True,
) -> tuple[Prepared, ...]:
    """Return the recipe's questions with their passages, ready to be answered by any model.

    Args:
        recipe: the recipe.
        store: where the embedding model and the index are.
        embedding: the converted embedding model.
        index: the index of the documents.
        questions: which; by default those of [quality].
        strict: whether to refuse a question on which nothing is found, or to prepare it without passages.

    Raises:
        RecipeError: a service would answer "nothing found": the question says nothing about the model.
    """
    if questions is None:
        questions = recipe.quality.questions if recipe.quality else []
    services = {service.id: ServiceInfo(**service.model_dump(exclude={"questions"})) for service in recipe.services}
    searching = any(services[question.service].search for question in questions)
    if not searching or embedding is None or index is None:
        return tuple(_prepared(question, services[question.service], ()) for question in questions)
    with store.scratch() as folder:
        store.checkout(embedding, folder / "embedding")
        store.checkout(index, folder / "index")
        base = _opened(folder / "index" / next(iter(index.files)), folder / "embedding")
        try:
            return tuple(
                _prepared(
                    question,
                    services[question.service],
                    _passages(recipe, base, question, strict=strict) if services[question.service].search else (),
                )
                for question in questions
            )
        finally:
            base.close()


def _opened(index: Path, embedding: Path) -> "KnowledgeBase":
    from publicai_edge.engine.embedder import Embedder
    from publicai_edge.search import KnowledgeBase

    return KnowledgeBase.open(index, Embedder.open(embedding))


def _passages(recipe: Recipe, base: "KnowledgeBase", question: Question, *, strict: bool) -> tuple[str, ...]:
    from publicai_edge.kiosk.answering import passage_text, source_of

    knowledge = recipe.knowledge
    if knowledge is None:
        raise RuntimeError("a service that searches was accepted without [knowledge]")
    hits = base.search(
        question.question, top=knowledge.top, min_relevance=knowledge.min_relevance, language=question.language
    )
    if not hits and strict:
        raise RecipeError(
            f"quality.questions: nothing in the documents speaks of {question.question!r} ({question.language}), so "
            "the kiosk would not ask the model.",
            hint="Ask what the documents answer, lower knowledge.min_relevance, or put it to a service that does not "
            "search.",
        )
    return tuple(passage_text(source_of(number, hit)) for number, hit in enumerate(hits, 1))


def _prepared(question: Question, service: ServiceInfo, passages: Sequence[str]) -> Prepared:
    from publicai_edge.kiosk import words
    from publicai_edge.kiosk.answering import Inquiry, compose

    inquiry = Inquiry(service, question.language, question.question, labels=words.load(question.language))
    request = compose(inquiry, passages)
    return Prepared(
        question=question.question,
        language=question.language,
        service=question.service,
        system=word(service.prompt, question.language),
        user=request.messages[-1].content,
        passages=request.messages[-1].passages,
        facts=tuple((fact,) if isinstance(fact, str) else tuple(fact) for fact in question.facts),
    )
