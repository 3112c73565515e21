"""Models in several files, in llama.cpp's own form, so that it finds them by the first one's name.

The files are called ``NAME-00001-of-00003.gguf`` and so on. The first holds the model's whole metadata; each holds
whole tensors, and ``split.no`` (from 0), ``split.count`` and ``split.tensors.count`` (of all files together).

Source: ggml-org/llama.cpp, ``tools/gguf-split`` and ``src/llama-model-loader.cpp``.
"""

import os
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from publicai_edge.errors import ModelError
from publicai_edge.gguf import header as headers
from publicai_edge.gguf.header import MAGIC, TENSOR_TYPES, Header, Tensor
from publicai_edge.gguf.write import ALIGNMENT, text

NUMBER, COUNT, TENSORS = "split.no", "split.count", "split.tensors.count"
_NAME = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")
_MOST_PARTS = 999
_U16, _I32 = 2, 5
_VERSION = 3
_PIECE = 4 << 20
_MOST_PADDING = 1 << 10
_CODES = {name: code for code, (name, _, _) in TENSOR_TYPES.items()}


def part_name(stem: str, number: int, count: int) -> str:
    """Return the name of a part; ``number`` counts from 0."""
    return f"{stem}-{number + 1:05}-of-{count:05}.gguf"


def read(path: Path) -> Header:
    """Read the header of the model at ``path``; of a model in several files, named by the first, all headers as one.

    Raises:
        ModelError: a file is not GGUF, is truncated, claims what cannot be, is missing, or is a part of something
            else.
    """
    first = headers.read(path)
    count = first.metadata.get(COUNT, 1)
    if not isinstance(count, int) or count <= 1:
        return first
    match = _NAME.fullmatch(path.name)
    if match is None or first.metadata.get(NUMBER) != 0 or int(match[3]) != count or count > _MOST_PARTS:
        raise ModelError(
            f"{path} is part {first.metadata.get(NUMBER)} of {count} of a model in several files, and not "
            "called as the first of them is.",
            hint=f"Name the first one, like {part_name('model', 0, 3)}, and keep the names they were published with.",
            path=str(path),
        )
    parts = [path.with_name(part_name(match[1], number, count)) for number in range(1, count)]
    return _joined([first, *(_part(part, number, first) for number, part in enumerate(parts, 1))])


def _part(path: Path, number: int, first: Header) -> Header:
    """Read a later part, and see that it says of itself and of the whole what its name and the first part say.

    Two types of one model, cut at the same tensors, say the same of themselves: those only digests tell apart.
    """
    part = headers.read(path)
    if part.metadata.get(NUMBER) != number:
        raise ModelError(
            f"{path} says that it is part {part.metadata.get(NUMBER)} of its model, and its name says {number}.",
            hint="Fetch the model's files again, and keep the names they were published with.",
            path=str(path),
        )
    for key, what in ((COUNT, "files"), (TENSORS, "tensors")):
        said, expected = part.metadata.get(key), first.metadata.get(key)
        if said != expected:
            raise ModelError(
                f"{path} is of a model of {said} {what}, and {first.path.name} of one of {expected}.",
                hint="They are of different models. Fetch all of the model's files again.",
                path=str(path),
            )
    return part


def _joined(found: Sequence[Header]) -> Header:
    first = found[0]
    tensors = tuple(tensor for part in found for tensor in part.tensors)
    if first.metadata.get(TENSORS) != len(tensors):
        raise ModelError(
            f"The files of {first.path} hold {len(tensors)} tensors, and the first says {first.metadata.get(TENSORS)}.",
            hint="Fetch all of the model's files again: they are of different ones.",
            path=str(first.path),
        )
    holder: dict[str, Path] = {}
    for part in found:
        for tensor in part.tensors:
            if (other := holder.setdefault(tensor.name, part.path)) != part.path:
                raise ModelError(
                    f"{other} and {part.path.name} both hold the tensor {tensor.name}.",
                    hint="They are of different models. Fetch all of the model's files again.",
                    path=str(part.path),
                )
    size = sum(part.size for part in found)
    return replace(first, tensors=tensors, size=size, files=tuple(part.path for part in found))


@dataclass(frozen=True)
class _Piece:
    """A tensor and the bytes of its data in the file it comes from."""

    tensor: Tensor
    size: int


def write(source: Path, target: Path, most: int, advance: Callable[[int], None]) -> list[Path]:
    """Write the model ``source`` as files of at most ``most`` bytes beside ``target``, whose stem begins their names.

    Tensors keep their order and are copied in pieces of 4 MiB; the model is never held in memory.

    Raises:
        ModelError: a tensor, or the metadata, is larger than ``most``; or it would take more than 999 files.
    """
    header = headers.read(source)
    with source.open("rb") as reader:
        metadata, keys = _metadata(reader, source)
        parts = _divide(header, _pieces(header), most, len(metadata))
        if len(parts) > _MOST_PARTS:
            raise ModelError(
                f"{source} would take {len(parts)} files of {most:,} bytes.", hint="Raise model.max_file_mb."
            )
        made = []
        for number, pieces in enumerate(parts):
            place = target.with_name(part_name(target.stem, number, len(parts)))
            own = (metadata, keys) if number == 0 else (b"", 0)
            _write_part(reader, place, header, pieces, own, (number, len(parts)), advance)
            made.append(place)
    return made


