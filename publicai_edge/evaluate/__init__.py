"""Evaluation: what quantization cost, in every language, against the unquantized model."""
