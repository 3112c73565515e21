"""GGUF to GGUF through ``llama_model_quantize``, with or without an importance matrix.

Invariants: the source is never written to; the result appears under its name only when it is whole; a model that is
already quantized is refused unless the caller says so, because quantizing twice loses more than the type's name tells;
a weight whose type was named has that type in the result; what a model was calibrated on stays in its metadata.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from publicai_edge import atomic, child, digest, gguf
from publicai_edge.errors import ModelError
from publicai_edge.progress import Progress
from publicai_edge.quantize import imatrix_file, provenance
from publicai_edge.quantize.imatrix_file import Imatrix
from publicai_edge.quantize.types import check_tensor_types, check_type, types

_NATIVE = "publicai_edge.quantize.native"
_LONGEST = 127  # bytes of a text that llama.cpp's quantizer can add


@dataclass(frozen=True)
class Quantized:
    """What a quantization did: types by name, bytes before and after, peak resident bytes, seconds."""

    before: str
    after: str
    bytes_before: int
    bytes_after: int
    peak_rss_bytes: int
    seconds: float


def quantize(
    source: Path,
    target: Path,
    type_name: str,
    *,
    allow_requantize: bool,
    progress: Progress,
    imatrix: Path | None = None,
    tensor_types: Mapping[str, str] | None = None,
) -> Quantized:
    """Quantize ``source`` to ``target``.

    Args:
        source: a GGUF file.
        target: where the result goes; replaced if it exists, refused if it is one of the files that are read.
        type_name: a type of :func:`types`.
        allow_requantize: take a source that is already quantized.
        progress: shows how much is written.
        imatrix: an importance matrix of the same model (llama.cpp's GGUF form, ours or another tool's).
        tensor_types: types of single weights, such as ``{"blk.0.attn_v.weight": "Q8_0"}``. llama.cpp counts layers
            without them when it picks the others' types, so name all weights of a kind or none
            (:func:`publicai_edge.quantize.predict.plan` tells what it would pick).

    Raises:
        RecipeError: an unknown type, or one that needs an importance matrix; a weight that is not there; a target
            that is the source.
        ModelError: the source or the matrix is broken, they do not belong together, or the source is already
            quantized and that is not allowed.
        HostError: no room for the result, or no permission.
    """
    atomic.check_target(target, source, *([imatrix] if imatrix else []))
    wanted = check_type(type_name, imatrix=imatrix is not None)
    header = gguf.read(source)
    if header.is_quantized and not allow_requantize:
        raise ModelError(
            f"{source} is already quantized ({header.quantization}); quantizing it again to {wanted} adds the "
            "second loss to the first.",
            hint="Start from the F16 or BF16 original, or say --allow-requantize (in a recipe: "
            "quantize.allow_requantize = true).",
            found=header.quantization,
        )
    chosen = check_tensor_types(header, tensor_types or {}, imatrix=imatrix is not None)
    told = Provenance.of(header, imatrix)
    size = source.stat().st_size
    atomic.require_space(target.parent, size, f"Quantizing {source.name}")
    with atomic.host_errors("write", target), atomic.temporary_folder(target.parent) as folder:
        temporary = folder / "model.gguf"
        payload = {
            "source": str(source),
            "target": str(temporary),
            "type": types(imatrix=True)[wanted],
            "label": f"Quantizing to {wanted}",
            "allow_requantize": allow_requantize,
            "imatrix": str(imatrix) if imatrix else None,
            "describe": told.entries,
            "tensor_types": chosen,
        }
        result = child.run(f"{_NATIVE}:run", payload, what=f"quantize {source}", progress=progress)
        provenance.fill(temporary, told.documents, told.languages)
        made = gguf.read(temporary)
        _check_choice(made, chosen)
        atomic.fsync_path(temporary)
        temporary.replace(target)
    return Quantized(
        before=header.quantization,
        after=made.quantization,
        bytes_before=size,
        bytes_after=target.stat().st_size,
        peak_rss_bytes=result.peak_rss_bytes,
        seconds=result.seconds,
    )


@dataclass(frozen=True)
class Provenance:
    """What the result will say of its calibration: ``entries`` are metadata the quantizer adds, placeholders last."""

    documents: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    entries: tuple[tuple[str, Any], ...] = ()

    @staticmethod
    def of(header: gguf.Header, path: Path | None) -> "Provenance":
        """Return it for a source and the importance matrix at ``path``, if there is one.

        llama-quantize's own keys are used where it has them; the file is told by its digest, not by its place.

        Raises:
            ModelError: the matrix is broken, or does not belong to the model.
        """
        if path is None:
            return Provenance()
        imatrix = imatrix_file.read(path)
        _check_same_model(header, path, imatrix)
        before = gguf.strings(header.path, provenance.DOCUMENTS), gguf.strings(header.path, provenance.LANGUAGES)
        documents = tuple(sorted({*before[0], *imatrix.documents}))
        languages = tuple(dict.fromkeys((*before[1], *imatrix.languages)))
        entries: list[tuple[str, Any]] = [("quantize.imatrix.file", f"sha256:{digest.of_file(path)}")]
        if imatrix.datasets:
            name = imatrix.datasets[0].replace("\\", "/").rsplit("/", 1)[-1]
            entries.append(("quantize.imatrix.dataset", name.encode()[:_LONGEST].decode("utf-8", "ignore")))
        entries.append(("quantize.imatrix.entries_count", len(imatrix.entries)))
        if imatrix.chunks:
            entries.append(("quantize.imatrix.chunks_count", imatrix.chunks))
        return Provenance(documents, languages, (*entries, *provenance.placeholders(documents, languages)))


def _check_same_model(header: gguf.Header, path: Path, imatrix: Imatrix) -> None:
    """See that the matrix was collected on a model of this shape."""
    tensors = {tensor.name: tensor for tensor in header.tensors}
    known = imatrix.entries.keys() & tensors.keys()
    hint = f"Collect one on this model: publicai-edge imatrix {header.path} OUT --texts PATH"
    if not known:
        raise ModelError(
            f"The importance matrix {path} knows none of the {len(tensors):,} weights of {header.path}.", hint=hint
        )
    for name in sorted(known):
        columns, *others = tensors[name].dimensions
        expected = columns * (others[1] if len(others) > 1 else 1)
        found = imatrix.entries[name].sums.size
        if found != expected:
            raise ModelError(
                f"The importance matrix {path} belongs to another model: {name} has {found:,} columns in it, and "
                f"{expected:,} in {header.path}.",
                hint=hint,
            )


def _check_choice(made: gguf.Header, chosen: Mapping[str, str]) -> None:
    types_made = {tensor.name: tensor.type for tensor in made.tensors}
    for name, wanted in chosen.items():
        if types_made[name] != wanted:
            raise ModelError(
                f"llama.cpp left {name} as {types_made[name]}, and would not make it {wanted}.",
                hint="It quantizes no norms, biases and small weights: leave that weight out of the tensor types.",
            )
