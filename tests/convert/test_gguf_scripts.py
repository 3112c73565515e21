"""Scripts of a text, by Unicode's names."""

import pytest

from publicai_edge.convert.check_texts import ENGLISH_TEXTS
from publicai_edge.convert.gguf import scripts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("12, 3!", [("signs and digits", "12, 3!")]),
        ("a b, 1é", [("Latin", "a b, 1é")]),
        ("cafe\u0301 हिन्दी.", [("Latin", "cafe\u0301 "), ("Devanagari", "हिन्दी.")]),
        ("中文 한국어", [("Chinese characters", "中文 "), ("Hangul", "한국어")]),
        ("本は", [("Chinese characters", "本"), ("Hiragana", "は")]),
        ("5 Скільки", [("signs and digits", "5 "), ("Cyrillic", "Скільки")]),
    ],
)
def test_a_text_is_cut_where_its_script_changes(text, expected):
    assert scripts.parts(text) == expected


def test_the_english_texts_are_in_latin_letters():
    assert len(ENGLISH_TEXTS) == 8
    assert {script for text in ENGLISH_TEXTS for script, _ in scripts.parts(text)} == {"Latin"}
    assert all(word in " ".join(ENGLISH_TEXTS) for word in ("Saturday", "Members", "Shelf 30", "borrow(item"))
