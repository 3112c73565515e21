"""The stages of a language model in ONNX: taken as published or converted, looked at, and its prompts read.

Its files lie together: ``model.onnx``, the weights beside it under the name the graph knows, and the tokenizer's.
"""

import shutil
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any

from publicai_edge.artifact import FileSet
from publicai_edge.engine.onnx.folder import MODEL_FILE, SMALL_FILES
from publicai_edge.errors import RecipeError
from publicai_edge.pipeline.options import Options
from publicai_edge.pipeline.stages import shared_prompts, warm_inputs
from publicai_edge.pipeline.steps import Runner, Step, StepResult
from publicai_edge.quantize import KEEP
from publicai_edge.recipe import Recipe, Service

_RUNNING = ("onnxruntime", "tokenizers")
_RUNNING_CODE = (
    "publicai_edge.engine.onnx",
    "publicai_edge.engine.chat",
    "publicai_edge.engine.prefixes",
    "publicai_edge.engine.settings_file",
    "publicai_edge.engine.template",
    "publicai_edge.engine.warm",
)
_CONVERTING = ("torch", "transformers", "optimum", "optimum-onnx", "onnx", "onnxruntime", "onnxruntime-genai")
_CONVERTING_CODE = ("publicai_edge.convert",)


def made(runner: Runner, recipe: Recipe, source: FileSet | None, options: Options) -> StepResult:
    """Return the model's files: those of the folder given by hand, those published, or what they are converted to.

    Args:
        runner: runs the step.
        recipe: says which file of ``source`` it is, or what to convert it to.
        source: what was fetched; None where ``options.model`` takes its place.
        options: may name a folder.

    Raises:
        RecipeError: the recipe and the files do not fit.
        ModelError: the model cannot be converted, or loses too much by it.
    """
    chosen = recipe.model
    if options.model:
        return _kept(runner, _given(options), MODEL_FILE)
    if source is None:
        raise RecipeError("There is no model: neither a source was fetched nor a folder given.")
    if chosen.file:
        return _kept(runner, published(source, chosen.file, chosen.source), chosen.file)
    return _converted(runner, source, recipe.quantize.type, chosen.source)


def _kept(runner: Runner, files: FileSet, name: str) -> StepResult:
    size = files.size
    label = f"ONNX {PurePosixPath(name).stem}"
    facts = {"type": KEEP, "before": label, "bytes_before": size, "bytes_after": size}
    kept = StepResult("quantize", files, facts, {}, reused=True, seconds=0.0)
    runner.done.append(kept)
    return kept


def _given(options: Options) -> FileSet:
    folder = options.model
    if folder is None or not (folder / MODEL_FILE).is_file():
        raise RecipeError(
            f"{folder} is not a folder with {MODEL_FILE}.", hint="Make one with `publicai-edge convert --to onnx`."
        )
    names = [path.name for path in sorted(folder.iterdir()) if path.is_file()]
    wanted = [name for name in names if name in SMALL_FILES or name.startswith(MODEL_FILE)]
    return FileSet({name: options.store.add_copy(folder / name) for name in wanted})


def published(source: FileSet, file: str, name: str) -> FileSet:
    """Return the files of a model that was published in ONNX, laid out as bundles have them.

    Args:
        source: what was fetched.
        file: the ``.onnx`` file's path in it; its weights may lie beside it in files whose names begin with its own.
        name: the source, for messages.

    Raises:
        RecipeError: the file is not there.
    """
    if file not in source.files:
        there = ", ".join(path for path, _ in source if path.endswith(".onnx")) or "no .onnx file"
        raise RecipeError(f"model.source {name!r} has no {file}; it has {there}.", hint="Name one as model.file.")
    pure = PurePosixPath(file)
    found = {MODEL_FILE: source.files[file]}
    for path, blob in source:
        here = PurePosixPath(path)
        if path != file and here.parent == pure.parent and here.name.startswith(pure.name):
            found[here.name] = blob
        elif path in SMALL_FILES:
            found[path] = blob
    return FileSet(found)


def _converted(runner: Runner, source: FileSet, kind: str, name: str) -> StepResult:
    format_ = "none" if kind == KEEP else kind

    def run(folder: Path) -> dict[str, Any]:
        from publicai_edge.convert.causal_lm import CausalLmSettings, convert_causal_lm

        with runner.store.scratch() as work:
            runner.store.checkout(source, work / "source")
            settings = CausalLmSettings(quantize=format_)  # type: ignore[arg-type] # checked with the recipe
            report, child = convert_causal_lm(work / "source", work / "out", settings, runner.progress)
            for path in (work / "out").iterdir():
                shutil.move(path, folder / path.name)
        facts = {"type": f"ONNX {format_}", "before": "safetensors", "loss": asdict(report.loss)}
        sizes = {"bytes_before": report.bytes_before, "bytes_after": report.bytes_after}
        return {**facts, **sizes, "measured": {"peak_rss_bytes": child.peak_rss_bytes}}

    inputs = {"source": source.sha256, "format": format_, "name": name}
    return runner.run(Step("onnx", _CONVERTING_CODE, _CONVERTING, inputs, run))


def inspect(runner: Runner, files: FileSet) -> StepResult:
    """See that onnxruntime runs the model, and what a token takes in its cache. Makes no files.

    Raises:
        ModelError: it is broken, of an unknown kind, or has no chat template.
    """

    def run(_folder: Path) -> dict[str, Any]:
        from publicai_edge.engine.onnx import warm

        with runner.store.scratch() as work:
            runner.store.checkout(files, work / "model")
            return warm.probe(work / "model", runner.progress)

    return runner.run(Step("inspect", _RUNNING_CODE, _RUNNING, {"model": files.sha256}, run))


def warm_services(runner: Runner, files: FileSet, services: tuple[Service, ...], context: int) -> StepResult:
    """Compute the state of every service's prompt in every language."""
    prompts = shared_prompts(services)

    def run(folder: Path) -> dict[str, Any]:
        from publicai_edge.engine.onnx import warm

        with runner.store.scratch() as work:
            runner.store.checkout(files, work / "model")
            found = warm.build(work / "model", prompts, folder, context=context, progress=runner.progress)
        return {"tokens": found["tokens"], "measured": {"peak_rss_bytes": found["peak_rss_bytes"]}}

    return runner.run(Step("warm", _RUNNING_CODE, _RUNNING, warm_inputs(files.sha256, prompts, context), run))
