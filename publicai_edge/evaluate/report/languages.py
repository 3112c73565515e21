"""Names of languages, in English and in the language itself, from Unicode's CLDR as Babel carries it.

No network, no system locale: the same tag has the same names on every machine with the same Babel. A tag that CLDR
does not know is its own name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Language:
    """A language as a report names it.

    Attributes:
        tag: the BCP 47 tag, as given.
        name: in English.
        own_name: in the language itself; None where CLDR has none, or where it is the English one.
    """

    tag: str
    name: str
    own_name: str | None

    @property
    def both(self) -> str:
        """Both names, for places where they cannot be marked up."""
        return f"{self.name} ({self.own_name})" if self.own_name else self.name


@cache
def language(tag: str) -> Language:
    """Return the names of a language.

    Args:
        tag: BCP 47; ISO 639-3 codes of CLDR's aliases work as well, such as ``swh``.
    """
    from babel import Locale, UnknownLocaleError
    from babel.core import get_global

    first, *rest = tag.replace("_", "-").split("-")
    code = get_global("language_aliases").get(first.lower(), first.lower())
    try:
        locale = Locale.parse("-".join([code, *rest]), sep="-", resolve_likely_subtags=False)
    except (ValueError, UnknownLocaleError):
        name = Locale("en").languages.get(code)
        return Language(tag, " ".join([name, *rest]) if name else tag, None)
    name = locale.get_display_name("en") or tag
    own = locale.get_display_name()
    return Language(tag, name, own if own and own.casefold() != name.casefold() else None)


def names(tags: Sequence[str]) -> str:
    """Return English names as words: "Arabic", "Arabic and Hindi", "Arabic, Hindi and Swahili"."""
    words = [language(tag).name for tag in tags]
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1] if words else ""]))
