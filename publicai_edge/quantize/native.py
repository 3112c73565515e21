"""The call of llama.cpp's quantizer, in a child process made for it.

Memory: llama.cpp maps the source and writes each tensor as it goes; ``max_buf_size`` bounds the rows it holds, and the
pages it has read are given back while it runs (:func:`.host.release_mapped`), so the peak does not grow with the model.

Invariant: what ctypes hands to llama.cpp stays referenced until the call returns (:class:`Parameters` keeps it).
"""

import ctypes
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from publicai_edge.errors import EngineError
from publicai_edge.gguf import TENSOR_TYPES
from publicai_edge.host import release_mapped, usable_cores
from publicai_edge.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BUFFER_BYTES = 64 << 20
_POLL_SECONDS = 0.05
_CODES = {name: code for code, (name, _, _) in TENSOR_TYPES.items()}
# What llama.cpp logs of a tensor, in two pieces; the second names a type only where it changes.
_TENSOR = re.compile(r"^\[ *\d+/ *\d+\] (\S+) +- \[.*\], type = +(\S+), $")
_SIZE = re.compile(r"^size = .*MiB(?: \((\w+)\))?$")


class Parameters:
    """``llama_model_quantize_params``, and everything it points to."""

    def __init__(self, type_code: int, *, allow_requantize: bool = False) -> None:
        from publicai_edge.engine.llama import library

        self._llama = llama_cpp = library()
        self._keep: list[Any] = []
        self.native = llama_cpp.llama_model_quantize_default_params()
        self.native.nthread = usable_cores()
        self.native.ftype = type_code
        self.native.allow_requantize = allow_requantize
        self.native.max_buf_size = _BUFFER_BYTES

    def weigh(self, means: Mapping[str, "NDArray[np.float32]"]) -> None:
        """Give an importance matrix: a mean squared activation for each column, by weight."""
        kind = self._llama.llama_model_imatrix_data
        array = (kind * (len(means) + 1))()
        for place, (name, values) in enumerate(means.items()):
            pointer = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            array[place] = kind(name.encode(), pointer, values.size)
        self._keep += [array, means]
        self.native.imatrix = array

    def describe(self, entries: Sequence[tuple[str, str | int]]) -> None:
        """Add metadata; a text has at most 127 bytes."""
        kind = self._llama.llama_model_kv_override
        array = (kind * (len(entries) + 1))()
        for slot, (key, value) in zip(array, entries, strict=False):
            slot.key = key.encode()
            if isinstance(value, int):
                slot.tag, slot.value.val_i64 = self._llama.LLAMA_KV_OVERRIDE_TYPE_INT, value
            else:
                slot.tag, slot.value.val_str = self._llama.LLAMA_KV_OVERRIDE_TYPE_STR, value.encode()[:127]
        self._keep.append(array)
        self.native.kv_overrides = array

    def choose(self, tensor_types: Mapping[str, str]) -> None:
        """Fix the types of single weights, named exactly."""
        kind = self._llama.llama_model_tensor_override
        array = (kind * (len(tensor_types) + 1))()
        for place, (name, type_name) in enumerate(tensor_types.items()):
            array[place] = kind(_exactly(name).encode(), _CODES[type_name])
        array[len(tensor_types)] = kind(None, self._llama.GGML_TYPE_COUNT)
        self._keep.append(array)
        self.native.tt_overrides = array


def _exactly(name: str) -> str:
    """Return the pattern (ECMAScript, as C++ takes it) that only this name matches."""
    return "^" + re.sub(r"([\\^$.|?*+()\[\]{}/])", r"\\\1", name) + "$"


def run(payload: dict[str, Any], progress: Progress) -> None:
    """Quantize in this process."""
    from publicai_edge.engine.llama import library, load_error

    llama_cpp = library()
    source, target = Path(payload["source"]), Path(payload["target"])
    params = Parameters(payload["type"], allow_requantize=payload["allow_requantize"])
    if payload["imatrix"]:
        from publicai_edge.quantize import imatrix_file

        imatrix = imatrix_file.read(Path(payload["imatrix"]))
        params.weigh({name: entry.means() for name, entry in imatrix.entries.items()})
    if payload["describe"]:
        params.describe(payload["describe"])
    if payload["tensor_types"]:
        params.choose(payload["tensor_types"])
    with (
        progress.task(payload["label"], total=None, unit="bytes") as task,
        _watch(source, target, task.advance),
    ):
        code = llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params.native))
    if code:
        raise load_error(source, doing="quantize")


def plan(payload: dict[str, Any], _progress: Progress) -> list[dict[str, str]]:
    """Return the type each weight would get, for each type of the payload; nothing is written.

    llama.cpp decides this without a public function for it, and tells it in the log of a dry run.
    """
    import numpy as np

    from publicai_edge.engine.llama import library, load_error

    llama_cpp = library()
    lines: list[str] = []
    keep = llama_cpp.llama_log_callback(lambda _level, text, _data: lines.append(text.decode("utf-8", "replace")))
    source = Path(payload["source"])
    plans = []
    for type_code in payload["types"]:
        params = Parameters(type_code, allow_requantize=True)
        params.native.dry_run = True
        if payload["imatrix"]:
            params.weigh({"any": np.ones(1, np.float32)})  # that there is one is all that the choice depends on
        if payload["tensor_types"]:
            params.choose(payload["tensor_types"])
        lines.clear()
        llama_cpp.llama_log_set(keep, ctypes.c_void_p(0))
        code = llama_cpp.llama_model_quantize(str(source).encode(), b"", ctypes.byref(params.native))
        if code:
            raise load_error(source, doing="quantize")
        plans.append(_read_plan(lines))
    return plans


def _read_plan(lines: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    open_name, open_type = None, ""
    for line in lines:
        if tensor := _TENSOR.match(line):
            open_name, open_type = tensor.groups()
        elif open_name is not None and (size := _SIZE.match(line.strip())):
            found[open_name] = (size[1] or open_type).upper()
            open_name = None
    if not found or open_name is not None:
        raise EngineError("llama.cpp's dry run did not tell the types of the weights in the form this program knows.")
    return found


@contextmanager
def _watch(source: Path, target: Path, advance: Any) -> Iterator[None]:
    """Report the bytes written and give read pages back, until the work ends."""
    stop = threading.Event()

    def loop() -> None:
        seen = 0
        while not stop.wait(_POLL_SECONDS):
            release_mapped(source)
            size = target.stat().st_size if target.exists() else 0
            advance(max(0, size - seen))
            seen = max(seen, size)

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
