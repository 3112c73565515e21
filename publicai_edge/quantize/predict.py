"""What a quantization would give, without doing it: the type of every weight, the size of the file.

The types come from llama.cpp's dry run; the size follows from them, byte for byte, by the rules of GGUF.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from publicai_edge import child, gguf
from publicai_edge.errors import EngineError
from publicai_edge.gguf import write as gguf_bytes
from publicai_edge.progress import Progress, Silent
from publicai_edge.quantize import native
from publicai_edge.quantize.stage import Provenance
from publicai_edge.quantize.types import check_tensor_types, check_type, types

_FIXED = 24  # bytes before the metadata
_ALWAYS = {"general.quantization_version": 0, "general.file_type": 0}  # uint32, written by the quantizer
_DROPPED = ("split.no", "split.count", "split.tensors.count")


@dataclass(frozen=True)
class Plan:
    """What a type would give: ``bytes`` of the file, the type of each weight by name."""

    type: str
    bytes: int
    tensor_types: Mapping[str, str] = field(repr=False)


def plan(
    source: Path,
    type_names: Sequence[str],
    *,
    imatrix: Path | bool = False,
    tensor_types: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> dict[str, Plan]:
    """Return what each type would give, by its exact name.

    Args:
        source: a GGUF file, quantized or not.
        type_names: types of :func:`publicai_edge.quantize.types`.
        imatrix: an importance matrix; or True: there will be one, whose description is not counted in the size.
        tensor_types: types of single weights.
        progress: where the child reports.

    Raises:
        RecipeError, ModelError: as :func:`publicai_edge.quantize.quantize`.
    """
    header = gguf.read(source)
    wanted = [check_type(name, imatrix=bool(imatrix)) for name in type_names]
    chosen = check_tensor_types(header, tensor_types or {}, imatrix=bool(imatrix))
    codes = types(imatrix=True)
    payload = {
        "source": str(source),
        "types": [codes[name] for name in wanted],
        "imatrix": bool(imatrix),
        "tensor_types": chosen,
    }
    result = child.run(f"{native.__name__}:plan", payload, what=f"plan for {source}", progress=progress or Silent())
    told = Provenance.of(header, imatrix if isinstance(imatrix, Path) else None)
    return {
        name: Plan(name, _file_size(header, found, told), found)
        for name, found in zip(wanted, result.value, strict=True)
    }


def predict_size(
    source: Path,
    type_name: str,
    *,
    imatrix: Path | bool = False,
    tensor_types: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> int:
    """Return the bytes of the file that :func:`publicai_edge.quantize.quantize` would write; see :func:`plan`."""
    found = plan(source, [type_name], imatrix=imatrix, tensor_types=tensor_types, progress=progress)
    return next(iter(found.values())).bytes


def _file_size(header: gguf.Header, tensor_types: Mapping[str, str], told: Provenance) -> int:
    if tensor_types.keys() != {tensor.name for tensor in header.tensors}:
        raise EngineError(f"llama.cpp's dry run told {len(tensor_types)} of {len(header.tensors)} weights.")
    replaced = {*_ALWAYS, *_DROPPED, *(key for key, _ in told.entries)}
    kept = sum(span.end - span.start for key, span in gguf.spans(header.path).items() if key not in replaced)
    added = sum(len(gguf_bytes.entry(key, value)) for key, value in (*_ALWAYS.items(), *told.entries))
    headers = sum(len(gguf_bytes.tensor_header(t.name, t.dimensions, "F32", 0)) for t in header.tensors)
    blocks = {name: (block, size) for name, block, size in gguf.TENSOR_TYPES.values()}
    data = 0
    for tensor in header.tensors:
        block, size = blocks[tensor_types[tensor.name]]
        data += gguf_bytes.padded(tensor.weights // block * size)
    return gguf_bytes.padded(_FIXED + kept + added + headers) + data
