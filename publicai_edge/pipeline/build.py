"""Build a bundle from a recipe: fetch, inspect, convert, index, quantize and measure, warm, pack, in this order.

What a steward should hear of early is checked early: the recipe, its documents and licences before anything is fetched;
the model before it is quantized; the budget before the bundle is written.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from publicai_edge import __version__
from publicai_edge.artifact import Blob, FileSet
from publicai_edge.bundle import pack, questions
from publicai_edge.engine.onnx.folder import MODEL_FILE as ONNX_FILE
from publicai_edge.pipeline import (
    budget,
    describe,
    dictation,
    fetching,
    model,
    onnx_chat,
    reading,
    stages,
    texts,
    tuned,
    voices,
)
from publicai_edge.pipeline.options import Options
from publicai_edge.pipeline.prepared import Prepared, prepare
from publicai_edge.pipeline.reading import Decided
from publicai_edge.pipeline.steps import Runner, StepResult
from publicai_edge.pipeline.tuned import EngineSettings
from publicai_edge.recipe import Recipe
from publicai_edge.recipe import load as load_recipe
from publicai_edge.recipe.lock import Pin
from publicai_edge.store import Store

MODEL_FOLDER = "data/model"
MODEL_PATH = f"{MODEL_FOLDER}/model.gguf"
ONNX_PATH = f"{MODEL_FOLDER}/{ONNX_FILE}"
EMBEDDING_FOLDER = "data/embedding"
REPORTS_FOLDER = "data/reports"
KNOWLEDGE_FOLDER = "data/knowledge"
KNOWLEDGE_PATH = f"{KNOWLEDGE_FOLDER}/{stages.INDEX_FILE}"


@dataclass(frozen=True)
class Built:
    """A finished build: the bundle's folder, whether it changed, and what every stage did."""

    folder: Path
    written: bool
    steps: tuple[StepResult, ...]
    report: dict[str, Any] = field(repr=False)


def pull(recipe_path: Path, options: Options) -> dict[str, Pin]:
    """Fetch everything the recipe names into the store, and pin it in the lock file.

    Raises:
        RecipeError: the recipe is wrong.
        SourceError: something cannot be fetched.
    """
    pins = fetching.fetch(load_recipe(recipe_path), recipe_path, options)
    fetching.write_lock(recipe_path, pins, options)
    return pins


def build(recipe_path: Path, options: Options) -> Built:
    """Build the recipe's bundle into ``options.output``; see the module for the order.

    Raises:
        PublicAIError: of the class of whatever went wrong; nothing half-written is left.
    """
    recipe = load_recipe(recipe_path)
    pack.check(options.output, f"{recipe.bundle.name}-{recipe.bundle.version}")
    runner = Runner(options.store, options.progress)
    runtime = _runtimes(recipe, options)
    settings = tuned.settings(recipe, recipe_path, options.progress)
    ready = prepare(settings.recipe, recipe_path, runner, options)
    made = model.make(runner, ready, options)
    read, ahead = _reading(runner, ready, made.step.files, settings)
    files = _model_files(_split(runner, ready.recipe, made.step.files))
    warmed = _warmed(runner, ready.recipe, made.step.files, settings)

    facts = {
        "target": ready.recipe.target.model_dump(mode="json"),
        "model": {**ready.inspected.facts, **made.step.facts},
        "quality": made.facts,
        "reading": read.to_json(),
        "passages": ahead.facts if ahead else {"states": 0, "left_out": 0},
        "convert": ready.converted.facts if ready.converted else None,
        "index": ready.indexed.facts if ready.indexed else None,
        "zim": list(ready.zim_facts),
        "dictation": ready.speech.step.facts if ready.speech else None,
        "voices": ready.spoken.facts,
        "warm": warmed.facts,
    }
    payload = _payload(files, ready.embedding, ready.indexed, warmed) | dict(
        made.files(runner, read).prefixed(REPORTS_FOLDER)
    )
    payload |= dict(ahead.files.prefixed(describe.STATES_FOLDER)) if ahead else {}
    payload |= dict(ready.zims.prefixed(KNOWLEDGE_FOLDER)) | dict(runtime)
    payload |= dict(ready.speech.files.prefixed(dictation.FOLDER)) if ready.speech else {}
    payload |= dict(ready.spoken.files.prefixed(voices.FOLDER))
    facts["budget"] = budget.check(
        ready.recipe, ready.inspected.facts, payload, warmed.facts["tokens"], MODEL_FOLDER, ready.speech_memory
    )
    facts["engine"] = settings.to_json()
    content = _content(options.store, ready, payload, facts, warmed.files, settings)
    folder, written = pack.write(content, options.output, options.store, options.progress)
    _withdraw_refusal(folder)
    return Built(folder, written, tuple(runner.done), facts)


