"""Build a bundle from a recipe: fetch, inspect, convert, index, quantize and measure, warm, pack, in this order.

What a steward should hear of early is checked early: the recipe, its documents and licences before anything is fetched;
the model before it is quantized; the budget before the bundle is written.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from publicai_edge import __version__
from publicai_edge.artifact import Blob, FileSet
from publicai_edge.bundle import pack
from publicai_edge.engine.onnx.folder import MODEL_FILE as ONNX_FILE
from publicai_edge.errors import RecipeError
from publicai_edge.pipeline import budget, candidates, describe, fetching, onnx_chat, stages, texts, tuned
from publicai_edge.pipeline.documents import find_documents
from publicai_edge.pipeline.options import Options
from publicai_edge.pipeline.steps import Runner, StepResult
from publicai_edge.pipeline.tuned import EngineSettings
from publicai_edge.quantize import KEEP
from publicai_edge.recipe import Recipe
from publicai_edge.recipe import load as load_recipe
from publicai_edge.recipe.lock import Pin
from publicai_edge.store import Store

MODEL_FOLDER = "data/model"
MODEL_PATH = f"{MODEL_FOLDER}/model.gguf"
ONNX_PATH = f"{MODEL_FOLDER}/{ONNX_FILE}"
EMBEDDING_FOLDER = "data/embedding"
REPORTS_FOLDER = "data/reports"
KNOWLEDGE_PATH = f"data/knowledge/{stages.INDEX_FILE}"


@dataclass(frozen=True)
class Built:
    """A finished build: the bundle's folder, whether it changed, and what every stage did."""

    folder: Path
    written: bool
    steps: tuple[StepResult, ...]
    report: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class _Inputs:
    recipe: Recipe
    documents: dict[str, Blob]
    left_out: tuple[str, ...]
    licences: dict[str, bytes]


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
    inputs = _check_inputs(recipe, recipe_path.parent, options)
    pins = fetching.fetch(recipe, recipe_path, options)
    runner = Runner(options.store, options.progress)

    settings = tuned.settings(recipe, recipe_path, options.progress)
    recipe = settings.recipe

    source, inspected = _source_model(runner, recipe, pins, options)
    if options.model is None and isinstance(source, Blob):
        found = inspected.facts
        candidates.check_source(recipe.quantize, found["quantization"], found["quantized"], _name(recipe, options))
    fetching.write_lock(recipe_path, pins, options)  # not before: a model that cannot be used is not worth pinning
    embedding, converted = _make_embedding(runner, recipe, pins, options)
    indexed = _index(runner, recipe, inputs, embedding)
    made = (
        _quantized(runner, recipe, pins, options, source, inspected.facts, embedding, indexed)
        if isinstance(source, Blob)
        else _Made(source)
    )
    model = _model_files(made.step.files)
    warmed = _warmed(runner, recipe, made.step.files, settings)

    facts = {
        "target": recipe.target.model_dump(mode="json"),
        "model": {**inspected.facts, **made.step.facts},
        "quality": made.facts,
        "convert": converted.facts if converted else None,
        "index": indexed.facts if indexed else None,
        "warm": warmed.facts,
    }
    payload = _payload(model, embedding, indexed, warmed) | dict(made.reports.prefixed(REPORTS_FOLDER))
    facts["budget"] = budget.check(recipe, inspected.facts, payload, warmed.facts["tokens"])
    facts["engine"] = settings.to_json()
    content = _content(options.store, inputs, pins, payload, facts, warmed.files, settings)
    folder, written = pack.write(content, options.output, options.store, options.progress)
    _withdraw_refusal(folder)
    return Built(folder, written, tuple(runner.done), facts)


def _model_files(files: FileSet) -> FileSet:
    """Return the model's files as they lie in the bundle: one GGUF file, or those of a model in ONNX."""
    return files.prefixed(MODEL_FOLDER) if ONNX_FILE in files.files else FileSet({MODEL_PATH: files.only()})


