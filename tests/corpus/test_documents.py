"""Values that pass between stages."""

import json

import pytest

from publicai_edge.corpus import Corpus, Document, TextSource, joined
from publicai_edge.errors import RecipeError


def test_a_corpus_goes_to_json_and_back(ten: Corpus):
    again = Corpus.from_json(json.loads(json.dumps(ten.to_json())))
    assert again == ten and again.sha256 == ten.sha256


def test_the_same_text_has_the_same_digest_however_it_is_spaced_or_composed():
    texts = ["Caf\u00e9  is\nopen", "CAFE\u0301 is open ", "café is open"]
    assert len({Document("a", "fr", text, "").sha256 for text in texts}) == 1
    assert Document("a", "fr", "cafe is open", "").sha256 != Document("a", "fr", texts[0], "").sha256


def test_a_corpus_digest_tells_texts_languages_and_order_but_not_where_they_lay(corpus):
    one = corpus(("a", "en", "One."), ("b", "en", "Two."))
    moved = Corpus(tuple(Document(d.id, d.language, d.text, "elsewhere") for d in one.documents), ())
    assert one.sha256 == moved.sha256
    others = [
        corpus(("b", "en", "Two."), ("a", "en", "One.")),
        corpus(("a", "fr", "One."), ("b", "en", "Two.")),
        corpus(("a", "en", "One!"), ("b", "en", "Two.")),
    ]
    assert len({one.sha256, *(other.sha256 for other in others)}) == 4


def test_two_documents_of_one_name_and_language_are_refused(corpus):
    one, two = corpus(("a", "en", "One.")), corpus(("a", "en", "Two."))
    with pytest.raises(RecipeError, match="both called 'a'"):
        joined([one, two])
    assert joined([one, corpus(("a", "fr", "Un."))]).languages == ("en", "fr")


def test_a_source_counts_its_documents(corpus):
    made = corpus(("a", "en", "One."), ("b", "fr", "Deux."))
    source = TextSource.of(made.documents, name="Own", license="CC0-1.0", license_url=None)
    assert (source.languages, source.documents, source.characters) == (("en", "fr"), 2, 9)
