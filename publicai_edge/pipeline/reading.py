"""How the packed model's kiosk reads passages: as the recipe says, or with "auto" as the recipe's questions decide.

What is asked are the questions of [quality] and those of the services, as far as they say what an answer must state and
the documents hold something on them.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from publicai_edge.artifact import Blob, FileSet
from publicai_edge.engine.passages.settings import Composition, PassageSettings
from publicai_edge.engine.protocol import ChatMessage, ChatRequest
from publicai_edge.errors import ModelError
from publicai_edge.evaluate.questions import Question as Prepared
from publicai_edge.evaluate.reading import Reading, judge, line
from publicai_edge.pipeline.steps import Runner, Step, StepResult
from publicai_edge.recipe import Question, Recipe
from publicai_edge.recipe.reading import Reading as Wanted
from publicai_edge.tuning import Tuning

_CODE = (
    "publicai_edge.engine.batch",
    "publicai_edge.engine.chat",
    "publicai_edge.engine.llama",
    "publicai_edge.engine.passages",
    "publicai_edge.evaluate.questions",
    "publicai_edge.evaluate.reading",
    "publicai_edge.evaluate.reading_bench",
)
_AHEAD_CODE = (
    "publicai_edge.engine.batch",
    "publicai_edge.engine.chat",
    "publicai_edge.engine.llama",
    "publicai_edge.engine.passages",
    "publicai_edge.engine.state",
)
_LLAMA = ("llama-cpp-python", "numpy")
_MAX_TOKENS = 64  # of an answer; the facts come early, and each token costs two evaluations


Documents = tuple[FileSet | None, FileSet | None]
"""The converted embedding model, and the index."""


@dataclass(frozen=True)
class Decided:
    """The composition to pack, why, and what was measured for it; nothing was where nothing had to be."""

    composition: Composition
    reason: str
    measured: tuple[Reading, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what the build report tells."""
        measured = [{**asdict(item), "mean_kl": asdict(item.mean_kl), "facts": item.facts} for item in self.measured]
        return {"composition": self.composition, "reason": self.reason, "measured": measured}


def asked(runner: Runner, recipe: Recipe, documents: Documents) -> tuple[Prepared, ...]:
    """Return the recipe's questions on which something is found, with their passages.

    Args:
        runner: has the store.
        recipe: the recipe.
        documents: the embedding model and the index.
    """
    from publicai_edge.pipeline import asking

    found = asking.prepare(recipe, runner.store, *documents, questions_of(recipe), strict=False)
    return tuple(question for question in found if question.passages)


def decide(
    runner: Runner, recipe: Recipe, wanted: Wanted, model: Blob, questions: Sequence[Prepared], tuning: Tuning
) -> Decided:
    """Measure what putting passages together costs.

    Args:
        runner: runs the step.
        recipe: the recipe.
        wanted: what it says of reading; not "exact".
        model: the GGUF file that is packed.
        questions: from :func:`asked`.
        tuning: as the kiosk's engine will be started with.
    """
    if not questions:
        return _unmeasured(runner, wanted)
    try:
        measured = _measured(runner, recipe, model, questions, _compositions(wanted), tuning)
    except ModelError as error:
        if wanted.composition != "auto" or not error.facts.get("cannot_compose"):
            raise
        reason = f"Every passage is read for every question: {error.message}"
        runner.progress.warn(reason)
        return Decided("exact", reason)
    for item in measured[1:]:
        runner.progress.say(line(measured[0], item))
    if wanted.composition == "auto":
        chosen, reason = judge(measured, wanted.max_loss)
        runner.progress.say(reason)
        return Decided(chosen, reason, measured)
    return Decided(_named(wanted), "The recipe names it.", measured)


def weigh(
    runner: Runner, recipe: Recipe, wanted: Wanted, model: Blob, questions: Sequence[Prepared], tuning: Tuning
) -> Decided:
    """Measure every composition, whichever the recipe names, and say what "auto" would take.

    Args:
        runner: runs the step.
        recipe: the recipe.
        wanted: what it says of reading.
        model: the GGUF file that would be packed.
        questions: from :func:`asked`.
        tuning: as the kiosk's engine will be started with.
    """
    found = decide(runner, recipe, wanted.model_copy(update={"composition": "auto"}), model, questions, tuning)
    if wanted.composition == "auto":
        return found
    named = f'The recipe names "{wanted.composition}"; "auto" would take "{found.composition}". {found.reason}'
    return Decided(_named(wanted), named, found.measured)