def _warmed(runner: Runner, recipe: Recipe, model: FileSet, settings: EngineSettings) -> StepResult:
    services, context = tuple(recipe.services) if settings.warm else (), recipe.target.context
    if recipe.model.engine == "onnx":
        return onnx_chat.warm_services(runner, model, services, context)
    return stages.warm_services(runner, model.only(), services, context, settings.tuning)


def _withdraw_refusal(folder: Path) -> None:
    """Remove the report of an earlier build of this bundle that was refused: it no longer holds."""
    from publicai_edge.pipeline import quality

    quality.withdraw(folder)


def _check_inputs(recipe: Recipe, base: Path, options: Options) -> _Inputs:
    if recipe.model.engine == "llama":
        candidates.check(recipe.quantize, calibrated=bool(recipe.quality and recipe.quantize.imatrix))
    documents: dict[str, Blob] = {}
    left_out: tuple[str, ...] = ()
    if recipe.knowledge:
        found = find_documents(recipe.knowledge.documents, base)
        documents = {name: options.store.add_copy(path) for name, path in found.readable.items()}
        left_out = found.left_out
    licences = {}
    for what, part in (("model", recipe.model), ("embedding", recipe.embedding)):
        if part:
            given = base / part.license_file if part.license_file else None
            licences[what] = texts.licence_text(part.license, given, what)
    return _Inputs(recipe, documents, left_out, licences)


def _source_model(
    runner: Runner, recipe: Recipe, pins: dict[str, Pin], options: Options
) -> tuple[Blob | StepResult, StepResult]:
    """Return the GGUF file to quantize or keep, or the finished model in ONNX; and what its engine says of it."""
    name = _name(recipe, options)
    if recipe.model.engine == "onnx":
        made = onnx_chat.made(runner, recipe, None if options.model else pins["model"].files, options)
        return made, onnx_chat.inspect(runner, made.files)
    if options.model:
        from publicai_edge import gguf

        gguf.read(options.model)
        source = options.store.add_copy(options.model)
    elif stages.CONFIG_FILE in pins["model"].files.files:
        source = stages.convert_model(runner, pins["model"].files, name, offline=options.offline).files.only()
    else:
        source = _single_file(pins["model"].files, recipe.model.source)
    return source, stages.inspect_model(runner, source, name)


def _name(recipe: Recipe, options: Options) -> str:
    """Return what the person calls the model: the file given, or the source in the recipe."""
    return str(options.model or recipe.model.source)


@dataclass(frozen=True)
class _Made:
    """The model to pack: the step that made it, and what was measured, where it was."""

    step: StepResult
    reports: FileSet = FileSet({})  # noqa: RUF009 - frozen
    facts: dict[str, Any] | None = None


def _quantized(
    runner: Runner,
    recipe: Recipe,
    pins: dict[str, Pin],
    options: Options,
    source: Blob,
    inspected: dict[str, Any],
    embedding: FileSet | None,
    indexed: StepResult | None,
) -> _Made:
    """Quantize the model as the recipe says; measured and judged where the recipe has [quality]."""
    name = _name(recipe, options)
    if options.model or recipe.quantize.type == KEEP or recipe.quality is None:
        settings = recipe.quantize.model_copy(update={"type": KEEP}) if options.model else recipe.quantize
        step = stages.quantize_model(runner, source, settings, name)
        _say_what_is_not_known(recipe, step, options)
        return _Made(step)
    from publicai_edge.pipeline import asking, quality

    others = [*(embedding or ()), *(indexed.files if indexed else ())]
    other_bytes = sum(blob.size for _, blob in others)
    reference = quality.Reference(
        source, recipe.model.name, inspected["quantization"], is_quantized=inspected["quantized"]
    )
    questions = asking.prepare(recipe, options.store, embedding, indexed.files if indexed else None)
    chosen = quality.choose(
        runner,
        recipe,
        reference,
        pins,
        questions,
        lambda size: budget.too_large(recipe, inspected, size, other_bytes),
        options.output / f"{recipe.bundle.name}-{recipe.bundle.version}",
    )
    return _Made(chosen.step, quality.files(runner, chosen.report), quality.facts(chosen.report))


