"""What a sound recipe may still have by mistake, before a bundle of it is handed out."""

import re
from collections.abc import Iterator
from typing import Any

from publicai_edge.recipe.model import Recipe

# Names that are nobody's, kept for examples. Source: RFC 2606.
_EXAMPLE = re.compile(r"[\w.+-]*@?[\w.-]*\bexample(?:\.(?:com|net|org))?\b(?![\w.-])")
_ADDRESS = re.compile(r"[@.]")


def oversights(recipe: Recipe) -> list[str]:
    """Return what to look at again, each as a sentence: addresses of examples, languages that no voice speaks."""
    found = [f"{key} has {text!r}, an address of an example: patrons will see it." for key, text in _examples(recipe)]
    spoken = {voice.language for voice in recipe.voices}
    if spoken and (silent := [tag for tag in recipe.bundle.languages if tag not in spoken]):
        found.append(
            f"No voice speaks {', '.join(silent)}: there, answers are read aloud only where the kiosk's browser can."
        )
    return found


def _examples(recipe: Recipe) -> Iterator[tuple[str, str]]:
    seen = set()
    for key, text in _texts(recipe.model_dump(mode="json"), ""):
        for match in _EXAMPLE.finditer(text):
            if _ADDRESS.search(match[0]) and match[0] not in seen:
                seen.add(match[0])
                yield key, match[0]


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _texts(item, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, key)
