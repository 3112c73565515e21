"""What the recognition model reads, and what it cannot; all languages: ``benchmarks/scans.py``."""

import unicodedata

import numpy as np
import pytest

from publicai_edge.knowledge.ocr.languages import MOST_WRONG, READ, not_read
from publicai_edge.knowledge.ocr.layout import arrange
from publicai_edge.knowledge.ocr.recognizer import Recognizer
from tests.knowledge import scans

TEXTS = {
    "en": "The library is open from nine to six, except on Sundays. A lost card is replaced for two pounds "
    "and fifty pence; quarrels about it are settled by the judge of the next village, who likes jam and wax.",
    "es": "La señora del mostrador ayuda también los miércoles. El niño pidió un libro sobre pingüinos y cigüeñas, "
    "y lo devolvió según las normas; ¿quién sabe cuándo abrirá otra vez el baúl de los títulos más antiguos?",
    "fr": "L'été dernier, la bibliothèque a prêté des œuvres à plusieurs élèves. Où est né le maïs ? Là-bas, près de "
    "la forêt, dit le garçon ; hélas, aucun guide ne l'a noté, même pas à Noël, sur l'île où l'on goûte le cidre.",
    "de": "Die Bücherei öffnet täglich um zehn. Für verlorene Ausweise zahlt man fünf Euro, größere Schäden müssen "
    "persönlich geklärt werden. Überall gilt: Süßigkeiten, Äpfel und Öl gehören nicht in die Lesesäle.",
}
UNKNOWN = ("CYRILLIC", "ARABIC", "HEBREW", "DEVANAGARI", "BENGALI", "TAMIL", "HANGUL", "THAI", "ETHIOPIC", "ARMENIAN")


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer()


@pytest.fixture(scope="module")
def alphabet(recognizer: Recognizer) -> set[str]:
    return set(recognizer._engine._load_rec_model().session.get_character_list())


@pytest.mark.parametrize("font", ["DejaVuSerif.ttf", "DejaVuSans.ttf"])
@pytest.mark.parametrize("language", TEXTS)
def test_accents_and_umlauts_are_read(language: str, font: str, recognizer: Recognizer) -> None:
    page = np.array(scans.picture(TEXTS[language], font=font).convert("RGB"))
    found = "".join(line.text for line in arrange(recognizer.read(page)))
    error = scans.error_rate("".join(found.split()), "".join(TEXTS[language].split()))
    assert error <= MOST_WRONG, found


@pytest.mark.parametrize("script", UNKNOWN)
def test_scripts_that_no_language_is_claimed_for_are_not_in_the_models_alphabet(
    script: str, alphabet: set[str]
) -> None:
    assert not [char for char in alphabet if len(char) == 1 and unicodedata.name(char, "").startswith(script)]


def test_letters_of_languages_that_are_read_are_in_its_alphabet(alphabet: set[str]) -> None:
    letters = {char for text in TEXTS.values() for char in text} - {" "}
    assert letters <= alphabet


def test_a_language_that_was_not_measured_or_failed_is_told() -> None:
    assert not_read(["en", "pt-BR", "zh-Hant", "ar", "hi", "ru", "sk", "vi", "xx"]) == [
        "ar",
        "hi",
        "ru",
        "sk",
        "vi",
        "xx",
    ]
    assert set(TEXTS) <= READ
