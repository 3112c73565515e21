"""The recipe: what a steward decides, as a strict TOML file, and the lock that pins what it resolved to."""

from publicai_edge.recipe.load import load, parse
from publicai_edge.recipe.model import Embedding, Knowledge, Model, Quantize, Recipe, Service, Steward, Words

__all__ = [
    "Embedding",
    "Knowledge",
    "Model",
    "Quantize",
    "Recipe",
    "Service",
    "Steward",
    "Words",
    "load",
    "parse",
]
