"""What this project changes in llama.cpp's converter while it runs: it holds less at once, and tells how far it is.

Its results stay the same byte for byte. The places are looked up by name; in a version that lacks one, nothing changes
there.
"""

import math
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

from publicai_edge.convert.gguf import memory
from publicai_edge.progress import Task

_LARGE_BYTES = 8 << 20
_CHUNK_BYTES = 4 << 20
_DIMENSIONS = 2


def apply(conversion: Any, gguf: Any, task: Task) -> None:
    """Change the converter's classes in this process; ``task`` is told how many bytes there will be."""
    _wrap(gguf.GGUFWriter, "write_tensors_to_file", partial(_write, task))
    _wrap(getattr(gguf, "LlamaHfVocab", None), "__init__", _load_vocabulary)
    if hasattr(gguf, "LazyChunkedTensor"):
        _wrap(conversion.LazyTorchTensor, "numpy", partial(_in_chunks, gguf))


def _wrap(owner: Any, name: str, change: Callable[..., Any]) -> None:
    original = getattr(owner, name, None)
    if original is None:
        return

    def changed(self: Any, *arguments: Any, **options: Any) -> Any:
        return change(original, self, *arguments, **options)

    setattr(owner, name, changed)


def _write(task: Task, original: Any, writer: Any, **_progress: Any) -> None:
    task.set_total(sum(tensor.nbytes for part in writer.tensors for tensor in part.values()))
    memory.give_back()  # the tokenizer is done with
    original(writer)


def _load_vocabulary(original: Any, vocabulary: Any, *arguments: Any, **options: Any) -> None:
    """Let go of what was parsed when this way fails, as it does for most Llamas.

    The next way runs inside the handler of this error, whose frames would hold all of ``tokenizer.json``.
    """
    try:
        original(vocabulary, *arguments, **options)
    except Exception as error:
        traceback.clear_frames(error.__traceback__)
        memory.give_back()
        raise


def _in_chunks(gguf: Any, original: Any, tensor: Any) -> Any:
    """Turn a large matrix that is written as it is stored into one that is written some rows at a time.

    An embedding of BF16 is otherwise held in 16 bits, in 32, and in 16 again. A matrix that the architecture changes in
    any way is left alone.
    """
    stored = _stored(tensor)
    if stored is None or len(stored.shape) != _DIMENSIONS or stored.data_range.size < _LARGE_BYTES:
        return original(tensor)
    rows = stored.shape[0]
    row_bytes = stored.data_range.size // rows
    step = max(1, _CHUNK_BYTES // row_bytes)
    chunks = [partial(_load, type(tensor), tensor.dtype, _rows(stored, start, min(rows, start + step)))
              for start in range(0, rows, step)]  # fmt: skip
    return gguf.LazyChunkedTensor(chunks, tuple(stored.shape), original(tensor).dtype)


def _stored(tensor: Any) -> Any:
    """Return the place in a file that a lazy tensor stands for, where it is read as it is or only widened; else None.

    A node of the converter's graph holds the arguments of its operation. That of a leaf is the place in the file; that
    of a cast is a leaf and a type. Nothing else has a type alone as its argument and keeps the shape.
    """
    import torch

    arguments = tuple(getattr(tensor, "_args", ()))
    if len(arguments) == 2 and arguments[1] is torch.float32 and not tensor._kwargs:  # noqa: PLR2004
        leaf = arguments[0]
        same = getattr(leaf, "shape", None) == tensor.shape
        return _stored(leaf) if same and getattr(leaf, "dtype", None) is torch.bfloat16 else None
    if len(arguments) == 1 and hasattr(arguments[0], "mmap_bytes"):
        place = arguments[0]
        return place if tuple(place.shape) == tuple(tensor.shape) and math.prod(place.shape) else None
    return None


def _rows(stored: Any, start: int, stop: int) -> Any:
    row_bytes = stored.data_range.size // stored.shape[0]
    place = type(stored.data_range)(
        stored.data_range.filename, stored.data_range.offset + start * row_bytes, (stop - start) * row_bytes
    )
    return type(stored)(stored.dtype, (stop - start, *stored.shape[1:]), place)


def _load(lazy: Any, dtype: Any, part: Any) -> Any:
    return lazy.to_eager(lazy.from_local_tensor(part)).to(dtype).numpy()
