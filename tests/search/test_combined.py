"""A bundle and its additions, searched as one."""

import pytest

from publicai_edge.knowledge import IndexSettings, build_index
from publicai_edge.progress import Silent
from publicai_edge.search import KnowledgeBase, Passage
from publicai_edge.search.combined import GENERATION, CombinedBase, LastVector, Shown, bm25, listed
from publicai_edge.search.preference import PREFERENCE

PARKING = """# Parking permits

Residents get a parking permit at counter seven of the town hall. It costs forty euros a year.

## Visitors

A visitor permit for one day costs three euros; the parking machine at the harbour prints it.
"""
FRENCH = """# Impression

On peut imprimer à la machine qui se trouve près de l'escalier. Une page en A4 coûte 10 centimes, une page en A3
20 centimes. On paie avec des pièces ou avec la carte de lecteur.
"""
ASKED = {"top": 5, "min_relevance": 0.35}


@pytest.fixture(scope="module")
def added_index(embedder_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("added")
    (folder / "parking.md").write_text(PARKING)
    out = folder / "index.sqlite"
    name = "added/0123456789abcdef/parking.md"
    build_index({name: folder / "parking.md"}, embedder_folder, out, IndexSettings(120), Silent())
    return out


@pytest.fixture
def combined(demo_index, embedder):
    vectors = LastVector(embedder)
    base = CombinedBase(KnowledgeBase.open(demo_index, vectors), vectors)
    yield base
    base.close()


@pytest.fixture
def added(added_index, embedder):
    return KnowledgeBase.open(added_index, embedder)


def sources(base, question):
    return [hit.passage.source for hit in base.search(question, **ASKED)]


def test_with_nothing_added_the_bundle_answers_as_it_does_alone(combined, knowledge):
    for question in ("Is there a lift?", "When is story hour?", "How do I bake bread?", "  "):
        assert combined.search(question, **ASKED) == knowledge.search(question, **ASKED)


def test_an_added_document_is_found_beside_the_bundles(combined, added):
    question = "How much is a parking permit for residents?"
    assert not any(source.startswith("added/") for source in sources(combined, question))
    combined.show(Shown(added, 1))
    found = combined.search(question, **ASKED)
    assert found[0].passage.source == "added/0123456789abcdef/parking.md"
    assert "forty euros" in found[0].passage.text
    assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)
    combined.show(Shown())
    assert not any(source.startswith("added/") for source in sources(combined, question))


def test_an_addition_about_something_else_changes_no_answer_of_the_bundle(combined, added, knowledge):
    combined.show(Shown(added, 1))
    for question in ("Is there a lift?", "When is story hour?", "How long may I keep a book?"):
        first = knowledge.search(question, **ASKED)[0].passage
        assert combined.search(question, **ASKED)[0].passage == first
    assert combined.search("How do I bake bread?", **ASKED) == []


def test_of_a_bundles_and_an_added_document_the_one_in_the_patrons_language_is_preferred(
    bilingual_index, embedder_folder, embedder, tmp_path
):
    (tmp_path / "i.md").write_text(FRENCH, "utf-8")
    name = "added/0123456789abcdef/i.md"
    build_index({name: tmp_path / "i.md"}, embedder_folder, tmp_path / "i.sqlite", IndexSettings(120), Silent())
    vectors = LastVector(embedder)
    base = CombinedBase(KnowledgeBase.open(bilingual_index, vectors), vectors)
    base.show(Shown(KnowledgeBase.open(tmp_path / "i.sqlite", vectors), 1))
    plain = {hit.passage.source: hit.score for hit in base.search("A4 A3", top=3, min_relevance=0.0)}
    assert plain.keys() == {name, "impresion.md", "printing.md"}
    for language, preferred in (("fr", name), ("es", "impresion.md"), ("en", "printing.md")):
        found = base.search("A4 A3", top=3, min_relevance=0.0, language=language)
        assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)
        for hit in found:
            more = PREFERENCE if hit.passage.source == preferred else 0
            assert hit.score == pytest.approx(plain[hit.passage.source] + more)
    base.close()


def test_the_word_a_single_document_is_about_weighs_for_it(combined, added):
    """In an index of its own it is in every passage, so that BM25 there gives nothing for it."""
    assert added.held(["parking"]) == {"parking": len(added)}
    assert added.candidates("parking").words == {}
    combined.show(Shown(added, 1))
    assert combined.search("parking", top=1, min_relevance=0.99)[0].passage.source.startswith("added/")


def test_ids_and_sources_name_one_thing_only(combined, added, knowledge):
    combined.show(Shown(added, 3))
    (name,) = {hit.passage.source for hit in combined.search("parking permit", top=1, min_relevance=0.2)}
    passages = combined.document(name)
    assert passages[0].id == 3 * GENERATION + 1
    assert passages[-1].id < 2**53, "a browser can hold it"
    own = combined.document(knowledge.passage(1).source)
    assert all(passage.id < GENERATION for passage in own)


def test_a_hidden_document_is_neither_found_nor_opened(combined, added):
    question = "Is there a lift?"
    source = sources(combined, question)[0]
    combined.show(Shown(None, 0, frozenset([source])))
    assert source not in sources(combined, question)
    assert combined.document(source) == []
    name = "added/0123456789abcdef/parking.md"
    combined.show(Shown(added, 1, frozenset([name])))
    assert name not in sources(combined, "parking permit")
    assert combined.document(name) == []
    combined.show(Shown())
    assert sources(combined, question)[0] == source


def test_the_question_is_forgotten_after_the_search(combined, added):
    combined.show(Shown(added, 1))
    combined.search("a private question", **ASKED)
    assert "private" not in repr(vars(combined._embedder))


def test_bm25_grows_with_rare_terms_and_counts_headings_double():
    def passage(number, heading, text):
        return Passage(number, "Rules", "rules.md", heading, None, text)

    scores = bm25(
        [
            passage(1, "", "a lift and a ramp"),
            passage(2, "lift", "stairs and a ramp"),
            passage(3, "", "a ramp here now"),
        ],
        {"lift": 2.0, "ramp": 0.5, "boat": 5.0},
    )
    assert scores[2] > scores[1] > scores[3] > 0
    assert bm25([], {"lift": 1.0}) == {}


def test_documents_are_listed_with_their_passages(added_index, added):
    assert [(item.title, item.passages) for item in listed(added_index)] == [("Parking permits", len(added))]
    added.close()
