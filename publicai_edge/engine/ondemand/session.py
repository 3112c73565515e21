"""A graph on ONNX Runtime that keeps nothing of what it is run with: no memory is held in reserve."""

from pathlib import Path
from typing import Any

from publicai_edge.errors import ModelError


def open_session(path: Path, threads: int, hint: str) -> Any:
    """Load a graph.

    Args:
        path: the file.
        threads: that it runs with.
        hint: what to do about one that cannot be loaded.

    Raises:
        ModelError: onnxruntime cannot load it.
    """
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # the variable set in publicai_edge/__init__.py is not read on Windows
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(1, threads)
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what it would print is in the exception too
    options.enable_cpu_mem_arena = False  # what it holds in reserve, nobody could overwrite
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class of their own
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise ModelError(f"onnxruntime cannot load {path}: {reason}.", hint=hint, path=str(path)) from error
