"""The memory of a ``ggml_tensor``, as the installed llama.cpp lays it out, for callbacks that are handed one.

llama-cpp-python declares no such structure, and the C interface has no getter for ``ne``, ``nb``, ``op`` or ``src``; so
the structure is declared here and belongs to one version of llama.cpp. Invariant: :func:`library` compares it with what
that library says of tensors it has made itself, before any address is read through it; a library that lays tensors out
differently is refused with an :class:`EngineError`, never misread.

Source: ggml-org/llama.cpp ``ggml/include/ggml.h``, ``struct ggml_tensor``.
"""

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any

from publicai_edge.errors import EngineError

TYPE_F32, TYPE_I32 = 0, 26
_OBJECT_BYTES = 32  # what ggml_tensor_overhead() counts beside the tensor itself
_SOURCES = 10


class Tensor(ctypes.Structure):
    """``struct ggml_tensor``: ``ne`` are sizes, innermost first; ``nb`` are strides in bytes."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("buffer", ctypes.c_void_p),
        ("ne", ctypes.c_int64 * 4),
        ("nb", ctypes.c_size_t * 4),
        ("op", ctypes.c_int),
        ("op_params", ctypes.c_int32 * 16),
        ("flags", ctypes.c_int32),
        ("src", ctypes.c_void_p * _SOURCES),
        ("view_src", ctypes.c_void_p),
        ("view_offs", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("name", ctypes.c_char * 64),
        ("extra", ctypes.c_void_p),
        ("padding", ctypes.c_char * 8),
    )


class _InitParams(ctypes.Structure):
    _fields_ = (("mem_size", ctypes.c_size_t), ("mem_buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool))


@dataclass(frozen=True)
class Ggml:
    """The functions of ggml a callback needs, and this build's numbers for the operations it looks for."""

    is_host: Any
    nbytes: Any
    get: Any
    mul_mat: int
    mul_mat_id: int


@cache
def ggml() -> Ggml:
    """Return ggml's functions, once its tensors are known to lie in memory as :class:`Tensor` says.

    Raises:
        EngineError: they do not.
    """
    from publicai_edge.engine.llama import build_id, library

    native = library()._lib
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    _declare(native, "ggml_backend_buffer_is_host", ctypes.c_bool, pointer)
    _declare(native, "ggml_backend_tensor_get", None, pointer, pointer, size, size)
    _declare(native, "ggml_nbytes", size, pointer)
    _declare(native, "ggml_tensor_overhead", size)
    found = native.ggml_tensor_overhead() - _OBJECT_BYTES
    if found != ctypes.sizeof(Tensor):
        raise _foreign(build_id(), f"a tensor has {found} bytes, expected {ctypes.sizeof(Tensor)}")
    operations = _compare(native, build_id())
    return Ggml(native.ggml_backend_buffer_is_host, native.ggml_nbytes, native.ggml_backend_tensor_get, *operations)


def _compare(native: Any, build: str) -> tuple[int, int]:
    """Make two products and read them both ways; return the numbers of MUL_MAT and MUL_MAT_ID."""
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    _declare(native, "ggml_init", pointer, _InitParams)
    _declare(native, "ggml_free", None, pointer)
    _declare(native, "ggml_new_tensor_3d", pointer, pointer, ctypes.c_int, number, number, number)
    _declare(native, "ggml_set_name", pointer, pointer, ctypes.c_char_p)
    _declare(native, "ggml_get_data", pointer, pointer)
    _declare(native, "ggml_mul_mat", pointer, pointer, pointer, pointer)
    _declare(native, "ggml_mul_mat_id", pointer, pointer, pointer, pointer, pointer)
    _declare(native, "ggml_op_desc", ctypes.c_char_p, pointer)
    context = native.ggml_init(_InitParams(1 << 16, None, False))
    try:
        weight = native.ggml_new_tensor_3d(context, TYPE_F32, 8, 5, 3)
        rows = native.ggml_new_tensor_3d(context, TYPE_F32, 8, 2, 7)
        ids = native.ggml_new_tensor_3d(context, TYPE_I32, 2, 7, 1)
        flat = native.ggml_new_tensor_3d(context, TYPE_F32, 8, 5, 1)
        native.ggml_set_name(weight, b"blk.0.weight")
        routed, plain = native.ggml_mul_mat_id(context, weight, rows, ids), native.ggml_mul_mat(context, flat, rows)
        seen, first = Tensor.from_address(routed), Tensor.from_address(weight)
        facts = {
            "name": first.name == b"blk.0.weight",
            "type": (first.type, Tensor.from_address(ids).type) == (TYPE_F32, TYPE_I32),
            "ne": tuple(first.ne) == (8, 5, 3, 1),
            "nb": tuple(first.nb) == (4, 32, 160, 480) and native.ggml_nbytes(weight) == 480,  # noqa: PLR2004
            "src": tuple(seen.src[:4]) == (weight, rows, ids, None),
            "data": first.data == native.ggml_get_data(weight),
            "op": (native.ggml_op_desc(routed), native.ggml_op_desc(plain)) == (b"MUL_MAT_ID", b"MUL_MAT")
            and seen.op != Tensor.from_address(plain).op
            and first.op == 0,
        }
        wrong = [name for name, holds in facts.items() if not holds]
        if wrong:
            raise _foreign(build, f"its fields {', '.join(wrong)} lie elsewhere")
        return Tensor.from_address(plain).op, seen.op
    finally:
        native.ggml_free(context)


def _declare(native: Any, name: str, result: Any, *arguments: Any) -> None:
    function = getattr(native, name)
    function.restype, function.argtypes = result, list(arguments)


def _foreign(build: str, why: str) -> EngineError:
    return EngineError(
        f"This engine ({build}) lays tensors out in memory in a way that this program does not know: {why}.",
        hint="Install the version of llama-cpp-python that publicai-edge pins: pip install --force-reinstall "
        "publicai-edge.",
    )
