"""How a language says numbers, times and signs, as a table that :mod:`publicai_edge.engine.voice.normal` reads.

The numbers are num2words' own (LGPL, at build time only; what it says of them goes into the bundle). A language that it
does not know has its ten digits, where they stand below, and reads numbers digit by digit.
"""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from publicai_edge.errors import HostError

LIBRARIES = ("num2words", "babel")
_HOURS, _MINUTES, _YEARS, _ORDINALS = 24, 60, range(1100, 2100), range(1, 101)


@dataclass(frozen=True)
class Names:
    """What a language calls signs.

    ``time``: how an hour and its minutes are put together, and a full hour; ``mended``: what is said otherwise of that.
    """

    signs: dict[str, str]
    time: tuple[str, str] = ("{hour} {minute}", "{hour}")
    mended: tuple[tuple[str, str], ...] = ()
    abbreviations: dict[str, str] | None = None
    digits: str = ""


_NAMES = {
    "en": Names(
        {"%": "percent", "&": "and", "+": "plus", "=": "equals", "@": "at", ".": "dot", "$": "dollars", "$1": "dollar",
         "€": "euros", "€1": "euro", "£": "pounds", "£1": "pound", "¥": "yen", "¥1": "yen", "§": "section",
         "name:point": "point", "name:minus": "minus", "name:range": "to", "letter:a": "eh"},
        ("{hour} {minute}", "{hour} o'clock"),
        abbreviations={
         "Mr.": "mister", "Mrs.": "missus", "Dr.": "doctor", "e.g.": "for example", "i.e.": "that is",
         "etc.": "et cetera", "vs.": "versus"},
    ),
    "de": Names(
        {"%": "Prozent", "&": "und", "+": "plus", "=": "gleich", "@": "ät", ".": "Punkt", "$": "Dollar", "$1": "Dollar",
         "€": "Euro", "€1": "Euro", "£": "Pfund", "£1": "Pfund", "§": "Paragraph",
         "name:point": "Komma", "name:minus": "minus", "name:range": "bis"},
        abbreviations={"Dr.": "Doktor", "z.B.": "zum Beispiel", "d.h.": "das heißt", "bzw.": "beziehungsweise",
         "usw.": "und so weiter", "Nr.": "Nummer"},
    ),
    "es": Names(
        {"%": "por ciento", "&": "y", "+": "más", "=": "igual a", "@": "arroba", ".": "punto", "$": "dólares",
         "$1": "dólar", "€": "euros", "€1": "euro", "£": "libras", "£1": "libra",
         "name:point": "coma", "name:minus": "menos", "name:range": "a"},
        abbreviations={"Sr.": "señor", "Sra.": "señora", "Dr.": "doctor", "Dra.": "doctora", "etc.": "etcétera"},
    ),
    "fr": Names(
        {"%": "pour cent", "&": "et", "+": "plus", "=": "égale", "@": "arobase", ".": "point", "$": "dollars",
         "$1": "dollar", "€": "euros", "€1": "euro", "£": "livres", "£1": "livre",
         "name:point": "virgule", "name:minus": "moins", "name:range": "à"},
        ("{hour} heures {minute}", "{hour} heures"),
        (("vingt et un heures", "vingt et une heures"), ("un heures", "une heure")),
        {"M.": "monsieur", "Mme": "madame", "Mlle": "mademoiselle", "Dr": "docteur", "etc.": "et cetera",
         "1er": "premier", "1re": "première"},
    ),
    "pt": Names(
        {"%": "por cento", "&": "e", "+": "mais", "=": "igual a", "@": "arroba", ".": "ponto", "$": "dólares",
         "$1": "dólar", "€": "euros", "€1": "euro", "£": "libras", "£1": "libra",
         "name:point": "vírgula", "name:minus": "menos", "name:range": "a"},
        abbreviations={"Sr.": "senhor", "Sra.": "senhora", "Dr.": "doutor", "Dra.": "doutora", "etc.": "etcétera"},
    ),
    "sw": Names(
        {"%": "asilimia", "&": "na", ".": "nukta", "$": "dola", "€": "yuro", "£": "pauni",
         "name:point": "nukta", "name:range": "hadi"},
        digits="sifuri moja mbili tatu nne tano sita saba nane tisa",
    ),
}  # fmt: skip


def require_installed() -> None:
    """See that what says numbers is there.

    Raises:
        HostError: it is not.
    """
    if importlib.util.find_spec("num2words") is None:
        raise HostError(
            "A voice ([[voices]]) needs num2words to say numbers, and it is not installed.",
            hint="Run: pip install 'publicai-edge[voices]'",
        )


def counts(language: str) -> bool:
    """Say whether whole numbers are said in words, and not digit by digit."""
    return _known(language) is not None


def table(language: str) -> dict[str, str]:
    """Return what a language says for numbers and signs, by the keys of :mod:`publicai_edge.engine.voice.normal`."""
    base = language.partition("-")[0]
    names, known = _NAMES.get(base, Names({})), _known(language)
    found = dict(_marks(language))
    if known:
        found |= dict(_numbers(known)) | dict(_times(known, names)) | dict(_years(known))
        found |= dict(_ordinals()) if base == "en" else {}
    elif names.digits:
        found |= {str(value): word for value, word in enumerate(names.digits.split())}
    return found | {"www": "w w w"} | names.signs | (names.abbreviations or {})


def _known(language: str) -> str | None:
    """Return what num2words calls a language, or None where it does not know it."""
    import num2words

    tags = (language.replace("-", "_"), language.partition("-")[0])
    return next((tag for tag in tags if tag in num2words.CONVERTER_CLASSES), None)


def _said(number: int, language: str, form: str = "cardinal") -> str:
    import num2words

    return str(num2words.num2words(number, lang=language, to=form)).replace("\xad", "")


def _numbers(language: str) -> Iterator[tuple[str, str]]:
    for number in range(1000):
        yield str(number), _said(number, language)
    for number in range(1, 1000):
        for scale in (1000, 1_000_000):
            yield str(number * scale), _said(number * scale, language)


def _years(language: str) -> Iterator[tuple[str, str]]:
    """Yield the years whose names differ from the numbers'."""
    for year in _YEARS:
        try:
            said = _said(year, language, "year")
        except NotImplementedError:
            return
        if said != _said(year, language):
            yield f"year:{year}", said


def _times(language: str, names: Names) -> Iterator[tuple[str, str]]:
    with_minutes, full = names.time
    for hour in range(_HOURS):
        for minute in range(_MINUTES):
            values = {"hour": _said(hour, language), "minute": _said(minute, language)}
            said = (with_minutes if minute else full).format_map(values)
            for old, new in names.mended:
                said = said.replace(old, new)
            yield f"{hour}:{minute:02}", said


def _ordinals() -> Iterator[tuple[str, str]]:
    import num2words

    for number in _ORDINALS:
        yield str(num2words.num2words(number, lang="en", to="ordinal_num")), _said(number, "en", "ordinal")


def _marks(language: str) -> Iterator[tuple[str, str]]:
    from babel import Locale, UnknownLocaleError
    from babel.numbers import get_decimal_symbol, get_group_symbol

    try:
        locale: Any = Locale.parse(language, sep="-")
    except (UnknownLocaleError, ValueError):
        return
    yield "mark:decimal", get_decimal_symbol(locale, numbering_system="latn")
    yield "mark:group", get_group_symbol(locale, numbering_system="latn")