def _say_what_is_not_known(recipe: Recipe, step: StepResult, options: Options) -> None:
    if step.facts["type"] != KEEP:
        languages = ", ".join(recipe.bundle.languages)
        options.progress.warn(
            f"Nothing says what {step.facts['type']} costs in {languages}: add a [quality] table to the recipe."
        )
    elif recipe.quality is not None:
        options.progress.warn("The model is packed as it is, so there is nothing to measure: [quality] is not used.")


def _index(runner: Runner, recipe: Recipe, inputs: _Inputs, embedding: FileSet | None) -> StepResult | None:
    """Index the documents, and tell which could not be read."""
    if recipe.knowledge is None or embedding is None:
        return None
    progress = runner.progress
    indexed = stages.index_documents(runner, inputs.documents, embedding, recipe.knowledge)
    for item in indexed.facts["skipped"] if indexed.reused else ():
        progress.warn(f"Skipped {item['name']}: {item['reason']}.")  # as the stage itself did when it ran
    skipped = [{"name": name, "reason": "a file of a kind that cannot be read"} for name in inputs.left_out]
    for item in skipped:
        progress.warn(f"Skipped {item['name']}: {item['reason']}.")
    indexed.facts["skipped"] += skipped
    return indexed


def _single_file(files: FileSet, source: str) -> Blob:
    if len(files) != 1:
        raise RecipeError(
            f"model.source {source!r} is a folder of {len(files)} files without {stages.CONFIG_FILE}.",
            hint="Name the .gguf file, or a folder in Hugging Face layout with config.json and safetensors.",
        )
    return files.only()


def _make_embedding(
    runner: Runner, recipe: Recipe, pins: dict[str, Pin], options: Options
) -> tuple[FileSet | None, StepResult | None]:
    if recipe.embedding is None:
        return None, None
    if options.embedding:
        files = _adopt_folder(options.store, options.embedding)
        return files, describe.given_embedding(options.embedding, files)
    converted = stages.convert_embedding(runner, pins["embedding"].files, recipe.embedding)
    return converted.files, converted


def _adopt_folder(store: Store, folder: Path) -> FileSet:
    if not (folder / "model.onnx").is_file():
        raise RecipeError(
            f"{folder} is not a converted embedding model: it has no model.onnx.",
            hint="Make one with `publicai-edge convert`.",
        )
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return FileSet({path.relative_to(folder).as_posix(): store.add_copy(path) for path in paths})


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
        payload |= dict(indexed.files.prefixed("data/knowledge"))
    return payload | dict(warmed.files.prefixed(describe.WARM_FOLDER))


def _model_in(payload: dict[str, Blob]) -> tuple[str, FileSet]:
    """Return the path that names the model in the manifest, and all of its files."""
    files = {path: blob for path, blob in payload.items() if path.startswith(f"{MODEL_FOLDER}/")}
    return (MODEL_PATH if MODEL_PATH in files else ONNX_PATH), FileSet(files)


def _content(
    store: Store,
    inputs: _Inputs,
    pins: dict[str, Pin],
    payload: dict[str, Blob],
    facts: dict[str, Any],
    states: FileSet,
    settings: EngineSettings,
) -> pack.Content:
    manifest = describe.manifest(
        inputs.recipe,
        pins,
        facts,
        model=_model_in(payload),
        states=states,
        embedding_folder=EMBEDDING_FOLDER,
        knowledge_file=KNOWLEDGE_PATH,
        settings=settings,
        built_by=f"publicai-edge {__version__}",
    )
    written = {f"data/licenses/{what}.txt": text for what, text in inputs.licences.items()}
    written["data/reports/build.json"] = texts.build_report(facts)
    whole = payload | {path: store.add_bytes(data) for path, data in written.items()}
    tags = {"START-HERE.html": texts.start_here(manifest, facts), **texts.start_scripts()}
    return pack.Content(manifest, {path: (blob, store.path(blob)) for path, blob in whole.items()}, tags)
