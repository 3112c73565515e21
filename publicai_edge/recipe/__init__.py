"""The recipe: what a steward decides, as a strict TOML file, and the lock that pins what it resolved to."""

from publicai_edge.recipe.load import load, parse
from publicai_edge.recipe.model import (
    Embedding,
    Knowledge,
    Model,
    Quality,
    Quantize,
    Question,
    Recipe,
    Service,
    Steward,
    Texts,
    Words,
)

__all__ = [
    "Embedding",
    "Knowledge",
    "Model",
    "Quality",
    "Quantize",
    "Question",
    "Recipe",
    "Service",
    "Steward",
    "Texts",
    "Words",
    "load",
    "parse",
]
