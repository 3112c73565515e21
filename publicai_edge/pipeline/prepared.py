"""Everything before a model is quantized: recipe checked, sources fetched, search and documents made.

What a steward should hear of early is checked early: the recipe, its documents and licences before anything is fetched.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from publicai_edge import gguf
from publicai_edge.artifact import Blob, FileSet
from publicai_edge.bundle import questions
from publicai_edge.convert.pronunciation import number_words
from publicai_edge.errors import RecipeError
from publicai_edge.knowledge import ocr
from publicai_edge.knowledge.ocr import languages
from publicai_edge.pipeline import candidates, describe, dictation, fetching, onnx_chat, stages, texts, voices
from publicai_edge.pipeline.dictation import Speech
from publicai_edge.pipeline.documents import find_documents
from publicai_edge.pipeline.options import Options
from publicai_edge.pipeline.steps import Runner, StepResult
from publicai_edge.pipeline.voices import Spoken
from publicai_edge.recipe import Recipe
from publicai_edge.recipe.lock import Pin
from publicai_edge.store import Store

if TYPE_CHECKING:
    from publicai_edge.evaluate.questions import Question
    from publicai_edge.pipeline.quality import Reference


@dataclass(frozen=True)
class Inputs:
    """What the recipe's own folder holds: documents, names of those in forms that cannot be read, licences."""

    recipe: Recipe
    documents: dict[str, Blob]
    left_out: tuple[str, ...]
    licences: dict[str, bytes]


@dataclass(frozen=True)
class Prepared:
    """What quantizing, measuring and packing begin with.

    Attributes:
        recipe: the recipe.
        inputs: what its own folder holds.
        pins: what its sources resolved to.
        original: the GGUF file to quantize or keep, or the step that made the model in ONNX.
        inspected: what the engine says of it.
        embedding: the converted search model, and the step that made it.
        indexed: the index of the documents.
        zims: the ZIM files, by name.
        zim_facts: what each says of itself.
        speech: the speech model's files, and the step that checked them; None where the recipe has none.
        spoken: the voices, and the steps that made and checked them.
    """

    recipe: Recipe
    inputs: Inputs
    pins: dict[str, Pin]
    original: Blob | StepResult
    inspected: StepResult
    embedding: FileSet | None
    converted: StepResult | None
    indexed: StepResult | None
    zims: FileSet
    zim_facts: tuple[dict[str, Any], ...]
    speech: Speech | None = None
    spoken: Spoken = field(default_factory=Spoken)

    @property
    def other_bytes(self) -> int:
        """What the bundle holds beside the model: search model, index, ZIM files, speech model, voices."""
        others = [*(self.embedding or ()), *(self.indexed.files if self.indexed else ()), *self.zims]
        others += [*(self.speech.files if self.speech else ()), *self.spoken.files]
        return sum(blob.size for _, blob in others)

    @property
    def speech_memory(self) -> int:
        """Bytes that the processes take that write down what is said, and that read aloud; 0 where there are none."""
        return (self.speech.memory if self.speech else 0) + self.spoken.memory


def prepare(recipe: Recipe, recipe_path: Path, runner: Runner, options: Options) -> Prepared:
    """Make all of it, or take it from the cache; and pin what was fetched in the lock file.

    Args:
        recipe: the recipe.
        recipe_path: where it lies, which its own paths begin at.
        runner: runs the steps.
        options: how.

    Raises:
        PublicAIError: of the class of whatever went wrong.
    """
    inputs = check_inputs(recipe, recipe_path.parent, options)
    pins = fetching.fetch(recipe, recipe_path, options)
    original, inspected = _model(runner, recipe, pins, options)
    if options.model is None and isinstance(original, Blob):
        found = inspected.facts
        candidates.check_source(recipe.quantize, found["quantization"], found["quantized"], name_of(recipe, options))
    zims, zim_facts = _zims(runner, recipe, pins)
    speech = dictation.check(runner, recipe, pins)
    spoken = voices.make(runner, recipe, pins)
    fetching.write_lock(recipe_path, pins, options)  # not before: what cannot be used is not worth pinning
    embedding, converted = _make_embedding(runner, recipe, pins, options)
    indexed = _index(runner, recipe, inputs, embedding)
    return Prepared(
        recipe, inputs, pins, original, inspected, embedding, converted, indexed, zims, zim_facts, speech, spoken
    )


