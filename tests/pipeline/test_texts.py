"""What START-HERE.html says of a bundle's documents."""

import pytest

from publicai_edge.pipeline.texts import _languages
from tests.kiosk.conftest import manifest


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({}, ""),
        ({"": 3}, ""),
        ({"en": 1}, "1 passage in English; none in Spanish: who chooses that is shown passages in other languages"),
        ({"en": 7, "es": 35, "": 2}, "35 passages in Spanish, 7 in English, 2 in a language that is not known"),
        (
            {"it": 4, "fr": 4},
            "4 passages in French, 4 in Italian; none in English (United Kingdom) and Spanish: who chooses that is "
            "shown passages in other languages",
        ),
    ],
)
def test_the_documents_languages_are_told_and_those_without_any(counts: dict[str, int], said: str) -> None:
    assert _languages(manifest(languages=["en-GB", "es"]), counts) == said
