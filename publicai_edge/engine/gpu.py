"""Graphics processors: which there are, and how much of a model fits their free memory.

What fits is put there, and the rest stays with the processor; so does everything without one, or with a build of
llama.cpp that knows none. All but :func:`gpus` and :func:`offer` are pure functions.
"""

import bisect
import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from publicai_edge import child, gguf
from publicai_edge.engine.fit import compute_bytes, kv_bytes_per_cell, layer_sizes
from publicai_edge.progress import Progress, Silent

_DRIVER_BYTES = 512 << 20  # CUDA's context and its libraries' work space take some hundred MiB once they are used
_GPU, _INTEGRATED = 1, 2  # ggml_backend_dev_type, in ggml/include/ggml-backend.h


@dataclass(frozen=True)
class Gpu:
    """A graphics processor that llama.cpp can use; sizes in bytes. An integrated one has the machine's memory."""

    name: str
    free: int
    total: int
    integrated: bool = False


def layers_on_gpu(
    free_bytes: Sequence[int],
    layers: int,
    bytes_per_layer: int,
    kv_bytes_per_layer: int,
    overhead: int,
    output_bytes: int = 0,
) -> int:
    """Return how many layers fit on graphics processors, as llama.cpp's ``n_gpu_layers`` counts: 0 to ``layers`` + 1.

    It counts from the end: the output first, then the layers from the last on. So the part that fits is put there, and
    the rest stays with the processor. Several graphics processors share that part by their free memory, in their
    order; a very small one can hold the others back.

    Args:
        free_bytes: of each graphics processor.
        layers: how many the model has.
        bytes_per_layer: weights of the largest one.
        kv_bytes_per_layer: a layer's share of the KV cache.
        overhead: what each graphics processor is used for besides: buffers, the driver's own.
        output_bytes: weights of the output.

    Source: ``llama_model::load_tensors`` in ``src/llama-model.cpp`` of llama.cpp.
    """
    rooms = [free - overhead for free in free_bytes]
    for count in range(layers + 1, 1, -1):  # the output alone is not worth the way there and back
        sizes = [bytes_per_layer + kv_bytes_per_layer] * (count - 1) + [output_bytes]
        if _shared_out(sizes, free_bytes, rooms):
            return count
    return 0


def _shared_out(sizes: Sequence[int], free_bytes: Sequence[int], rooms: Sequence[int]) -> bool:
    """Say whether every graphics processor has room for the part that llama.cpp gives it."""
    total = sum(free_bytes)
    if not total:
        return False
    ends = [sum(free_bytes[: index + 1]) / total for index in range(len(free_bytes))]
    left = list(rooms)
    for index, size in enumerate(sizes):
        chosen = min(bisect.bisect_right(ends, index / len(sizes)), len(left) - 1)
        left[chosen] -= size
    return all(room >= 0 for room in left)


def gpu_plan(
    header: gguf.Header, devices: Sequence[Gpu], *, cells: int, kv_type: str = "f16", batch: int = 512, outputs: int = 1
) -> int:
    """Return the ``n_gpu_layers`` for a model on these devices: everything if it fits, a part, or 0."""
    sizes = layer_sizes(header)
    if not devices or not sizes.layers:
        return 0
    cache = -(-cells * kv_bytes_per_cell(header, kv_type) // len(sizes.layers))
    overhead = compute_bytes(header, cells, batch, outputs) + _DRIVER_BYTES
    free = [device.free for device in devices]
    return layers_on_gpu(free, len(sizes.layers), max(sizes.layers), cache, overhead, sizes.output)


@dataclass(frozen=True)
class Offer:
    """What there is for layers of a model.

    Attributes:
        supported: whether this llama.cpp was built for graphics processors at all.
        names: those that it can use.
    """

    supported: bool
    names: tuple[str, ...]


def offer() -> Offer:
    """Return what there is, looked at in a child process: the drivers take memory in whoever asks them.

    Raises:
        EngineError: llama.cpp cannot be loaded.
    """
    found = child.run(f"{__name__}:_offer", {}, what="look for graphics processors", progress=Silent()).value
    return Offer(found["supported"], tuple(found["names"]))


def _offer(_payload: dict[str, Any], _progress: Progress) -> dict[str, Any]:
    native = _ggml()
    native.llama_supports_gpu_offload.restype = ctypes.c_bool
    supported = bool(native.llama_supports_gpu_offload())
    return {"supported": supported, "names": [found.name for found in gpus(native)]}


def in_vain(asked: int, engine: Literal["llama", "onnx"], there: Offer) -> str | None:
    """Return why layers that somebody wants on graphics processors stay with the processor; None where they do not."""
    if not asked or (engine == "llama" and there.names):
        return None
    wanted = f"{asked} layer{'s' if asked > 1 else ''} on a graphics processor"
    if engine == "onnx":
        why = "the model is in ONNX, and ONNX Runtime has only the processor here"
    elif there.supported:
        why = "llama.cpp finds none on this machine; its driver may be missing"
    else:
        why = "this llama.cpp was built without support for any (llama-cpp-python is built anew for that)"
    return f"Asked for: {wanted}. But {why}. So all of it runs on the processor, as without --gpu-layers."


def gpus(native: Any = None) -> tuple[Gpu, ...]:
    """Return the graphics processors that this llama.cpp can use; none on a machine, or with a build, without.

    Integrated ones count only where there is no other, as llama.cpp itself chooses.

    Args:
        native: llama.cpp's library handle; by default the one that is loaded.
    """
    native = native or _ggml()
    found = []
    for index in range(native.ggml_backend_dev_count()):
        device = native.ggml_backend_dev_get(index)
        kind = native.ggml_backend_dev_type(device)
        if kind not in {_GPU, _INTEGRATED}:
            continue
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        native.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(total))
        name = native.ggml_backend_dev_description(device) or b""
        found.append(Gpu(name.decode("utf-8", "replace"), free.value, total.value, kind == _INTEGRATED))
    own = [gpu for gpu in found if not gpu.integrated]
    return tuple(own or found)


def _ggml() -> Any:
    from publicai_edge.engine.llama import library

    native = library()._lib
    device, size = ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t)
    native.ggml_backend_dev_count.restype, native.ggml_backend_dev_count.argtypes = ctypes.c_size_t, []
    native.ggml_backend_dev_get.restype, native.ggml_backend_dev_get.argtypes = device, [ctypes.c_size_t]
    native.ggml_backend_dev_type.restype, native.ggml_backend_dev_type.argtypes = ctypes.c_int, [device]
    native.ggml_backend_dev_memory.restype, native.ggml_backend_dev_memory.argtypes = None, [device, size, size]
    native.ggml_backend_dev_description.restype = ctypes.c_char_p
    native.ggml_backend_dev_description.argtypes = [device]
    return native
