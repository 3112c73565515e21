"""Each stage as a cached step: which inputs decide its result, and how it is called."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from publicai_edge import gguf
from publicai_edge.artifact import Blob, FileSet
from publicai_edge.engine.warm import SharedPrompt
from publicai_edge.errors import ModelError
from publicai_edge.pipeline.steps import Runner, Step, StepResult
from publicai_edge.quantize import KEEP
from publicai_edge.recipe import Embedding, Knowledge, Quantize, Service
from publicai_edge.tuning import Tuning

MODEL_FILE = "model.gguf"
INDEX_FILE = "knowledge.sqlite"
CONFIG_FILE = "config.json"

_LLAMA = ("llama-cpp-python",)
_LLAMA_CODE = (
    "publicai_edge.gguf",
    "publicai_edge.engine.batch",
    "publicai_edge.engine.chat",
    "publicai_edge.engine.llama",
    "publicai_edge.engine.prefixes",
    "publicai_edge.engine.probe",
    "publicai_edge.engine.state",
    "publicai_edge.engine.template",
    "publicai_edge.engine.warm",
)
_CONVERSION_KEYS = {"pooling", "max_tokens", "query_prefix", "passage_prefix", "quantize", "min_cosine"}
_ONNX = ("torch", "transformers", "optimum", "optimum-onnx", "onnx", "onnxruntime", "tokenizers")
_CONVERT_CODE = ("publicai_edge.convert", "publicai_edge.engine.embedder")
_TO_GGUF = ("llama-cpp-python", "torch", "transformers", "sentencepiece")
_TO_GGUF_CODE = ("publicai_edge.convert", "publicai_edge.pipeline.converter")
_INDEXING = (
    "apsw",
    "numpy",
    "onnxruntime",
    "tokenizers",
    "pypdf",
    "python-docx",
    "lxml",
    "markdown-it-py",
    "py3langid",
)
_INDEX_CODE = ("publicai_edge.knowledge", "publicai_edge.search", "publicai_edge.engine.embedder")

_SCANNED_PAGES = 500
"""Most pages of a document that are recognised: an hour or two where nothing else runs."""
_ZIM_CODE = ("publicai_edge.knowledge.zim.archive", "publicai_edge.knowledge.zim.check")


@contextmanager
def named(path: Path, name: str) -> Iterator[None]:
    """Let errors about ``path``, a place in the cache that tells nobody anything, speak of ``name`` instead."""
    try:
        yield
    except ModelError as error:
        facts = error.facts | {"path": name}
        raise ModelError(error.message.replace(str(path), name), hint=error.hint, **facts) from error


def inspect_model(runner: Runner, model: Blob, name: str) -> StepResult:
    """See that llama.cpp can use the model, before hours go into it. Makes no files.

    Args:
        runner: runs the step.
        model: the file, in the store.
        name: what the person calls it: the source in the recipe, or the file given.

    Raises:
        ModelError: not GGUF, truncated, unknown architecture, no chat template.
    """

    def run(_folder: Path) -> dict[str, Any]:
        from publicai_edge.engine.probe import probe

        path = runner.store.path(model)
        with named(path, name):
            header = gguf.read(path)
            engine = probe(path, runner.progress)
        return {
            "architecture": header.architecture,
            "quantization": header.quantization,
            "quantized": header.is_quantized,
            "kv_bytes_per_token": header.kv_bytes_per_token(),
            "context_trained": header.number("context_length"),
            **engine,
        }

    return runner.run(Step("inspect", _LLAMA_CODE, _LLAMA, {"model": model.sha256}, run))


def convert_model(runner: Runner, source: FileSet, name: str, *, offline: bool) -> StepResult:
    """Turn a model in Hugging Face layout into one 16-bit GGUF file, compared with its original.

    Args:
        runner: runs the step.
        source: config.json, the tokenizer and the safetensors, in the store.
        name: the source in the recipe, for messages.
        offline: the converter must be in the store already.

    Raises:
        ModelError: it cannot be converted, or the result differs from the original.
    """

    def run(folder: Path) -> dict[str, Any]:
        from publicai_edge.convert import source_folder
        from publicai_edge.convert.gguf import GgufSettings, convert
        from publicai_edge.pipeline.converter import converter_files

        converter = converter_files(runner.store, runner.progress, offline=offline)
        with runner.store.scratch() as work:
            runner.store.checkout(source, work / "source")
            runner.store.checkout(converter, work / "converter")
            kind = source_folder.sixteen_bits(source_folder.read_config(work / "source"))
            settings = GgufSettings(type=kind, name=name.rstrip("/").rpartition("/")[2])
            with named(work / "source", name):
                report, child = convert(
                    work / "source", folder / MODEL_FILE, settings, work / "converter", runner.progress
                )
            (folder / MODEL_FILE).with_suffix(".conversion.json").unlink()
        return {**asdict(report), "measured": {"peak_rss_bytes": child.peak_rss_bytes}}

    inputs = {"source": source.sha256, "name": name}
    return runner.run(Step("gguf", _TO_GGUF_CODE, _TO_GGUF, inputs, run))


def quantize_model(runner: Runner, model: Blob, settings: Quantize, name: str) -> StepResult:
    """Make the model smaller, or keep it as it is."""
    from publicai_edge.quantize import check_type

    type_name = KEEP if settings.type == KEEP else check_type(settings.type)

    def run(folder: Path) -> dict[str, Any]:
        from publicai_edge.quantize import quantize

        path = runner.store.path(model)
        with named(path, name):
            done = quantize(
                path,
                folder / MODEL_FILE,
                type_name,
                allow_requantize=settings.allow_requantize,
                progress=runner.progress,
            )
        facts = {"before": done.before, "bytes_before": done.bytes_before, "bytes_after": done.bytes_after}
        return {**facts, "type": type_name, "measured": {"peak_rss_bytes": done.peak_rss_bytes}}

    if type_name == KEEP:
        before = gguf.read(runner.store.path(model)).quantization
        facts = {"type": KEEP, "before": before, "bytes_before": model.size, "bytes_after": model.size}
        kept = StepResult("quantize", FileSet({MODEL_FILE: model}), facts, {}, reused=True, seconds=0.0)
        runner.done.append(kept)
        return kept
    inputs = {"model": model.sha256, "type": type_name, "requantize": settings.allow_requantize}
    return runner.run(Step("quantize", ("publicai_edge.quantize",), _LLAMA, inputs, run))


def split_model(runner: Runner, model: Blob, most: int) -> FileSet:
    """Return the model's files: one, or as many as it takes for none to have more than ``most`` bytes."""
    if model.size <= most:
        return FileSet({MODEL_FILE: model})

    def run(folder: Path) -> dict[str, Any]:
        from publicai_edge.gguf import split

        size = model.size
        with runner.progress.task("Splitting the model", total=size, unit="bytes") as task:
            parts = split.write(runner.store.path(model), folder / MODEL_FILE, most, task.advance)
        return {"parts": len(parts)}

    return runner.run(Step("split", ("publicai_edge.gguf",), (), {"model": model.sha256, "most": most}, run)).files


