"""The page's words in each language, from gettext files whose ``msgid`` is a key such as ``ask.button``.

Invariant: every language the bundle lists gets every key; what its file lacks is said in English.
"""

from importlib import resources
from typing import Literal

FALLBACK = "en"

_RIGHT_TO_LEFT = frozenset(["ar", "arc", "ckb", "dv", "fa", "he", "ks", "ps", "sd", "ug", "ur", "yi"])


def direction(language: str) -> Literal["ltr", "rtl"]:
    """Return which way a language is written."""
    return "rtl" if language.split("-", maxsplit=1)[0] in _RIGHT_TO_LEFT else "ltr"


def shipped() -> tuple[str, ...]:
    """Return the languages there are files for."""
    names = (item.name for item in (resources.files(__package__) / "locales").iterdir())
    return tuple(sorted(name.removesuffix(".po") for name in names if name.endswith(".po")))


def load(language: str) -> dict[str, str]:
    """Return key to words for a language: its own file's, else its base language's, else English."""
    words = _read(FALLBACK)
    for name in (language.split("-", maxsplit=1)[0], language):
        if name in shipped():
            words |= _read(name)
    return words


def _read(language: str) -> dict[str, str]:
    import polib

    place = resources.files(__package__) / "locales" / f"{language}.po"
    entries = polib.pofile(place.read_text("utf-8"))
    return {entry.msgid: entry.msgstr for entry in entries if entry.msgstr and not entry.fuzzy}
