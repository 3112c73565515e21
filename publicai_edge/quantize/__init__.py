"""Quantize: make a GGUF model smaller, through llama.cpp's own quantizer in a child process.

``stage`` quantizes, ``imatrix`` collects an importance matrix for it, ``predict`` tells sizes and types beforehand,
``provenance`` which documents a model was calibrated on.
"""

from publicai_edge.quantize.imatrix import ImatrixReport, collect
from publicai_edge.quantize.predict import Plan, plan, predict_size
from publicai_edge.quantize.provenance import calibration_documents
from publicai_edge.quantize.stage import Quantized, quantize
from publicai_edge.quantize.types import KEEP, check_type, types

__all__ = [
    "KEEP",
    "ImatrixReport",
    "Plan",
    "Quantized",
    "calibration_documents",
    "check_type",
    "collect",
    "plan",
    "predict_size",
    "quantize",
    "types",
]