def read_ahead(
    runner: Runner,
    recipe: Recipe,
    wanted: Wanted,
    model: Blob,
    questions: Sequence[Prepared],
    tuning: Tuning,
    fingerprint: str,
) -> StepResult:
    """Compute the states of the passages that the recipe's questions find, within what the recipe lets a bundle carry.

    Args:
        runner: runs the step.
        recipe: the recipe.
        wanted: what it says of reading.
        model: the GGUF file that is packed.
        questions: from :func:`asked`.
        tuning: as the kiosk's engine will be started with.
        fingerprint: of the engine, the model and the form of its cache.
    """
    requests = [_request(question) for question in questions]
    inputs = {
        "model": model.sha256,
        "requests": [request.to_json() for request in requests],
        "fingerprint": fingerprint,
        "bytes": wanted.bundle_mb * 1_000_000,
        "context": recipe.target.context,
        "tuning": tuning.to_json(),
    }

    def run(folder: Path) -> dict[str, Any]:
        from publicai_edge.engine.passages import ahead

        made = ahead.build(
            runner.store.path(model),
            requests,
            folder,
            fingerprint=fingerprint,
            disk_bytes=wanted.bundle_mb * 1_000_000,
            context=recipe.target.context,
            tuning=tuning,
            progress=runner.progress,
        )
        measured = {"peak_rss_bytes": made["peak_rss_bytes"]}
        return {"states": made["states"], "left_out": made["left_out"], "measured": measured}

    made = runner.run(Step("passages", _AHEAD_CODE, _LLAMA, inputs, run))
    if left_out := made.facts["left_out"]:
        runner.progress.say(
            f"The bundle carries {made.facts['states']} states of passages that were read ahead; {left_out} more do "
            f"not fit knowledge.reading.bundle_mb ({wanted.bundle_mb}): the kiosk reads those itself."
        )
    return made


def _request(question: Prepared) -> ChatRequest:
    system = (ChatMessage("system", question.system),) if question.system else ()
    return ChatRequest((*system, ChatMessage("user", question.user, question.passages)))


def questions_of(recipe: Recipe) -> list[Question]:
    """Return what can be asked: of each service that searches, each question with facts once."""
    searching = {service.id for service in recipe.services if service.search}
    found = list(recipe.quality.questions) if recipe.quality else []
    for service in recipe.services:
        found += [
            Question(service=service.id, language=item.language, question=item.question, facts=item.facts)
            for item in service.questions
            if item.facts and not item.outside
        ]
    unique = {(item.service, item.language, item.question): item for item in found if item.service in searching}
    return list(unique.values())


def _unmeasured(runner: Runner, wanted: Wanted) -> Decided:
    missing = "the recipe has no questions with facts that the documents answer"
    if wanted.composition == "auto":
        reason = f"Every passage is read for every question: {missing}, so nothing else could be measured."
        runner.progress.warn(reason)
        return Decided("exact", reason)
    runner.progress.warn(f"Nothing says what composition {wanted.composition!r} costs: {missing}.")
    return Decided(_named(wanted), "The recipe names it; it was not measured.")


def _named(wanted: Wanted) -> Composition:
    if wanted.composition == "auto":
        raise RuntimeError("a composition is chosen before it is packed")
    return wanted.composition


def _compositions(wanted: Wanted) -> list[PassageSettings]:
    names: tuple[Composition, ...] = ("shifted", "recomputed")
    if wanted.composition != "auto":
        names = (_named(wanted),)
    return [PassageSettings(name, wanted.recomputed_tokens) for name in names]


def _measured(
    runner: Runner,
    recipe: Recipe,
    model: Blob,
    questions: Sequence[Prepared],
    compositions: Sequence[PassageSettings],
    tuning: Tuning,
) -> tuple[Reading, ...]:
    same = {"model": model.sha256, "context": recipe.target.context, "tuning": tuning.to_json(), "most": _MAX_TOKENS}
    inputs = {
        **same,
        "questions": [asdict(question) for question in questions],
        "compositions": [[item.composition, item.fresh] for item in compositions],
    }

    def run(_folder: Path) -> dict[str, Any]:
        from publicai_edge.evaluate.reading import measure

        answers = Step("answers", _CODE, _LLAMA, same, run)

        found = measure(
            runner.store.path(model),
            questions,
            compositions,
            context=recipe.target.context,
            max_tokens=_MAX_TOKENS,
            tuning=tuning,
            kept=runner.store.kept(answers.name, answers.key),
            progress=runner.progress,
        )
        return {"readings": [item.to_json() for item in found]}

    facts = runner.run(Step("reading", _CODE, _LLAMA, inputs, run)).facts
    return tuple(Reading.from_json(item) for item in facts["readings"])
