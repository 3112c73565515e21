"""That a patron finds passages in the language of the page before others that answer as well.

With a search model of many languages, a rule and its translation are equally near to a question. The one in the
patron's language gets :data:`PREFERENCE` more, and so does one whose language is not known: that decides between equals
and little else; how much of a difference it is, `benchmarks/retrieval.py` measures (docs/adr/0054). What counts as an
answer at all does not depend on it, so a passage in another language is still found where there is no other.
"""

from collections.abc import Mapping

PREFERENCE = 0.1
"""Of a score, which is at most 1 without it."""


def preferred(languages: Mapping[int, str], wanted: str) -> frozenset[int]:
    """Return which passages are preferred by who wants a language.

    Args:
        languages: of all that may be found, by id; "" where it is not known.
        wanted: a language tag; its script and region do not count.
    """
    base = primary(wanted)
    if not base or all(primary(language) != base for language in languages.values()):
        return frozenset()
    return frozenset(number for number, language in languages.items() if primary(language) in {base, ""})


def primary(tag: str) -> str:
    """Return the language of a tag, without script and region: "pt" of "pt-BR"."""
    return tag.replace("_", "-").partition("-")[0].lower()
