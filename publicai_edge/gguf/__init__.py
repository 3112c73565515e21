"""GGUF: reading headers (:mod:`.header`), models in several files (:mod:`.split`), writing (:mod:`.write`)."""

from publicai_edge.gguf.header import (
    CALIBRATION_DOCUMENTS,
    MAGIC,
    TENSOR_TYPES,
    UNQUANTIZED,
    Header,
    Span,
    Tensor,
    read_stream,
    spans,
    strings,
)
from publicai_edge.gguf.split import read

__all__ = [
    "CALIBRATION_DOCUMENTS",
    "MAGIC",
    "TENSOR_TYPES",
    "UNQUANTIZED",
    "Header",
    "Span",
    "Tensor",
    "read",
    "read_stream",
    "spans",
    "strings",
]
