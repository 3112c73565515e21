"""Every language that is shipped says everything, in its own words."""

import re
import unicodedata
from importlib import resources
from pathlib import Path

import polib
import pytest

from publicai_edge.kiosk import words

ROOT = Path(__file__).parents[2]
PAGE = resources.files("publicai_edge.kiosk") / "page"
TRANSLATIONS = [language for language in words.shipped() if language != words.FALLBACK]
SAME_WORD = {
    "de": {"about.bundle", "operator.version"},
    "fr": {
        "about.bundle",
        "about.documents",
        "operator.documents",
        "operator.version",
        "passages.page",
        "prompt.passages",
        "prompt.question",
    },
}
"""Keys whose word is the English one in that language, too."""
NO_LATIN = {"ar", "hi", "uk", "zh-Hans"}


def read(language: str) -> polib.POFile:
    text = (resources.files("publicai_edge.kiosk") / "locales" / f"{language}.po").read_text("utf-8")
    return polib.pofile(text, check_for_duplicates=True)


def entries(language: str) -> dict[str, str]:
    return {entry.msgid: entry.msgstr for entry in read(language)}


def places(text: str) -> list[str]:
    return sorted(re.findall(r"\{\w+\}", text))


@pytest.mark.parametrize("language", words.shipped())
def test_a_language_has_every_word_and_every_place_to_fill(language: str) -> None:
    english, own = entries("en"), entries(language)
    assert own.keys() == english.keys()
    for key, text in own.items():
        assert text.strip() == text != "", key
        assert places(text) == places(english[key]), key
        assert "{" not in re.sub(r"\{\w+\}", "", text), key


@pytest.mark.parametrize("language", words.shipped())
def test_a_file_is_of_the_language_it_is_named_after_and_nothing_in_it_is_unfinished(language: str) -> None:
    file = read(language)
    assert file.metadata["Language"] == language
    assert [entry.msgid for entry in file if entry.fuzzy or entry.obsolete] == []


@pytest.mark.parametrize("language", words.shipped())
def test_quotes_and_ellipses_are_the_printers_ones(language: str) -> None:
    assert [key for key, text in entries(language).items() if re.search(r"['\"`]|\.\.\.", text)] == []


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_no_english_is_left_over(language: str) -> None:
    english, own = entries("en"), entries(language)
    assert {key for key in own if own[key] == english[key]} == SAME_WORD.get(language, set())
    if language in NO_LATIN:
        assert [key for key, text in own.items() if re.search("[A-Za-z]", re.sub(r"\{\w+\}", "", text))] == []


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_a_translation_is_of_the_english_of_today(language: str) -> None:
    english = entries("en")
    assert {entry.msgid: entry.comment for entry in read(language)} == english


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_a_file_says_who_has_reviewed_it_or_how_to(language: str) -> None:
    header = read(language).header
    assert re.search(r"Reviewed by \w|No native speaker has reviewed this file yet.*translate-the-page\.md", header)


def test_the_page_uses_the_words_there_are() -> None:
    sources = "\n".join(item.read_text("utf-8") for item in PAGE.iterdir() if item.name.endswith((".js", ".html")))
    groups = "|".join({key.split(".")[0] for key in entries("en")})
    used = set(re.findall(rf'"((?:{groups})\.[a-z_]+)"', sources))
    known = set(entries("en"))
    assert used <= known
    built = {key for key in known if key.startswith(("error.", "status.", "prompt."))}
    assert known - used <= built


@pytest.mark.parametrize(
    ("tag", "spoken"),
    [
        ("es", "es"),
        ("es-MX", "es"),
        ("pt-BR", "pt"),
        ("PT-br", "pt"),
        ("de-AT-1996", "de"),
        ("zh-Hans", "zh-Hans"),
        ("ZH-HANS", "zh-Hans"),
        ("zh", "zh-Hans"),
        ("zh-CN", "zh-Hans"),
        ("zh-Hans-SG", "zh-Hans"),
        ("rw", "en"),
        ("est", "en"),
        ("zh-Hant", "en"),
        ("zh-TW", "en"),
        ("zh-Hant-HK", "en"),
        ("hi-Latn", "en"),
    ],
)
def test_a_tag_finds_the_nearest_file_in_its_own_script_or_english(tag: str, spoken: str) -> None:
    assert words.spoken(tag) == spoken
    assert words.load(tag) == entries(spoken)


@pytest.mark.parametrize(
    ("tag", "direction"),
    [
        ("ar", "rtl"),
        ("AR-eg", "rtl"),
        ("ur-PK", "rtl"),
        ("he", "rtl"),
        ("pa-Arab", "rtl"),
        ("ar-Latn", "ltr"),
        ("pa", "ltr"),
        ("es", "ltr"),
        ("zh-Hans", "ltr"),
    ],
)
def test_a_language_is_written_the_way_of_its_script(tag: str, direction: str) -> None:
    assert words.direction(tag) == direction


@pytest.mark.parametrize("language", words.shipped())
def test_the_page_is_laid_out_the_way_its_words_are_written(language: str) -> None:
    own = entries(language)["ask.label"]
    from_the_right = unicodedata.bidirectional(own[0]) in {"R", "AL"}
    assert words.direction(language) == ("rtl" if from_the_right else "ltr")


def test_the_guide_for_translators_lists_every_file_and_who_has_reviewed_it() -> None:
    guide = (ROOT / "docs" / "how-to" / "translate-the-page.md").read_text("utf-8")
    listed = dict(re.findall(r"^\| `([\w-]+)\.po` \| [^|]+ \| ([^|]+) \|$", guide, re.MULTILINE))
    assert listed.keys() == set(words.shipped())
    for language in TRANSLATIONS:
        assert (listed[language] == "not yet") == ("Reviewed by" not in read(language).header), language
