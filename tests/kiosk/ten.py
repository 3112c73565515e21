"""A kiosk in all ten languages of the page, for tests of its accessibility and for the pictures in the documentation.

The library is the demo's, with documents in English, Arabic and Swahili; what the model says is written here. ``ASKED``
has a question for each language: an English one where the documents have nothing in that language.
"""

# ruff: noqa: RUF001 - apostrophes and colons as these languages write them

from pathlib import Path

from publicai_edge.bundle.manifest import Manifest
from publicai_edge.bundle.open import Bundle
from publicai_edge.kiosk.words import shipped
from publicai_edge.search import Passage
from tests.kiosk.conftest import manifest, write_bundle

_ENGLISH = "Is there a lift?"
ASKED = dict.fromkeys(shipped(), _ENGLISH) | {
    "ar": "متى تفتح المكتبة أبوابها؟",
    "sw": "Maktaba inafunguliwa saa ngapi?",
}
ANSWERED = dict.fromkeys(
    shipped(),
    "A lift goes to every floor; it is 90 centimetres wide at the door and speaks the floors aloud [1]. The main door "
    "opens by itself and has no step [1]. You are welcome.",
) | {
    "ar": "تفتح المكتبة أبوابها من الاثنين إلى الجمعة من الساعة 9 إلى الساعة 18 [1]. أهلًا بكم.",
    "sw": "Maktaba inafunguliwa saa 3 asubuhi, Jumatatu hadi Ijumaa [1]. Karibuni sana.",
}
UNFOUND = "zzzz qqqq"

_TITLE = {
    "ar": "اسأل المكتبة",
    "de": "Fragen Sie die Bibliothek",
    "en": "Ask the library",
    "es": "Pregunte a la biblioteca",
    "fr": "Interrogez la bibliothèque",
    "hi": "पुस्तकालय से पूछिए",
    "pt": "Pergunte à biblioteca",
    "sw": "Uliza maktaba",
    "uk": "Запитайте бібліотеку",
    "zh-Hans": "向图书馆提问",
}
_PERSON = {
    "ar": "يسعد موظفي مكتب الاستقبال في الطابق الأرضي أن يساعدوكم.",
    "de": "An der Information im Erdgeschoss hilft man Ihnen gern.",
    "en": "Ask at the front desk on the ground floor, or ring extension 100.",
    "es": "Pregunte en el mostrador de la planta baja, o llame a la extensión 100.",
    "fr": "Le personnel de l’accueil, au rez-de-chaussée, vous aide volontiers.",
    "hi": "भूतल पर स्वागत डेस्क पर पूछिए।",
    "pt": "Pergunte no balcão do piso térreo.",
    "sw": "Uliza kwenye dawati la mapokezi, ghorofa ya chini.",
    "uk": "Запитайте за стійкою на першому поверсі.",
    "zh-Hans": "请到一楼服务台咨询。",
}
_ASK = {
    "ar": "أسئلة عن المكتبة",
    "de": "Fragen zur Bibliothek",
    "en": "Ask about the library",
    "es": "Pregunte sobre la biblioteca",
    "fr": "Questions sur la bibliothèque",
    "hi": "पुस्तकालय के बारे में पूछें",
    "pt": "Perguntas sobre a biblioteca",
    "sw": "Maswali kuhusu maktaba",
    "uk": "Запитання про бібліотеку",
    "zh-Hans": "咨询图书馆事务",
}
_ASK_MORE = {
    "ar": "مواعيد العمل والبطاقات والإعارة والقاعات، من صفحات المكتبة نفسها.",
    "de": "Öffnungszeiten, Ausweise, Ausleihe, Räume: aus den Seiten der Bibliothek.",
    "en": "Opening hours, cards, loans, rooms, computers: answered from the library's own pages.",
    "es": "Horarios, carné, préstamos, salas, ordenadores: respuestas de las páginas de la biblioteca.",
    "fr": "Horaires, cartes, prêts, salles : des réponses tirées des pages de la bibliothèque.",
    "hi": "समय, कार्ड, किताबें, कमरे: जवाब पुस्तकालय के अपने पन्नों से।",
    "pt": "Horários, cartões, empréstimos, salas: respostas das páginas da biblioteca.",
    "sw": "Saa za kufunguliwa, kadi, kuazima vitabu, vyumba: majibu kutoka kurasa za maktaba.",
    "uk": "Години роботи, квитки, позики, зали: відповіді зі сторінок бібліотеки.",
    "zh-Hans": "开放时间、借书证、借阅、房间：答案来自图书馆自己的网页。",
}
_LETTER = {
    "ar": "كتابة رسالة",
    "de": "Einen Brief beginnen",
    "en": "Start a letter",
    "es": "Empezar una carta",
    "fr": "Commencer une lettre",
    "hi": "पत्र शुरू करें",
    "pt": "Começar uma carta",
    "sw": "Anza barua",
    "uk": "Почати лист",
    "zh-Hans": "写一封信",
}
_LETTER_MORE = {
    "ar": "مسودة أولى لرسالة قصيرة. يُرجى مراجعتها قبل الإرسال.",
    "de": "Ein erster Entwurf eines kurzen Briefs. Lesen Sie ihn durch, bevor Sie ihn abschicken.",
    "en": "A first draft of a short letter. Read it through before you send it.",
    "es": "Un primer borrador de una carta corta. Léalo antes de enviarlo.",
    "fr": "Un premier brouillon d’une lettre courte. Relisez-le avant de l’envoyer.",
    "hi": "छोटे पत्र का पहला मसौदा। भेजने से पहले पढ़ लें।",
    "pt": "Um primeiro rascunho de uma carta curta. Leia-o antes de enviar.",
    "sw": "Rasimu ya kwanza ya barua fupi. Isome kabla ya kuituma.",
    "uk": "Перша чернетка короткого листа. Прочитайте її, перш ніж надсилати.",
    "zh-Hans": "一封短信的初稿。寄出前请通读一遍。",
}