def convert_embedding(runner: Runner, source: FileSet, settings: Embedding) -> StepResult:
    """Turn the embedding model into ONNX and measure what that cost."""
    chosen = settings.model_dump(mode="json", include=_CONVERSION_KEYS)

    def run(folder: Path) -> dict[str, Any]:
        from publicai_edge.convert.embedding import EmbeddingSettings, convert_embedding

        with runner.store.scratch() as work:
            runner.store.checkout(source, work / "source")
            out = work / "out"
            report, child = convert_embedding(work / "source", out, EmbeddingSettings(**chosen), runner.progress)
            for path in out.iterdir():
                shutil.move(path, folder / path.name)
        return {**asdict(report), "measured": {"peak_rss_bytes": child.peak_rss_bytes}}

    return runner.run(Step("convert", _CONVERT_CODE, _ONNX, {"source": source.sha256, **chosen}, run))


def index_documents(
    runner: Runner, documents: Mapping[str, Blob], embedding: FileSet, settings: Knowledge
) -> StepResult:
    """Cut the documents into passages and index them.

    Raises:
        DocumentError: none of them can be read.
        HostError: what recognises scanned pages is asked for and not installed.
    """
    from publicai_edge.knowledge import ocr

    def run(folder: Path) -> dict[str, Any]:
        from publicai_edge.knowledge import IndexSettings, build_index
        from publicai_edge.knowledge.extractor import Limits

        limits = ocr.recognizing(Limits(), _SCANNED_PAGES) if settings.ocr else Limits()
        with runner.store.scratch() as work:
            runner.store.checkout(embedding, work / "embedding")
            runner.store.checkout(FileSet(dict(documents)), work / "documents")
            paths = {name: work / "documents" / name for name in documents}
            report, child = build_index(
                paths,
                work / "embedding",
                folder / INDEX_FILE,
                IndexSettings(settings.passage_words, limits, may_be_empty=bool(settings.zim)),
                runner.progress,
            )
        facts = {
            "documents": report.documents,
            "passages": report.passages,
            "skipped": [{"name": item.name, "reason": item.reason} for item in report.skipped],
            "recognized": dict(report.recognized),
            "languages": dict(report.languages),
        }
        return {**facts, "measured": {"peak_rss_bytes": child.peak_rss_bytes}}

    inputs = {
        "documents": FileSet(dict(documents)).to_json(),
        "embedding": embedding.sha256,
        "passage_words": settings.passage_words,
        "ocr": settings.ocr,
    }
    libraries = (*_INDEXING, *ocr.LIBRARIES) if settings.ocr else _INDEXING
    return runner.run(Step("index", _INDEX_CODE, libraries, inputs, run))


