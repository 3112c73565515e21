"""GGUF: reading what a file says of itself (:mod:`.header`), and the few bytes this project writes (:mod:`.write`)."""

from publicai_edge.gguf.header import (
    CALIBRATION_DOCUMENTS,
    MAGIC,
    TENSOR_TYPES,
    UNQUANTIZED,
    Header,
    Span,
    Tensor,
    read,
    read_stream,
    spans,
    strings,
)

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
