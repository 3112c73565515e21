import pytest

from publicai_edge.search.terms import MAX_QUESTION_TERMS, question_terms, terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Library's form HD-2!", ["the", "library", "s", "form", "hd", "2"]),
        ("Información ÜBER Ångström", ["informacion", "uber", "angstrom"]),
        ("STRASSE Straße", ["strasse", "strasse"]),
        ("المَكتَبة", ["المكتبة"]),
        ("हिन्दी किताब", ["हिन्दी", "किताब"]),
        ("图书馆开门", ["图书", "书馆", "馆开", "开门"]),
        ("书", ["书"]),
        ("本を3冊borrow", ["本を", "3", "冊", "borrow"]),
        ("도서관 회원증", ["도서관", "회원증"]),
        ("ﬁne ２０", ["fine", "20"]),  # noqa: RUF001 - compatibility forms are the point
        ("?! — …", []),
    ],
)
def test_terms_are_what_a_patron_would_type(text, expected):
    assert terms(text) == expected


def test_a_questions_terms_are_different_ones_without_signs():
    assert question_terms('NEAR(a b) OR "x" * col: A') == ["near", "a", "b", "or", "x", "col"]


def test_a_long_question_gives_a_bounded_number_of_terms():
    assert len(question_terms(" ".join(f"w{n}" for n in range(10_000)))) == MAX_QUESTION_TERMS
