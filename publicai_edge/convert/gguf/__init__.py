"""A model from its Hugging Face folder to GGUF, by llama.cpp's own converter, checked against the original."""

from publicai_edge.convert.gguf.report import TYPES, GgufReport, GgufSettings, check_type
from publicai_edge.convert.gguf.stage import convert, outline

__all__ = ["TYPES", "GgufReport", "GgufSettings", "check_type", "convert", "outline"]
