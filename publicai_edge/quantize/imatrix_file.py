"""Importance matrices as files: llama.cpp's own GGUF form, read and written.

For each weight the file holds ``NAME.in_sum2``, squares of the activations summed over the tokens, and ``NAME.counts``,
how many tokens; one row for each expert. Beside llama.cpp's keys a file of ours names the documents it was collected
on, by SHA-256, and their languages; llama.cpp's tools read such a file and leave those keys alone.

Invariants: a file is read within bounds that its own size sets, and every number in it is finite and not negative, or
it is refused with a :class:`ModelError`; equal contents give equal bytes.

Source: ggml-org/llama.cpp ``tools/imatrix`` and ``common/imatrix-loader.cpp``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from publicai_edge import atomic, gguf
from publicai_edge.errors import ModelError
from publicai_edge.gguf import write as gguf_bytes
from publicai_edge.quantize.provenance import DOCUMENTS, LANGUAGES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_DATASETS, _CHUNKS, _CHUNK_SIZE = "imatrix.datasets", "imatrix.chunk_count", "imatrix.chunk_size"
_SUMS, _COUNTS = ".in_sum2", ".counts"
_FLOAT_BYTES = 4


@dataclass(frozen=True)
class Entry:
    """What one weight saw: ``sums`` float32 (matrices, columns), ``counts`` float32 (1,) or (experts,)."""

    sums: "NDArray[np.float32]"
    counts: "NDArray[np.float32]"

    def means(self) -> "NDArray[np.float32]":
        """Return the mean squared activation of each column, flat, as llama-quantize computes it.

        An expert that no token reached gets 1 in every column: all its weights count the same.
        """
        import numpy as np

        rows = self.sums.reshape(len(self.counts), -1)
        seen = self.counts[:, None] > 0
        means = np.divide(rows, self.counts[:, None], out=np.ones_like(rows), where=seen)
        return means.ravel()


@dataclass(frozen=True)
class Imatrix:
    """An importance matrix.

    Attributes:
        entries: by weight.
        datasets: names of the texts.
        chunks: how many chunks of text were evaluated.
        chunk_size: tokens in a chunk, at most.
        documents: SHA-256 of every document it was collected on; empty in other tools' files.
        languages: their languages.
    """

    entries: Mapping[str, Entry] = field(repr=False)
    datasets: tuple[str, ...]
    chunks: int
    chunk_size: int
    documents: tuple[str, ...] = field(default=(), repr=False)
    languages: tuple[str, ...] = ()


def write(path: Path, imatrix: Imatrix) -> None:
    """Write the file, atomically; weights in the order of their names.

    Raises:
        HostError: the file cannot be written.
    """
    entries = [
        gguf_bytes.entry("general.type", "imatrix"),
        gguf_bytes.entry(_DATASETS, imatrix.datasets),
        gguf_bytes.entry(_CHUNKS, imatrix.chunks),
        gguf_bytes.entry(_CHUNK_SIZE, imatrix.chunk_size),
        gguf_bytes.entry(DOCUMENTS, imatrix.documents),
        gguf_bytes.entry(LANGUAGES, imatrix.languages),
    ]
    tensors = []
    for name in sorted(imatrix.entries):
        found = imatrix.entries[name]
        sums, counts = found.sums.astype("<f4"), found.counts.astype("<f4")
        rows = len(counts)
        tensors += [
            (name + _SUMS, (sums.size // rows, rows), "F32", sums.tobytes()),
            (name + _COUNTS, (1, rows), "F32", counts.tobytes()),
        ]
    atomic.write_bytes(path, gguf_bytes.file(entries, tensors))


def read(path: Path) -> Imatrix:
    """Read the file.

    Raises:
        ModelError: it is not an importance matrix in GGUF form, is cut short, or holds what cannot be.
    """
    _refuse_legacy(path)
    header = gguf.read(path)
    chunks, size = header.metadata.get(_CHUNKS), header.metadata.get(_CHUNK_SIZE)
    if not (isinstance(chunks, int) and isinstance(size, int) and _DATASETS in header.metadata):
        kind = header.metadata.get("general.type", header.architecture or "unknown")
        raise ModelError(
            f"{path} is a GGUF file of kind {str(kind)[:80]!r}, not an importance matrix: {_CHUNKS} is not in it.",
            hint="Make one with `publicai-edge imatrix MODEL OUT --texts PATH`.",
            path=str(path),
        )
    tensors = _by_name(path, header)
    names = sorted({name.removesuffix(_SUMS).removesuffix(_COUNTS) for name in tensors})
    if not names:
        raise _broken(path, "it holds no weights")
    with path.open("rb") as stream:

        def values(tensor: gguf.Tensor) -> "NDArray[np.float32]":
            import numpy as np

            stream.seek(header.data_start + tensor.offset)
            found = np.frombuffer(stream.read(tensor.weights * _FLOAT_BYTES), "<f4")
            if not (np.isfinite(found).all() and (found >= 0).all()):
                raise _broken(path, f"{tensor.name} holds numbers that are not finite, or below 0")
            return found

        entries = {name: _entry(path, name, tensors, values) for name in names}
    return Imatrix(
        entries,
        gguf.strings(path, _DATASETS),
        chunks,
        size,
        gguf.strings(path, DOCUMENTS),
        gguf.strings(path, LANGUAGES),
    )


def _entry(
    path: Path,
    name: str,
    tensors: Mapping[str, gguf.Tensor],
    values: "Callable[[gguf.Tensor], NDArray[np.float32]]",
) -> Entry:
    sums, counts = tensors.get(name + _SUMS), tensors.get(name + _COUNTS)
    if sums is None or counts is None:
        raise _broken(path, f"{name} has only one of {_SUMS} and {_COUNTS}")
    if not counts.weights or not sums.weights or sums.weights % counts.weights:
        raise _broken(path, f"{name} has {sums.weights:,} sums for {counts.weights:,} counts")
    return Entry(values(sums).reshape(counts.weights, -1), values(counts))


def _by_name(path: Path, header: gguf.Header) -> dict[str, gguf.Tensor]:
    """Return the tensors that are part of the matrix, checked to need no more memory than the file has bytes."""
    found: dict[str, gguf.Tensor] = {}
    room = path.stat().st_size
    for tensor in header.tensors:
        if not tensor.name.endswith((_SUMS, _COUNTS)):
            continue
        room -= tensor.weights * _FLOAT_BYTES
        if tensor.type != "F32" or tensor.name in found or room < 0:
            raise _broken(path, f"tensor {tensor.name[:80]!r} is of type {tensor.type}, there twice, or too large")
        found[tensor.name] = tensor
    return found


def _refuse_legacy(path: Path) -> None:
    """Say so when a file is llama.cpp's older form (``.dat``), which names no format of its own."""
    with atomic.host_errors("read", path):
        if not path.is_file():
            raise ModelError(f"There is no importance matrix at {path}.", hint="Check the path.")
        with path.open("rb") as stream:
            magic = stream.read(len(gguf.MAGIC))
    if magic != gguf.MAGIC:
        raise ModelError(
            f"{path} is not a GGUF file; importance matrices in llama.cpp's older form (.dat) are not read.",
            hint="Convert it with llama.cpp: llama-imatrix --in-file OLD.dat -o NEW.gguf",
            path=str(path),
        )


def _broken(path: Path, why: str) -> ModelError:
    return ModelError(
        f"{path} is not a whole importance matrix: {why}.",
        hint="Fetch it again, or make one with `publicai-edge imatrix MODEL OUT --texts PATH`.",
        path=str(path),
    )
