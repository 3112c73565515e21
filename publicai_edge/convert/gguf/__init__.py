"""A model from its Hugging Face folder to GGUF, by llama.cpp's own converter, checked against the original."""

from publicai_edge.convert.gguf.stage import TYPES, GgufReport, GgufSettings, check_type, convert

__all__ = ["TYPES", "GgufReport", "GgufSettings", "check_type", "convert"]
