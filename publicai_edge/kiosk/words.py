"""The page's words in each language, from gettext files whose ``msgid`` is a key such as ``ask.button``.

Invariants: every language the bundle lists gets every key; what its file lacks is said in English. A tag finds its file
as BCP 47 says (RFC 4647, lookup): in any case of letters, and with subtags left away from the end, but never a script,
since a reader of one may not read the other.
"""

from importlib import resources
from typing import Literal

FALLBACK = "en"
OPERATOR_WORDS = "operator."
"""What the keys of the operator's page begin with; a patron's page has no use for them."""

_RIGHT_TO_LEFT = frozenset(["ar", "arc", "ckb", "dv", "fa", "he", "ks", "nqo", "ps", "sd", "ug", "ur", "yi"])
_SCRIPTS_RIGHT_TO_LEFT = frozenset(["adlm", "arab", "hebr", "nkoo", "rohg", "syrc", "thaa"])
_SCRIPT_UNSAID = {"zh": "zh-hans", "zh-hk": "zh-hant", "zh-mo": "zh-hant", "zh-tw": "zh-hant"}
_SCRIPT_LETTERS = 4


def direction(language: str) -> Literal["ltr", "rtl"]:
    """Return which way a language is written: by its script where the tag names one."""
    base, *others = language.lower().split("-")
    script = next(filter(_is_script, others), None)
    return "rtl" if script in _SCRIPTS_RIGHT_TO_LEFT or (not script and base in _RIGHT_TO_LEFT) else "ltr"


def shipped() -> tuple[str, ...]:
    """Return the languages there are files for."""
    names = (item.name for item in (resources.files(__package__) / "locales").iterdir())
    return tuple(sorted(name.removesuffix(".po") for name in names if name.endswith(".po")))


def spoken(language: str) -> str:
    """Return the language whose words are said for a language: one of :func:`shipped`."""
    files = {name.lower(): name for name in shipped()}
    tag = language.lower()
    while tag:
        tag = _SCRIPT_UNSAID.get(tag, tag)
        if tag in files:
            return files[tag]
        tag, _, left_away = tag.rpartition("-")
        if _is_script(left_away):
            break
    return FALLBACK


def load(language: str) -> dict[str, str]:
    """Return key to words for a language."""
    return _read(FALLBACK) | _read(spoken(language))


def _is_script(subtag: str) -> bool:
    return len(subtag) == _SCRIPT_LETTERS and subtag.isalpha()


def _read(language: str) -> dict[str, str]:
    import polib

    place = resources.files(__package__) / "locales" / f"{language}.po"
    entries = polib.pofile(place.read_text("utf-8"))
    return {entry.msgid: entry.msgstr for entry in entries if entry.msgstr and not entry.fuzzy}