def _metadata(reader: BinaryIO, source: Path) -> tuple[bytes, int]:
    """Return the entries of the metadata as they lie in the file, without those of a split, and their number."""
    kept = [span for key, span in headers.spans(source).items() if key not in {NUMBER, COUNT, TENSORS}]
    entries = []
    for span in kept:
        reader.seek(span.start)
        entries.append(reader.read(span.end - span.start))
    return b"".join(entries), len(kept)


def _pieces(header: Header) -> list[_Piece]:
    """Return the tensors by their place in the file, each with its size; of an unknown type, up to the next one."""
    ordered = sorted(header.tensors, key=lambda tensor: tensor.offset)
    ends = [tensor.offset for tensor in ordered[1:]] + [header.size - header.data_start]
    known = {name: (block, size) for name, block, size in TENSOR_TYPES.values()}
    found = []
    for tensor, end in zip(ordered, ends, strict=True):
        block, size = known.get(tensor.type, (0, 0))
        found.append(_Piece(tensor, tensor.weights // block * size if block else end - tensor.offset))
    return found


def _divide(header: Header, pieces: Sequence[_Piece], most: int, metadata: int) -> list[list[_Piece]]:
    """Lay tensors into files one after the other, each as full as may be."""
    parts: list[list[_Piece]] = [[]]
    align = _alignment(header)
    size = _head_size(metadata)
    for piece in pieces:
        own = len(_tensor_header(piece.tensor, 0)) + _up(piece.size, align)
        if size + own > most and parts[-1]:
            parts.append([])
            size = _head_size(0)
        if size + own > most:
            raise ModelError(
                f"{header.path} cannot be split into files of {most:,} bytes: {piece.tensor.name} alone takes "
                f"{piece.size:,}, with the metadata {size + own:,}.",
                hint=f"Set model.max_file_mb to {-(-(size + own) // 10**6)} or more.",
                path=str(header.path),
            )
        parts[-1].append(piece)
        size += own
    return parts


def _head_size(metadata: int) -> int:
    """Return the most that a file's head takes without its tensors' headers, in bytes."""
    return 24 + metadata + len(_split_entries(0, 0, 0)) + _MOST_PADDING


def _split_entries(number: int, count: int, tensors: int) -> bytes:
    return (
        text(NUMBER)
        + struct.pack("<IH", _U16, number)
        + text(COUNT)
        + struct.pack("<IH", _U16, count)
        + text(TENSORS)
        + struct.pack("<Ii", _I32, tensors)
    )


def _tensor_header(tensor: Tensor, offset: int) -> bytes:
    known = _CODES.get(tensor.type)
    code = int(tensor.type.removeprefix("type ")) if known is None else known
    sizes = tensor.dimensions
    return text(tensor.name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, code, offset)


def _write_part(
    reader: BinaryIO,
    place: Path,
    header: Header,
    pieces: Sequence[_Piece],
    metadata: tuple[bytes, int],
    which: tuple[int, int],
    advance: Callable[[int], None],
) -> None:
    """Write one file. The alignment that the model names, where it names one, is the first file's alone."""
    align = _alignment(header) if which[0] == 0 else ALIGNMENT
    heads, offset = [], 0
    for piece in pieces:
        heads.append(_tensor_header(piece.tensor, offset))
        offset += _up(piece.size, align)
    entries, keys = metadata
    head = struct.pack("<4sIQQ", MAGIC, _VERSION, len(pieces), keys + 3)
    head += entries + _split_entries(*which, len(header.tensors)) + b"".join(heads)
    with place.open("wb") as writer:
        writer.write(head.ljust(_up(len(head), align), b"\0"))
        for piece in pieces:
            reader.seek(header.data_start + piece.tensor.offset)
            _copy(reader, writer, piece.size, advance, header.path)
            writer.write(b"\0" * (_up(piece.size, align) - piece.size))
        writer.flush()
        os.fsync(writer.fileno())


def _alignment(header: Header) -> int:
    return int(header.metadata.get("general.alignment", ALIGNMENT))


def _up(size: int, align: int) -> int:
    return -(-size // align) * align


def _copy(reader: BinaryIO, writer: BinaryIO, left: int, advance: Callable[[int], None], source: Path) -> None:
    while left:
        if not (piece := reader.read(min(left, _PIECE))):
            raise ModelError(f"{source} was changed while it was split: it ends too early.", path=str(source))
        writer.write(piece)
        left -= len(piece)
        advance(len(piece))
