"""GGUF to GGUF through ``llama_model_quantize``.

Invariants: the source is never written to; the result appears under its name only when it is whole; a model that is
already quantized is refused unless the caller says so, because quantizing twice loses more than the type's name tells.

Memory: llama.cpp maps the source and writes each tensor as it goes; ``max_buf_size`` bounds the rows it holds, and the
pages it has read are given back while it runs (see :func:`_release_pages`), so the peak does not grow with the model.
"""

import ctypes
import difflib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from publicai_edge import atomic, child, gguf
from publicai_edge.errors import ModelError, RecipeError
from publicai_edge.host import usable_cores
from publicai_edge.progress import Progress

KEEP = "keep"
_PREFIXES = ("LLAMA_FTYPE_MOSTLY_", "LLAMA_FTYPE_ALL_")
# Types that are no use without an importance matrix, or that only special kernels run.
_NOT_OFFERED = frozenset(
    {"IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ1_S", "IQ1_M", "Q2_K_S", "MXFP4_MOE", "NVFP4", "Q1_0", "Q2_0"}
)
_BUFFER_BYTES = 64 << 20
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Quantized:
    """What a quantization did: types by name, bytes before and after, peak resident bytes, seconds."""

    before: str
    after: str
    bytes_before: int
    bytes_after: int
    peak_rss_bytes: int
    seconds: float


def types() -> dict[str, int]:
    """Return the offered type names and llama.cpp's number for each."""
    import llama_cpp

    found = {}
    for attribute in dir(llama_cpp):
        for prefix in _PREFIXES:
            if attribute.startswith(prefix):
                found[attribute.removeprefix(prefix)] = int(getattr(llama_cpp, attribute))
    return {name: code for name, code in sorted(found.items()) if name not in _NOT_OFFERED}


def check_type(name: str) -> str:
    """Return the type's exact name.

    Raises:
        RecipeError: llama.cpp has no such type, or it needs what this stage cannot give yet.
    """
    offered = types()
    if name.upper() in offered:
        return name.upper()
    if name.upper() in _NOT_OFFERED:
        raise RecipeError(
            f"Quantization type {name.upper()!r} needs an importance matrix or special kernels.",
            hint="Choose a larger type, such as Q3_K_M or Q4_K_M.",
        )
    near = difflib.get_close_matches(name.upper(), offered, n=1, cutoff=0.4)
    raise RecipeError(
        f"There is no quantization type {name!r}" + (f"; did you mean {near[0]!r}?" if near else "."),
        hint=f"Known types: {KEEP}, {', '.join(offered)}.",
    )


def quantize(source: Path, target: Path, type_name: str, *, allow_requantize: bool, progress: Progress) -> Quantized:
    """Quantize ``source`` to ``target``.

    Args:
        source: a GGUF file.
        target: where the result goes; replaced if it exists.
        type_name: a type of :func:`types`.
        allow_requantize: take a source that is already quantized.
        progress: shows how much is written.

    Raises:
        RecipeError: unknown type.
        ModelError: the source is broken, or already quantized and that is not allowed.
        HostError: no room for the result.
    """
    wanted = check_type(type_name)
    header = gguf.read(source)
    if header.is_quantized and not allow_requantize:
        raise ModelError(
            f"{source} is already quantized ({header.quantization}); quantizing it again to {wanted} adds the "
            "second loss to the first.",
            hint="Start from the F16 or BF16 original, or say --allow-requantize (in a recipe: "
            "quantize.allow_requantize = true).",
            found=header.quantization,
        )
    size = source.stat().st_size
    atomic.require_space(target.parent, size, f"Quantizing {source.name}")
    with atomic.host_errors("write", target), atomic.temporary_folder(target.parent) as folder:
        temporary = folder / "model.gguf"
        payload = {
            "source": str(source),
            "target": str(temporary),
            "type": types()[wanted],
            "label": f"Quantizing to {wanted}",
            "allow_requantize": allow_requantize,
        }
        result = child.run(f"{__name__}:_run", payload, what=f"quantize {source}", progress=progress)
        made = gguf.read(temporary)
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


def _run(payload: dict[str, Any], progress: Progress) -> None:
    """Quantize in this process, a child made for it."""
    import llama_cpp

    from publicai_edge.engine.llama import build_id, load_error

    build_id()  # quiets llama.cpp's log
    source, target = Path(payload["source"]), Path(payload["target"])
    params = llama_cpp.llama_model_quantize_default_params()
    params.nthread = usable_cores()
    params.ftype = payload["type"]
    params.allow_requantize = payload["allow_requantize"]
    params.max_buf_size = _BUFFER_BYTES
    with (
        progress.task(payload["label"], total=None, unit="bytes") as task,
        _watch(source, target, task.advance),
    ):
        code = llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params))
    if code:
        raise load_error(source, doing="quantize")


@contextmanager
def _watch(source: Path, target: Path, advance: Any) -> Iterator[None]:
    """Report the bytes written and give read pages back, until the work ends."""
    stop = threading.Event()

    def loop() -> None:
        seen = 0
        while not stop.wait(_POLL_SECONDS):
            _release_pages(source)
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


def _release_pages(source: Path) -> None:
    """Drop this process's mapped pages of ``source``; the kernel keeps them cached, and maps them again on need.

    llama.cpp maps the whole file, so without this the resident size grows to the model's. The mapping is read-only and
    backed by the file: dropping a page can lose nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    name = str(source.resolve())
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(name):
            start, end = (int(part, 16) for part in line.split(" ", 1)[0].split("-"))
            dont_need = 4
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), dont_need)
