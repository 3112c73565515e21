"""The child's side of an embedding model's conversion: torch in, ONNX out, and the comparison of the two."""

import importlib.metadata
import shutil
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from publicai_edge import atomic, digest
from publicai_edge.convert import source_folder
from publicai_edge.convert.check_texts import CHECK_TEXTS
from publicai_edge.convert.embedding import REPORT_FILE, ConversionReport, EmbeddingSettings
from publicai_edge.convert.transformers_child import check_tokenizer, short, stay_offline
from publicai_edge.engine.embedder import (
    CONFIG_FILE,
    MODEL_FILE,
    TOKENIZER_FILE,
    Embedder,
    EmbeddingConfig,
    Vectors,
)
from publicai_edge.errors import ModelError
from publicai_edge.progress import Progress

_STEPS = 4
_BLOCK = 64  # weights that share a scale
_ACCURACY_LEVEL = 4  # products in int8, sums in int32
_MAX_ONNX_BYTES = 2 * 10**9  # protobuf's own limit is 2 GiB
_DISTRIBUTIONS = ("torch", "transformers", "optimum", "optimum-onnx", "onnx", "onnxruntime")


def run(source: Path, out: Path, settings: EmbeddingSettings, progress: Progress) -> ConversionReport:
    """Convert ``source`` into ``out``; see :func:`publicai_edge.convert.embedding.convert_embedding`."""
    stay_offline()
    with (
        atomic.host_errors("write the converted model to", out),
        atomic.temporary_folder(out.parent) as scratch,
        progress.task("Converting the search model to ONNX", total=_STEPS) as task,
    ):
        model, tokenizer = _load(source)
        check_tokenizer(source / TOKENIZER_FILE, tokenizer, settings.max_tokens)
        reference = _encode_original(model, tokenizer, settings)
        task.advance(1)
        _export(model, scratch / "export", source)
        del model
        task.advance(1)
        ready = scratch / "ready"
        _assemble(source, scratch / "export" / "model.onnx", ready, settings, reference.shape[1])
        task.advance(1)
        report = _report(source, ready, settings, reference)
        (ready / REPORT_FILE).write_bytes(report.to_bytes())
        atomic.remove_tree(out)
        ready.rename(out)
        task.advance(1)
    return report


def _load(source: Path) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    options = {"local_files_only": True, "trust_remote_code": False}
    try:
        model, info = AutoModel.from_pretrained(
            source, use_safetensors=True, dtype="float32", output_loading_info=True, **options
        )
        tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True, **options)
    except Exception as error:  # transformers raises what its many parts raise
        raise ModelError(
            f"transformers cannot load {source}: {short(error)}",
            hint="Use a model that transformers 4.57 knows without code from its repository, such as a BERT, "
            "XLM-RoBERTa or MPNet model; if it is one, fetch it again.",
        ) from error
    # transformers fills what is missing with random numbers; only the pooler, which is not used, may be missing.
    if missing := sorted(name for name in info["missing_keys"] if "pooler" not in name):
        raise ModelError(
            f"The weights of {source} lack {len(missing)} tensors that its config.json asks for, such as {missing[0]}.",
            hint="Fetch the model again; if that does not help, its config.json belongs to another model.",
        )
    return model.eval(), tokenizer


def _encode_original(model: Any, tokenizer: Any, settings: EmbeddingSettings) -> Vectors:
    """Return the original's unit vectors of the check texts, one text a run, as questions and as passages."""
    import torch

    rows = []
    with torch.inference_mode():
        for text in _prefixed(settings):
            inputs = tokenizer(text, truncation=True, max_length=settings.max_tokens, return_tensors="pt")
            hidden = model(**inputs).last_hidden_state[0]
            pooled = hidden[0] if settings.pooling == "cls" else hidden.mean(dim=0)
            rows.append(torch.nn.functional.normalize(pooled, dim=0).numpy())
    return np.stack(rows).astype(np.float32)


def _prefixed(settings: EmbeddingSettings) -> list[str]:
    prefixes = (settings.query_prefix, settings.passage_prefix)
    return [prefix + text for prefix in dict.fromkeys(prefixes) for text in CHECK_TEXTS]


def _export(model: Any, folder: Path, source: Path) -> None:
    from optimum.exporters.onnx import onnx_export_from_model

    try:
        onnx_export_from_model(
            model,
            output=folder,
            task="feature-extraction",
            do_validation=False,
            preprocessors=[],
            device="cpu",
        )
    except Exception as error:  # optimum and torch raise ValueError, KeyError, RuntimeError and their own
        kind = getattr(model.config, "model_type", "unknown")
        raise ModelError(
            f"optimum cannot export {source} (architecture {kind!r}) to ONNX: {short(error)}",
            hint="Use an architecture that optimum exports for feature extraction, such as BERT.",
        ) from error


def _assemble(source: Path, exported: Path, ready: Path, settings: EmbeddingSettings, dim: int) -> None:
    ready.mkdir()
    if settings.quantize == "int8":
        quantized = exported.with_name("int8.onnx")
        _quantize(exported, quantized)
        exported = quantized
    _write_clean(exported, ready / MODEL_FILE)
    for name in (TOKENIZER_FILE, "config.json"):
        shutil.copyfile(source / name, ready / name)
    config = EmbeddingConfig(
        dim=dim,
        pooling=cast(Literal["mean", "cls"], settings.pooling),
        max_tokens=settings.max_tokens,
        query_prefix=settings.query_prefix,
        passage_prefix=settings.passage_prefix,
        model_sha256=digest.of_file(ready / MODEL_FILE),
        tokenizer_sha256=digest.of_file(ready / TOKENIZER_FILE),
    )
    (ready / CONFIG_FILE).write_bytes(config.to_bytes())


