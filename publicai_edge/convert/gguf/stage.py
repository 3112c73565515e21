"""Hugging Face folder to GGUF: what the parent process does around llama.cpp's own converter.

Invariants: the result appears under its name only when it is whole and was compared with its original; the same folder,
name, type and converter give the same bytes, wherever they lie; the source is never written to.
"""

import importlib.metadata
from pathlib import Path
from typing import Any

from publicai_edge import atomic, child, gguf
from publicai_edge.child import ChildResult
from publicai_edge.convert import packages, source_folder
from publicai_edge.convert.gguf import compare, folder
from publicai_edge.convert.gguf.report import GgufReport, GgufSettings, check_type
from publicai_edge.progress import Progress

_BITS = {"f16": 16, "bf16": 16, "q8_0": 8.5, "f32": 32}
_PACKAGES = ("torch", "transformers", "sentencepiece")
_HERE = "publicai_edge.convert.gguf"


def convert(
    source: Path, output: Path, settings: GgufSettings, converter: Path, progress: Progress
) -> tuple[GgufReport, ChildResult]:
    """Convert the model in ``source`` to one GGUF file.

    Args:
        source: a folder in Hugging Face layout.
        output: a file that ends in ``.gguf``, or a folder in which one is named after the model.
        settings: type and name.
        converter: the folder with llama.cpp's ``convert_hf_to_gguf.py``, ``conversion/`` and ``gguf-py/``.
        progress: shows the bytes written.

    Returns:
        The report, also beside the result as ``NAME.conversion.json``, and what the converter's process used.

    Raises:
        RecipeError: there is no such type.
        ModelError: the folder cannot be converted, or the result differs from it.
        HostError: packages, memory or disk space are missing.
    """
    check_type(settings.type)
    packages.require(_PACKAGES, "GGUF")
    config = folder.check(source)
    name = folder.clean_name(settings.name) if settings.name else folder.stable_name(source, config)
    target = output if output.suffix == ".gguf" else output / f"{name}-{settings.type.upper()}.gguf"
    weights = source_folder.parameters(source)
    atomic.require_space(target.parent, int(weights * _BITS[settings.type] / 8), f"Converting {source.name}")
    with atomic.host_errors("write", target), atomic.temporary_folder(target.parent) as work:
        staged, made = work / "source" / name, work / "model.gguf"
        staged.mkdir(parents=True)
        folder.stage(source, staged)
        payload = {
            **_payload(source, staged, made, settings.type, converter, config),
            "label": f"Converting to {settings.type.upper()} GGUF",
        }
        result = child.run(f"{_HERE}.run:run", payload, what=f"convert {source} to GGUF", progress=progress)
        gguf.read(made)
        compared = compare.run(compare.Pair(source, staged, made, config, weights), settings, progress)
        report = GgufReport(
            file=target.name,
            name=name,
            architecture=folder.architecture(config),
            type=settings.type,
            parameters=weights,
            bytes_before=source_folder.weight_bytes(source),
            bytes_after=made.stat().st_size,
            tokenizer=compared.tokenizer,
            loss=compared.loss,
            vectors=compared.vectors,
            not_compared=compared.why_not,
            versions=_versions(),
        )
        atomic.write_bytes(target.with_suffix(".conversion.json"), report.to_bytes())
        made.replace(target)
        atomic.fsync_path(target.parent)
    return report, result


def outline(source: Path, target: Path, type_name: str, converter: Path, progress: Progress) -> None:
    """Write the GGUF file that :func:`convert` would, with a hole in place of the weights.

    Args:
        source: a folder in Hugging Face layout; of its safetensors only the headers are read.
        target: the file.
        type_name: of :data:`TYPES`.
        converter: as :func:`convert` takes it.
        progress: shows what is going on.

    Raises:
        ModelError: the folder cannot be converted.
        HostError: packages are missing.
    """
    packages.require(_PACKAGES, "GGUF")
    config = folder.check(source)
    with atomic.temporary_folder(target.parent) as work:
        staged = work / folder.stable_name(source, config)
        staged.mkdir()
        folder.stage(source, staged)
        payload = {
            **_payload(source, staged, target, type_name, converter, config),
            "label": "Looking at what the converter would write",
            "outline": True,
        }
        child.run(f"{_HERE}.run:run", payload, what=f"look at {source}", progress=progress)


def _payload(
    source: Path, staged: Path, target: Path, type_name: str, converter: Path, config: dict[str, Any]
) -> dict[str, Any]:
    return {
        "folder": str(staged.absolute()),
        "target": str(target.absolute()),
        "converter": str(converter.resolve()),
        "type": type_name,
        "source": str(source),
        "architecture": folder.architecture(config),
    }


def _versions() -> dict[str, str]:
    names = ("llama-cpp-python", *_PACKAGES, "numpy", "tokenizers")
    return {name: importlib.metadata.version(name) for name in names}