def reference_of(ready: Prepared, original: Blob) -> "Reference":
    """Return the model before it is quantized, as what is measured is held against it."""
    from publicai_edge.pipeline.quality import Reference

    facts = ready.inspected.facts
    return Reference(original, ready.recipe.model.name, facts["quantization"], is_quantized=facts["quantized"])


def questions_of(ready: Prepared, options: Options) -> "tuple[Question, ...]":
    """Return the recipe's questions, as the kiosk would put them to the model."""
    from publicai_edge.pipeline import asking

    return asking.prepare(ready.recipe, options.store, ready.embedding, ready.indexed.files if ready.indexed else None)


def check_inputs(recipe: Recipe, base: Path, options: Options) -> Inputs:
    """Look at what the recipe's own folder holds, before anything is fetched.

    Raises:
        RecipeError: a document, licence or type is not there or not known.
        HostError: what recognises scanned pages, or says numbers, is asked for and not installed.
    """
    if recipe.model.engine == "llama":
        candidates.check(recipe.quantize, calibrated=bool(recipe.quality and recipe.quantize.imatrix))
    documents: dict[str, Blob] = {}
    left_out: tuple[str, ...] = ()
    if recipe.knowledge:
        _check_ocr(recipe, options)
        found = find_documents(recipe.knowledge.documents, base)
        documents = {name: options.store.add_copy(path) for name, path in found.readable.items()}
        left_out = found.left_out
        if asked := questions.of(recipe):
            questions.check_sources(asked, [*documents, *(item.file_name for item in recipe.knowledge.zim)])
    if recipe.voices:
        number_words.require_installed()
    licences = {each.name: texts.licence_text(each, base) for each in recipe.licensed()}
    return Inputs(recipe, documents, left_out, licences)


def _check_ocr(recipe: Recipe, options: Options) -> None:
    """See that scanned pages can be recognised where that is asked for, and tell in which languages they cannot."""
    if not (recipe.knowledge and recipe.knowledge.ocr):
        return
    ocr.require_installed()
    if unread := languages.not_read(recipe.bundle.languages):
        options.progress.warn(
            f"knowledge.ocr does not read {', '.join(unread)}, or nobody has measured it: expect no text, or much that "
            "is wrong, of scanned pages in that (docs/how-to/recognise-scans.md)."
        )


def _model(
    runner: Runner, recipe: Recipe, pins: dict[str, Pin], options: Options
) -> tuple[Blob | StepResult, StepResult]:
    """Return the GGUF file to quantize or keep, or the finished model in ONNX; and what its engine says of it."""
    name = name_of(recipe, options)
    if recipe.model.engine == "onnx":
        made = onnx_chat.made(runner, recipe, None if options.model else pins["model"].files, options)
        return made, onnx_chat.inspect(runner, made.files)
    if options.model:
        gguf.read(options.model)
        source = options.store.add_copy(options.model)
    elif stages.CONFIG_FILE in pins["model"].files.files:
        source = stages.convert_model(runner, pins["model"].files, name, offline=options.offline).files.only()
    else:
        source = _single_file(pins["model"].files, recipe.model.source)
    return source, stages.inspect_model(runner, source, name)


def name_of(recipe: Recipe, options: Options) -> str:
    """Return what the person calls the model: the file given, or the source in the recipe."""
    return str(options.model or recipe.model.source)


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


def _zims(runner: Runner, recipe: Recipe, pins: dict[str, Pin]) -> tuple[FileSet, tuple[dict[str, Any], ...]]:
    """Return the ZIM files as they lie in the bundle, and what each says of itself."""
    chosen = recipe.knowledge.zim if recipe.knowledge else []
    files = {}
    for number, item in enumerate(chosen, 1):
        found = pins[fetching.zim_role(number)].files
        if len(found) != 1:
            raise RecipeError(f"knowledge.zim: {item.source} is a folder.", hint="Name the .zim file.")
        files[item.file_name] = found.only()
    return FileSet(files), tuple(stages.check_zim(runner, blob, name).facts for name, blob in files.items())


def _index(runner: Runner, recipe: Recipe, inputs: Inputs, embedding: FileSet | None) -> StepResult | None:
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
