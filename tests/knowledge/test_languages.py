"""In which language a text is written."""

import pytest

from publicai_edge.knowledge import languages
from publicai_edge.knowledge.blocks import Block, Extracted

RULES = {
    "ar": "تفتح المكتبة أبوابها من الاثنين إلى الجمعة من الساعة التاسعة صباحا حتى السادسة مساء، وتغلق يوم الأحد.",
    "de": "Die Bücherei öffnet montags bis freitags um neun Uhr und schließt um achtzehn Uhr. Sonntags ist sie zu.",
    "en": "The library opens at nine from Monday to Friday and closes at six in the evening. It is closed on Sunday.",
    "es": "La biblioteca abre de lunes a viernes a las nueve y cierra a las seis de la tarde. Los domingos no abre.",
    "fr": "La bibliothèque ouvre du lundi au vendredi à neuf heures et ferme à dix-huit heures, jamais le dimanche.",
    "hi": "पुस्तकालय सोमवार से शुक्रवार तक सुबह नौ बजे खुलता है और शाम छह बजे बंद होता है। रविवार को यह बंद रहता है।",
    "pt": "A biblioteca abre de segunda a sexta-feira às nove horas e fecha às seis da tarde. Ao domingo não abre.",
    "sw": "Maktaba inafunguliwa saa tatu asubuhi kuanzia Jumatatu hadi Ijumaa na kufungwa saa kumi na mbili jioni.",
    "uk": "Бібліотека відчинена з понеділка до п'ятниці з дев'ятої години ранку до шостої вечора. Щонеділі зачинена.",
    "zh": "图书馆星期一至星期五上午九点开门,下午六点关门。星期日和公共假日不开放。借书需要借书证。",
}


def document(*texts: str) -> Extracted:
    return Extracted(None, tuple(Block("paragraph", text) for text in texts))


@pytest.mark.parametrize("language", sorted(RULES))
def test_two_sentences_are_enough(language):
    assert languages.of_document(document(RULES[language])) == language
    assert languages.of_passage(RULES[language], languages.UNKNOWN) == language


@pytest.mark.parametrize("text", ["", "A38 | B12 | 4.50 | 9.00", "10:00 - 18:00", "...", "ISBN 978-3-16-148410-0"])
def test_what_has_no_words_is_in_no_language_known(text):
    assert languages.of_passage(text, languages.UNKNOWN) == languages.UNKNOWN
    assert languages.of_document(document(text)) == languages.UNKNOWN


def test_a_passage_that_tells_nothing_is_in_its_documents_language():
    assert languages.of_passage("A38 | B12 | 4.50", "es") == "es"
    assert languages.of_passage("Wi-Fi: RiverHall-Guest", "sw") == "sw"


def test_a_passage_in_another_language_than_its_document_is_told():
    for other in sorted(RULES.keys() - {"en"}):
        assert languages.of_passage(RULES[other], "en") == other
        assert languages.of_passage(RULES["en"], other) == "en"


@pytest.mark.parametrize(("text", "document"), [("Clases de conversa: venres ás 11", "es"), ("Tlf. 555 0100", "pt")])
def test_a_passage_that_may_be_in_its_documents_language_is_in_it(text, document):
    assert languages.of_passage(text, document) == document


def test_an_empty_document_is_in_no_language_known():
    assert languages.of_document(document()) == languages.UNKNOWN


def test_without_the_classifier_nothing_is_guessed(monkeypatch):
    monkeypatch.setattr(languages, "_identifier", lambda: None)
    assert languages.of_document(document(RULES["es"])) == languages.UNKNOWN
    assert languages.of_passage(RULES["es"], "en") == "en"


def test_only_the_beginning_of_a_long_document_is_read():
    assert languages.of_document(document(*[RULES["en"]] * 300, *[RULES["es"]] * 900)) == "en"
