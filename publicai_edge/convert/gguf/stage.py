"""Hugging Face folder to GGUF: what the parent process does around llama.cpp's own converter.

Invariants: the result appears under its name only when it is whole and was compared with its original; the same folder,
name, type and converter give the same bytes, wherever they lie; the source is never written to.
"""

import importlib.metadata
import importlib.util
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from publicai_edge import atomic, child, gguf
from publicai_edge.child import ChildResult
from publicai_edge.convert import source_folder
from publicai_edge.convert.gguf import folder
from publicai_edge.convert.gguf.check_logits import MAX_KL
from publicai_edge.errors import HostError, ModelError, RecipeError
from publicai_edge.host import memory_bytes
from publicai_edge.progress import Progress

TYPES = ("f16", "bf16", "q8_0", "f32")
_BITS = {"f16": 16, "bf16": 16, "q8_0": 8.5, "f32": 32}
_PACKAGES = ("torch", "transformers", "sentencepiece")
_HERE = "publicai_edge.convert.gguf"


@dataclass(frozen=True)
class GgufSettings:
    """How a model is converted.

    Attributes:
        type: one of :data:`TYPES`.
        name: the model's name in the file; by default one that its configuration gives.
        compare: whether the logits are compared with the original's, which needs 4 bytes of memory a weight.
        force: warn where the result differs from the original, instead of refusing it.
    """

    type: str = "f16"
    name: str | None = None
    compare: bool = True
    force: bool = False


@dataclass(frozen=True)
class GgufReport:
    """What a conversion did.

    Attributes:
        file: the result's name.
        name: the model's name in it.
        architecture: what config.json calls it.
        type: the type asked for.
        parameters: weights.
        bytes_before: bytes of the folder's weights.
        bytes_after: bytes of the result.
        tokenizer: ``texts`` and ``tokens`` compared, ``differing``, and ``difference``, a sentence or None.
        loss: mean KL divergence and more (:class:`check_logits.Loss`), or None where logits were not compared.
        not_compared: why not, or None.
        versions: what made it.
    """

    file: str
    name: str
    architecture: str
    type: str
    parameters: int
    bytes_before: int
    bytes_after: int
    tokenizer: dict[str, Any]
    loss: dict[str, Any] | None
    not_compared: str | None
    versions: dict[str, str]

    def to_bytes(self) -> bytes:
        """Return the content of the report beside the model."""
        return (json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


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
    _require(settings)
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
            "folder": str(staged.absolute()),
            "target": str(made.absolute()),
            "converter": str(converter.resolve()),
            "type": settings.type,
            "source": str(source),
            "architecture": folder.architecture(config),
            "label": f"Converting to {settings.type.upper()} GGUF",
        }
        result = child.run(f"{_HERE}.run:run", payload, what=f"convert {source} to GGUF", progress=progress)
        gguf.read(made)
        tokenizer, loss, why_not = _compare(source, config, staged, made, settings, weights, progress)
        report = GgufReport(
            file=target.name,
            name=name,
            architecture=folder.architecture(config),
            type=settings.type,
            parameters=weights,
            bytes_before=source_folder.weight_bytes(source),
            bytes_after=made.stat().st_size,
            tokenizer=tokenizer,
            loss=loss,
            not_compared=why_not,
            versions=_versions(),
        )
        atomic.write_bytes(target.with_suffix(".conversion.json"), report.to_bytes())
        made.replace(target)
        atomic.fsync_path(target.parent)
    return report, result


def check_type(name: str) -> str:
    """Return the type's exact name.

    Raises:
        RecipeError: the converter writes no such type.
    """
    if name.lower() not in TYPES:
        raise RecipeError(
            f"There is no conversion to GGUF of type {name!r}.",
            hint=f"Known types: {', '.join(TYPES)}. Smaller ones are made from these with `publicai-edge quantize`.",
        )
    return name.lower()


def _require(settings: GgufSettings) -> None:
    check_type(settings.type)
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise HostError(
            f"Converting a model to GGUF needs {', '.join(missing)}, not installed here.",
            hint="Install torch's CPU build first, then the rest:\n"
            "  pip install --index-url https://download.pytorch.org/whl/cpu torch==2.13.0\n"
            '  pip install "publicai-edge[onnx]"',
            missing=missing,
        )


def _compare(
    source: Path,
    config: dict[str, Any],
    staged: Path,
    made: Path,
    settings: GgufSettings,
    weights: int,
    progress: Progress,
) -> tuple[dict[str, Any], dict[str, Any] | None, str | None]:
    """Return what the comparisons gave: of the tokenizers, of the logits, and why there is none of these."""
    payload = {"folder": str(staged), "gguf": str(made)}
    what = f"compare {made.name} with {source}"
    tokenizer = child.run(f"{_HERE}.check_tokens:run", payload, what=what, progress=progress).value
    if tokenizer["difference"]:
        _refuse(
            f"The converted tokenizer is not that of {source}: {tokenizer['differing']} of {tokenizer['texts']} texts "
            f"differ. {tokenizer['difference']}",
            "llama.cpp reads this model's text otherwise than the model learned it: use another revision of the model, "
            "or --force to keep the result all the same.",
            settings,
            progress,
        )
    if why_not := _why_not(config, settings, weights):
        progress.say(why_not)
        return tokenizer, None, why_not
    loss = _measure(staged, made, what, progress)
    if not loss["mean_kl"] <= MAX_KL[settings.type]:
        _refuse(
            f"The converted model strays from {source}: mean KL divergence {loss['mean_kl']:.5f} nats per token, and "
            f"at most {MAX_KL[settings.type]} is expected of {settings.type}; most on {loss['worst_text']!r} "
            f"({loss['worst_text_kl']:.5f}).",
            "Try another --type; if all stray, llama.cpp and transformers read this model differently. --force keeps "
            "the result all the same.",
            settings,
            progress,
        )
    return tokenizer, loss, None


def _refuse(message: str, hint: str, settings: GgufSettings, progress: Progress) -> None:
    if not settings.force:
        raise ModelError(message, hint=hint)
    progress.warn(message)


def _why_not(config: dict[str, Any], settings: GgufSettings, weights: int) -> str | None:
    """Say why the logits are not compared, or None where they are."""
    if not settings.compare:
        return "The converted model was not compared with its original: not asked for."
    if not source_folder.is_causal(config):
        return "The converted model was not compared with its original: it gives vectors, not text."
    needed, (_, available) = int(weights * 4.6), memory_bytes()
    if available and needed > available:
        return (
            f"The converted model was not compared with its original: that needs {needed / 1e9:.1f} GB of memory, and "
            f"{available / 1e9:.1f} GB are free."
        )
    return None


def _measure(staged: Path, made: Path, what: str, progress: Progress) -> dict[str, Any]:
    reference = made.with_name("reference")
    payload: dict[str, Any] = {"source": str(staged), "reference": str(reference), "export": None}
    child.run("publicai_edge.convert.causal_lm_export:run", payload, what=what, progress=progress)
    payload = {"gguf": str(made), "reference": str(reference)}
    measured: dict[str, Any] = child.run(f"{_HERE}.check_logits:run", payload, what=what, progress=progress).value
    return measured


def _versions() -> dict[str, str]:
    names = ("llama-cpp-python", *_PACKAGES, "numpy", "tokenizers")
    return {name: importlib.metadata.version(name) for name in names}
