"""An embedding model from safetensors to ONNX, in int8 where asked, checked against the original.

The result is accepted only if its vectors stay near those of the original on :data:`CHECK_TEXTS`, and the
figure is written to ``conversion.json`` beside the model.

Invariants: the same source and settings give the same bytes in any folder; nothing is written to ``out``
unless the check passed; no network, no code from the model's repository, no pickle.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from publicai_edge import child
from publicai_edge.child import ChildResult
from publicai_edge.convert import packages, source_folder
from publicai_edge.errors import ModelError
from publicai_edge.progress import Progress

REPORT_FILE = "conversion.json"

_EXTRA = ("torch", "transformers", "optimum", "onnx", "onnxruntime", "safetensors")


@dataclass(frozen=True)
class EmbeddingSettings:
    """How the model is used and how small it is made; named as in the recipe's ``[embedding]`` table."""

    pooling: str
    max_tokens: int
    query_prefix: str
    passage_prefix: str
    quantize: Literal["int8", "none"]
    min_cosine: float


@dataclass(frozen=True)
class ConversionReport:
    """What the conversion cost: cosine to the original over ``texts`` texts, and bytes of weights."""

    mean_cosine: float
    least_cosine: float
    texts: int
    bytes_before: int
    bytes_after: int
    quantization: str
    versions: dict[str, str]

    def to_bytes(self) -> bytes:
        """Return the content of ``conversion.json``."""
        return (json.dumps(asdict(self), indent=1, sort_keys=True) + "\n").encode()


def convert_embedding(
    source: Path, out: Path, settings: EmbeddingSettings, progress: Progress
) -> tuple[ConversionReport, ChildResult]:
    """Convert the model in ``source`` (Hugging Face layout) to an ONNX folder ``out``.

    Returns:
        The report, also in ``out/conversion.json``, and what the child process used.

    Raises:
        HostError: the extra ``onnx`` is not installed, or the disk refuses.
        ModelError: the folder cannot be converted, or the result strays too far from the original.
    """
    packages.require(_EXTRA, "ONNX")
    if settings.pooling not in {"mean", "cls"}:
        raise ModelError(f"Pooling is {settings.pooling!r}; expected 'mean' or 'cls'.")
    source_folder.check(source, settings.pooling, settings.max_tokens)
    payload = {"source": str(source.resolve()), "out": str(out.resolve()), "settings": asdict(settings)}
    what = f"convert {source.name} to ONNX"
    result = child.run("publicai_edge.convert.embedding:convert", payload, what=what, progress=progress)
    return ConversionReport(**result.value), result


def convert(payload: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Do the work, inside the child process; see :func:`convert_embedding`."""
    from publicai_edge.convert import onnx_export

    report = onnx_export.run(
        Path(payload["source"]), Path(payload["out"]), EmbeddingSettings(**payload["settings"]), progress
    )
    return asdict(report)