def check_zim(runner: Runner, archive: Blob, name: str) -> StepResult:
    """See that a ZIM file is whole and can be searched; all of it is read, once. Makes no files.

    Raises:
        DocumentError: it is damaged, or has no full-text index.
        HostError: libzim is not installed.
    """

    def run(_folder: Path) -> dict[str, Any]:
        from publicai_edge.knowledge.zim.check import check

        return asdict(check(runner.store.path(archive), name, runner.progress))

    return runner.run(Step("zim", _ZIM_CODE, ("libzim",), {"archive": archive.sha256}, run))


def warm_services(
    runner: Runner, model: Blob, services: tuple[Service, ...], context: int, tuning: Tuning
) -> StepResult:
    """Compute the state of every service's prompt in every language."""
    prompts = shared_prompts(services)

    def run(folder: Path) -> dict[str, Any]:
        from publicai_edge.engine import warm

        place, progress = runner.store.path(model), runner.progress
        made = warm.build(place, prompts, folder, context=context, tuning=tuning, progress=progress)
        return {"tokens": made["tokens"], "measured": {"peak_rss_bytes": made["peak_rss_bytes"]}}

    inputs = warm_inputs(model.sha256, prompts, context) | {"tuning": tuning.to_json()}
    return runner.run(Step("warm", _LLAMA_CODE, _LLAMA, inputs, run))


def shared_prompts(services: tuple[Service, ...]) -> list[SharedPrompt]:
    """Return every service's prompt in every language, without a state yet."""
    return [
        SharedPrompt(service.id, language, text)
        for service in services
        for language, text in sorted(service.prompt.items())
    ]


def warm_inputs(model_sha256: str, prompts: list[SharedPrompt], context: int) -> dict[str, Any]:
    """Return what the states of prompts depend on, besides the engine."""
    texts = [[prompt.service, prompt.language, prompt.system] for prompt in prompts]
    return {"model": model_sha256, "prompts": texts, "context": context}
