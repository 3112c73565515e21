"""The recipe: what a steward decides, as a strict TOML file, and the lock that pins what it resolved to."""

from publicai_edge.recipe.fields import Words
from publicai_edge.recipe.load import load, parse
from publicai_edge.recipe.model import (
    Dictation,
    Embedding,
    Engine,
    Knowledge,
    Model,
    Recipe,
    Service,
    Steward,
    Target,
    Zim,
)
from publicai_edge.recipe.quality import AUTO, Quality, Quantize, Question, Texts

__all__ = [
    "AUTO",
    "Dictation",
    "Embedding",
    "Engine",
    "Knowledge",
    "Model",
    "Quality",
    "Quantize",
    "Question",
    "Recipe",
    "Service",
    "Steward",
    "Target",
    "Texts",
    "Words",
    "Zim",
    "load",
    "parse",
]