def _runtimes(recipe: Recipe, options: Options) -> FileSet:
    """Return the programs to pack; looked for first, since one that is missing takes longest to make."""
    names = options.runtimes if options.runtimes is not None else tuple(recipe.target.platforms)
    if not names:
        return FileSet({})
    from publicai_edge.pipeline import runtimes

    zim = bool(recipe.knowledge and recipe.knowledge.zim)
    return runtimes.payload(names, options.store, options.progress, zim=zim)


def _split(runner: Runner, recipe: Recipe, files: FileSet) -> FileSet:
    """Return a GGUF model as files that the media it travels on can hold; a model in ONNX as it is."""
    if ONNX_FILE in files.files:
        return files
    return stages.split_model(runner, files.only(), recipe.model.max_file_bytes)


def _model_files(files: FileSet) -> FileSet:
    """Return the model's files as they lie in the bundle: one GGUF file, or several, or those of a model in ONNX."""
    return (
        files.prefixed(MODEL_FOLDER)
        if len(files) > 1 or ONNX_FILE in files.files
        else FileSet({MODEL_PATH: files.only()})
    )


def _warmed(runner: Runner, recipe: Recipe, model: FileSet, settings: EngineSettings) -> StepResult:
    services, context = tuple(recipe.services) if settings.warm else (), recipe.target.context
    if recipe.model.engine == "onnx":
        return onnx_chat.warm_services(runner, model, services, context)
    return stages.warm_services(runner, model.only(), services, context, settings.tuning)


def _reading(
    runner: Runner, ready: Prepared, made: FileSet, settings: EngineSettings
) -> tuple[Decided, StepResult | None]:
    """Decide how the kiosk reads passages, and read some ahead for it."""
    recipe, tuning = ready.recipe, settings.tuning
    if recipe.knowledge is None or recipe.knowledge.reading.composition == "exact":
        return Decided("exact", "The recipe has every passage read for every question."), None
    wanted = recipe.knowledge.reading
    questions = reading.asked(runner, recipe, model.documents_of(ready))
    decided = reading.decide(runner, recipe, wanted, made.only(), questions, tuning)
    if decided.composition == "exact" or not wanted.bundle_mb:
        return decided, None
    files = _model_files(_split(runner, recipe, made))
    made_for = describe.states_fingerprint(files, tuning)
    return decided, reading.read_ahead(runner, recipe, wanted, made.only(), questions, tuning, made_for)


def _withdraw_refusal(folder: Path) -> None:
    """Remove the report of an earlier build of this bundle that was refused: it no longer holds."""
    from publicai_edge.pipeline import quality

    quality.withdraw(folder)


def _payload(
    model: FileSet,
    embedding: FileSet | None,
    indexed: StepResult | None,
    warmed: StepResult,
) -> dict[str, Blob]:
    payload = dict(model)
    if embedding:
        payload |= dict(embedding.prefixed(EMBEDDING_FOLDER))
    if indexed:
        payload |= dict(indexed.files.prefixed(KNOWLEDGE_FOLDER))
    return payload | dict(warmed.files.prefixed(describe.WARM_FOLDER))


def _model_in(payload: dict[str, Blob]) -> tuple[str, FileSet]:
    """Return the path that names the model in the manifest, and all of its files."""
    files = {path: blob for path, blob in payload.items() if path.startswith(f"{MODEL_FOLDER}/")}
    first = next(path for path in (MODEL_PATH, ONNX_PATH, min(files)) if path in files)
    return first, FileSet(files)


def _content(
    store: Store,
    ready: Prepared,
    payload: dict[str, Blob],
    facts: dict[str, Any],
    states: FileSet,
    settings: EngineSettings,
) -> pack.Content:
    manifest = describe.manifest(
        ready.recipe,
        ready.pins,
        facts,
        model=_model_in(payload),
        states=states,
        embedding_folder=EMBEDDING_FOLDER,
        knowledge_file=KNOWLEDGE_PATH,
        settings=settings,
        built_by=f"publicai-edge {__version__}",
    )
    written = {f"data/licenses/{what}.txt": text for what, text in ready.inputs.licences.items()}
    written["data/reports/build.json"] = texts.build_report(facts)
    if asked := questions.of(ready.recipe):
        written[questions.FILE] = asked.to_bytes()
    whole = payload | {path: store.add_bytes(data) for path, data in written.items()}
    tags = {"START-HERE.html": texts.start_here(manifest, facts), **texts.start_scripts()}
    return pack.Content(manifest, {path: (blob, store.path(blob)) for path, blob in whole.items()}, tags)
