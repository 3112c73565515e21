"""Every language that is shipped says everything."""

import re
from importlib import resources

import polib
import pytest

from publicai_edge.kiosk import words

PAGE = resources.files("publicai_edge.kiosk") / "page"


def entries(language: str) -> dict[str, str]:
    text = (resources.files("publicai_edge.kiosk") / "locales" / f"{language}.po").read_text("utf-8")
    return {entry.msgid: entry.msgstr for entry in polib.pofile(text)}


@pytest.mark.parametrize("language", words.shipped())
def test_a_language_has_every_word_and_every_place_to_fill(language: str) -> None:
    english, own = entries("en"), entries(language)
    assert own.keys() == english.keys()
    for key, text in own.items():
        assert text, key
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", english[key])), key


def test_the_page_uses_the_words_there_are() -> None:
    sources = "\n".join(item.read_text("utf-8") for item in PAGE.iterdir() if item.name.endswith((".js", ".html")))
    groups = "|".join({key.split(".")[0] for key in entries("en")})
    used = set(re.findall(rf'"((?:{groups})\.[a-z_]+)"', sources))
    known = set(entries("en"))
    assert used <= known
    built = {key for key in known if key.startswith(("error.", "status.", "prompt."))}
    assert known - used <= built


def test_an_unknown_language_is_said_in_english_and_a_regional_one_in_its_base() -> None:
    assert words.load("sw") == words.load("en")
    assert words.load("es-MX") == words.load("es")
    assert words.direction("ar") == words.direction("ur-PK") == "rtl"
    assert words.direction("es") == "ltr"