PASSAGES = (
    Passage(
        1,
        "Accessibility and home delivery",
        "accessibility-and-home-delivery.txt",
        "In the building",
        None,
        "The main door opens by itself and has no step. A lift goes to every floor; it is 90 centimetres wide at the "
        "door and speaks the floors aloud. Accessible toilets are on the ground floor and on the second floor. A "
        "hearing loop is fitted at the front desk and in the Weir Room. Guide dogs and assistance dogs are welcome "
        "everywhere.\n\nQuiet Hour is every Tuesday from 10:00 to 11:00. The lights are dimmed, the machines are "
        "silent, and no events take place.",
        "en",
    ),
    Passage(
        2,
        "Local history collection",
        "local-history-collection.pdf",
        "The map room",
        2,
        "The map room is on the second floor, beside the lift. Ask at the front desk for the key; maps are read at "
        "the table by the window and are not lent.",
        "en",
    ),
    Passage(
        3,
        "Accessibility and home delivery",
        "accessibility-and-home-delivery.txt",
        "Home delivery",
        None,
        "If you cannot come to the library for eight weeks or longer because of illness, disability or care for "
        "somebody, a volunteer brings books to your home. Home delivery is free.",
        "en",
    ),
    Passage(
        4,
        "دليل المكتبة",
        "guide-ar.pdf",
        "مواعيد العمل",
        3,
        "تفتح المكتبة أبوابها من الاثنين إلى الجمعة من الساعة 9 إلى الساعة 18. وتفتح المكتبة يوم السبت من الساعة 10 "
        "إلى الساعة 14. تُغلق المكتبة يوم الأحد وفي العطل الرسمية.",
        "ar",
    ),
    Passage(
        5,
        "Mwongozo wa maktaba",
        "mwongozo.pdf",
        "Saa za kufunguliwa",
        1,
        "Maktaba inafunguliwa saa 3 asubuhi, Jumatatu hadi Ijumaa, na kufungwa saa 12 jioni. Siku ya Jumamosi maktaba "
        "inafunguliwa saa 4 asubuhi. Jumapili imefungwa.",
        "sw",
    ),
)


def content() -> Manifest:
    """Return the bundle's manifest."""
    ask, letter = (service.model_dump() for service in manifest().services)
    services = [
        ask | {"title": _ASK, "description": _ASK_MORE, "prompt": _ASK},
        letter | {"id": "letter", "title": _LETTER, "description": _LETTER_MORE, "prompt": _LETTER},
    ]
    steward = {"name": "Alder Ford Town Library", "contact": "desk@alderford.example", "ask_a_person": _PERSON}
    languages = ["en", *(code for code in shipped() if code != "en")]
    return manifest(name="demo-library", title=_TITLE, languages=languages, services=services, steward=steward)


def bundle(root: Path) -> Bundle:
    """Write the bundle into a new folder."""
    return write_bundle(root, content())