def _quantize(source: Path, out: Path) -> None:
    """Weights to int8 in blocks with a scale each; products in int8, activations scaled per row and block.

    A text's vector then depends on no other text of its run, and no product saturates on processors without VNNI
    (ADR 0017): the kiosk's vectors are those of the laptop that made the index.
    """
    import logging

    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    logging.disable(logging.WARNING)  # the quantizer tells of every node
    model = onnx.load(source)
    _quantize_tables(model)
    quantizer = MatMulNBitsQuantizer(
        model, bits=8, block_size=_BLOCK, is_symmetric=True, accuracy_level=_ACCURACY_LEVEL
    )
    quantizer.process()
    out.write_bytes(quantizer.model.model.SerializeToString(deterministic=True))


def _quantize_tables(model: Any) -> None:
    """Let each lookup in a two-dimensional table read it in int8."""
    from onnx import helper, numpy_helper
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, DefaultWeightOnlyQuantizer

    graph = model.graph
    tables = {tensor.name: tensor for tensor in graph.initializer if len(tensor.dims) == 2}  # noqa: PLR2004
    quantizer = DefaultWeightOnlyQuantizer(DefaultWeightOnlyQuantConfig(block_size=_BLOCK, is_symmetric=True, bits=8))
    for lookup in [node for node in graph.node if node.op_type == "Gather" and node.input[0] in tables]:
        name = lookup.input[0]
        readers = sum(name in node.input for node in graph.node)
        along_rows = all(item.name != "axis" or item.i == 0 for item in lookup.attribute)
        if readers > 1 or not along_rows or tables[name].dims[1] % _BLOCK:
            continue  # tied to an output layer, or of a shape the blocks do not fit
        values = numpy_helper.to_array(tables[name])
        packed, scales, _ = quantizer.qbits_block_quant(np.ascontiguousarray(values.T))
        graph.initializer.extend(
            [
                numpy_helper.from_array(packed.reshape(values.shape), f"{name}_Q8"),
                numpy_helper.from_array(scales, f"{name}_scales"),
            ]
        )
        found = helper.make_node(
            "GatherBlockQuantized",
            [f"{name}_Q8", lookup.input[1], f"{name}_scales"],
            list(lookup.output),
            name=f"{lookup.name}_Q8",
            domain="com.microsoft",
            gather_axis=0,
            quantize_axis=1,
            block_size=_BLOCK,
            bits=8,
        )
        graph.node.insert(list(graph.node).index(lookup), found)
        graph.node.remove(lookup)
        graph.initializer.remove(tables[name])
    if not any(item.domain == "com.microsoft" for item in model.opset_import):
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def _write_clean(source: Path, out: Path) -> None:
    """Write the model without doc strings and metadata, which can hold paths of this machine."""
    import onnx

    if sum(part.stat().st_size for part in source.parent.glob(f"{source.name}*")) >= _MAX_ONNX_BYTES:
        raise ModelError(
            f"The model in ONNX is larger than {_MAX_ONNX_BYTES // 10**9} GB, the most one ONNX file holds.",
            hint='Set quantize = "int8" in [embedding], or choose a smaller embedding model.',
        )
    model = onnx.load(source)
    model.doc_string = ""
    del model.metadata_props[:]
    graph = model.graph
    graph.doc_string = ""
    del graph.metadata_props[:]
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        part.doc_string = ""
        del part.metadata_props[:]
    out.write_bytes(model.SerializeToString(deterministic=True))


def _report(source: Path, ready: Path, settings: EmbeddingSettings, reference: Vectors) -> ConversionReport:
    embedder = Embedder.open(ready)
    texts = list(CHECK_TEXTS)
    vectors = embedder.encode(texts, "query")
    if settings.query_prefix != settings.passage_prefix:
        vectors = np.concatenate([vectors, embedder.encode(texts, "passage")])
    cosines = (vectors * reference).sum(axis=1)
    mean, least = float(cosines.mean()), float(cosines.min())
    if not mean >= settings.min_cosine:  # also true for NaN
        raise ModelError(
            f"The vectors of {source.name} in {settings.quantize} have a mean cosine of {mean:.4f} to the "
            f"original's; min_cosine asks for {settings.min_cosine}.",
            hint='Set quantize = "none" in [embedding].'
            if settings.quantize == "int8"
            else "Check pooling and min_cosine in [embedding]; the export itself should be exact.",
            mean_cosine=mean,
            least_cosine=least,
        )
    return ConversionReport(
        mean_cosine=round(mean, 4),
        least_cosine=round(least, 4),
        texts=len(cosines),
        bytes_before=source_folder.weight_bytes(source),
        bytes_after=(ready / MODEL_FILE).stat().st_size,
        quantization=settings.quantize,
        versions={name: importlib.metadata.version(name) for name in _DISTRIBUTIONS},
    )
