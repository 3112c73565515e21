"""Quantize: make a GGUF model smaller, through llama.cpp's own quantizer in a child process."""

from publicai_edge.quantize.stage import KEEP, Quantized, check_type, quantize, types

__all__ = ["KEEP", "Quantized", "check_type", "quantize", "types"]
