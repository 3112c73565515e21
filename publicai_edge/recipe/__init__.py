"""The recipe: what a steward decides, as a strict TOML file, and the lock that pins what it resolved to."""

from publicai_edge.recipe.fields import Words
from publicai_edge.recipe.knowledge import Knowledge, Zim
from publicai_edge.recipe.load import load, parse
from publicai_edge.recipe.model import (
    Engine,
    Model,
    Recipe,
    Service,
    Steward,
    Target,
)
from publicai_edge.recipe.models import Dictation, Embedding, Voice
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
    "Voice",
    "Words",
    "Zim",
    "load",
    "parse",
]
