"""Build a bundle from a recipe: fetch, inspect, quantize, convert, index, warm, pack, in this order.

What a steward should hear of early is checked early: the recipe, its documents and licences before anything is fetched;
the model before it is quantized; the budget before the bundle is written.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from publicai_edge import __version__
from publicai_edge.artifact import Blob, FileSet
from publicai_edge.bundle import pack
from publicai_edge.errors import HostError, RecipeError
from publicai_edge.pipeline import budget, describe, stages, texts
from publicai_edge.pipeline.documents import find_documents
from publicai_edge.pipeline.steps import Runner, StepResult
from publicai_edge.progress import Progress
from publicai_edge.quantize import KEEP, check_type
from publicai_edge.recipe import Recipe, lock
from publicai_edge.recipe import load as load_recipe
from publicai_edge.recipe.lock import Pin
from publicai_edge.store import Store

MODEL_PATH = "data/model/model.gguf"
EMBEDDING_FOLDER = "data/embedding"
KNOWLEDGE_PATH = f"data/knowledge/{stages.INDEX_FILE}"


@dataclass(frozen=True)
class Options:
    """How a build runs, beside what the recipe says.

    ``model`` and ``embedding`` are files made by hand that take the place of fetching and quantizing or converting.
    """

    output: Path
    store: Store
    progress: Progress
    offline: bool = False
    update_lock: bool = False
    model: Path | None = None
    embedding: Path | None = None


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
    pins = _fetch(load_recipe(recipe_path), recipe_path, options)
    _write_lock(recipe_path, pins, options)
    return pins


def build(recipe_path: Path, options: Options) -> Built:
    """Build the recipe's bundle into ``options.output``; see the module for the order.

    Raises:
        PublicAIError: of the class of whatever went wrong; nothing half-written is left.
    """
    recipe = load_recipe(recipe_path)
    inputs = _check_inputs(recipe, recipe_path.parent, options)
    pins = _fetch(recipe, recipe_path, options)
    runner = Runner(options.store, options.progress)

    model, quantized, inspected = _make_model(runner, recipe, pins, options)
    _write_lock(recipe_path, pins, options)  # not before: a model that cannot be used is not worth pinning
    embedding, converted = _make_embedding(runner, recipe, pins, options)
    indexed = None
    if recipe.knowledge and embedding is not None:
        indexed = stages.index_documents(runner, inputs.documents, embedding, recipe.knowledge)
        for item in indexed.facts["skipped"] if indexed.reused else ():
            options.progress.warn(f"Skipped {item['name']}: {item['reason']}.")  # as the stage itself did when it ran
        skipped = [{"name": name, "reason": "a file of a kind that cannot be read"} for name in inputs.left_out]
        for item in skipped:
            options.progress.warn(f"Skipped {item['name']}: {item['reason']}.")
        indexed.facts["skipped"] += skipped
    warmed = stages.warm_services(runner, model, tuple(recipe.services), recipe.target.context)

    facts = {
        "target": recipe.target.model_dump(mode="json"),
        "model": {**inspected.facts, **quantized.facts},
        "convert": converted.facts if converted else None,
        "index": indexed.facts if indexed else None,
        "warm": warmed.facts,
    }
    payload = _payload(model, embedding, indexed, warmed)
    facts["budget"] = budget.check(recipe, inspected.facts, payload, warmed.facts["tokens"])
    content = _content(options.store, inputs, pins, payload, facts, warmed.files)
    folder, written = pack.write(content, options.output, options.store, options.progress)
    return Built(folder, written, tuple(runner.done), facts)


def _check_inputs(recipe: Recipe, base: Path, options: Options) -> _Inputs:
    if recipe.quantize.type != KEEP:
        check_type(recipe.quantize.type)
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


def _fetch(recipe: Recipe, recipe_path: Path, options: Options) -> dict[str, Pin]:
    from publicai_edge.sources import Fetcher, Request

    known = {} if options.update_lock else lock.read(lock.lock_path(recipe_path))
    fetcher = Fetcher(options.store, options.progress, offline=options.offline)
    pins = {}
    given = {"model": options.model, "embedding": options.embedding}
    for role, part in (("model", recipe.model), ("embedding", recipe.embedding)):
        if part is None or given[role]:
            continue
        pin = known.get(role)
        if pin and pin.source != part.source:
            pin = None  # the recipe points elsewhere now
        only = stages.EMBEDDING_FILES if role == "embedding" else ()
        request = Request(part.source, part.revision, part.sha256, recipe_path.parent, only)
        pins[role] = fetcher.fetch(request, pin)
    return pins


def _write_lock(recipe_path: Path, pins: dict[str, Pin], options: Options) -> None:
    """Pin what was resolved; what this run had no need to fetch keeps its pin."""
    place = lock.lock_path(recipe_path)
    kept = {} if options.update_lock else lock.read(place)
    given = {"model": options.model, "embedding": options.embedding}
    merged = {role: pin for role, pin in kept.items() if given.get(role)} | pins
    if not merged:
        return
    try:
        lock.write(place, merged)
    except HostError as error:
        options.progress.warn(f"The lock file was not written: {error.message}")


def _make_model(
    runner: Runner, recipe: Recipe, pins: dict[str, Pin], options: Options
) -> tuple[Blob, StepResult, StepResult]:
    if options.model:
        from publicai_edge import gguf

        gguf.read(options.model)
        source = options.store.add_copy(options.model)
    else:
        source = _single_file(pins["model"].files, recipe.model.source)
    name = str(options.model or recipe.model.source)
    inspected = stages.inspect_model(runner, source, name)
    settings = recipe.quantize
    if options.model:
        settings = settings.model_copy(update={"type": KEEP})
    quantized = stages.quantize_model(runner, source, settings, name)
    return quantized.files.only(), quantized, inspected


def _single_file(files: FileSet, source: str) -> Blob:
    if len(files) != 1:
        raise RecipeError(
            f"model.source {source!r} is a folder of {len(files)} files; a GGUF model is one file.",
            hint="Name the .gguf file: " + ", ".join(path for path, _ in files if path.endswith(".gguf"))[:300],
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
    model: Blob,
    embedding: FileSet | None,
    indexed: StepResult | None,
    warmed: StepResult,
) -> dict[str, Blob]:
    payload = {MODEL_PATH: model}
    if embedding:
        payload |= dict(embedding.prefixed(EMBEDDING_FOLDER))
    if indexed:
        payload |= dict(indexed.files.prefixed("data/knowledge"))
    return payload | dict(warmed.files.prefixed(describe.WARM_FOLDER))


def _content(
    store: Store,
    inputs: _Inputs,
    pins: dict[str, Pin],
    payload: dict[str, Blob],
    facts: dict[str, Any],
    states: FileSet,
) -> pack.Content:
    manifest = describe.manifest(
        inputs.recipe,
        pins,
        facts,
        model=(MODEL_PATH, payload[MODEL_PATH]),
        states=states,
        embedding_folder=EMBEDDING_FOLDER,
        knowledge_file=KNOWLEDGE_PATH,
        built_by=f"publicai-edge {__version__}",
    )
    written = {f"data/licenses/{what}.txt": text for what, text in inputs.licences.items()}
    written["data/reports/build.json"] = texts.build_report(facts)
    whole = payload | {path: store.add_bytes(data) for path, data in written.items()}
    tags = {"START-HERE.html": texts.start_here(manifest, facts), **texts.start_scripts()}
    return pack.Content(manifest, {path: (blob, store.path(blob)) for path, blob in whole.items()}, tags)
