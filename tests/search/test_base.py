import random
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from publicai_edge.engine.embedder import Embedder
from publicai_edge.errors import BundleError
from publicai_edge.search import KnowledgeBase
from publicai_edge.search.base import Candidates

ON_TOPIC = [
    ("When does the library open on Saturday?", "nine in the morning"),
    ("How many books can I borrow?", "up to 12 items"),
    ("What does colour printing cost?", "0.40 euros"),
    ("How long can I use a computer?", "60 minutes"),
    ("Can I get books delivered to my home?", "a volunteer brings books"),
    ("What do I pay for a late book?", "0.10 euros"),
    ("Is there a story time for small children?", "Story Hour"),
    ("How do I book a meeting room?", "up to 90 days ahead"),
    ("How old is the oldest item in the local history collection?", "1712"),
    ("Do you keep a list of what I have read?", "no list of what you have read"),
    ("¿Cuántos libros puedo llevarme a casa?", "hasta 12"),
    ("¿Cuánto cuesta imprimir una página en color?", "0,40 euros"),
]
# MiniLM itself, unquantized, puts the answer fourth.
MISSED = pytest.param(
    "What happens if I return a book late?", "0.10 euros", marks=pytest.mark.xfail(reason="MiniLM", strict=True)
)
OFF_TOPIC = [
    "What is the capital of France?",
    "How do I bake sourdough bread?",
    "Who won the football match yesterday?",
    "What is the weather tomorrow?",
    "How do I repair a leaking tap?",
    "What is the dose of ibuprofen for a child?",
    "Explain quantum entanglement",
    "How much does a flight to Tokyo cost?",
    "Which political party should I vote for?",
    "What is 17 times 23?",
]


@pytest.mark.parametrize(("question", "answer"), [*ON_TOPIC, MISSED])
def test_the_passage_with_the_answer_is_among_three(knowledge, question, answer):
    hits = knowledge.search(question, top=3, min_relevance=0.3)
    assert any(answer in hit.passage.text for hit in hits)


@pytest.mark.parametrize("question", OFF_TOPIC)
def test_nothing_is_found_for_another_subject(knowledge, question):
    assert knowledge.search(question, top=3, min_relevance=0.3) == []


def test_a_form_number_is_found_by_its_letters_alone(knowledge):
    (hit, *_) = knowledge.search("form HD-2", top=3, min_relevance=0.99)
    assert "HD-2" in hit.passage.text


def test_small_words_in_common_are_no_match(knowledge):
    assert knowledge.search("where can you have the zebra", top=3, min_relevance=0.99) == []


def test_hits_carry_source_heading_page_and_falling_scores(knowledge):
    hits = knowledge.search("How high did the river rise in the flood of 1931?", top=8, min_relevance=0.0)
    best = hits[0].passage
    assert (best.source, best.page) == ("local-history-collection.pdf", 2)
    assert (best.document, best.heading) == ("The Local History Collection", "The flood of 1931")
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(-1 <= hit.relevance <= 1.0001 for hit in hits)
    assert len(hits) == 8


def test_relevance_is_the_cosine_to_the_question(knowledge, embedder):
    (hit,) = knowledge.search("What does colour printing cost?", top=1, min_relevance=0.3)
    passage = hit.passage
    text = "\n".join([passage.document, passage.heading, passage.text])
    cosine = embedder.encode(["What does colour printing cost?"], "query")[0] @ embedder.encode([text], "passage")[0]
    assert hit.relevance == pytest.approx(float(cosine), abs=1e-5)


@pytest.mark.parametrize("question", ["", "   ", "\0", "?", '"', "*", "NOT", "a AND", "col:x", "(", "'; DROP TABLE"])
def test_odd_questions_are_answered(knowledge, question):
    knowledge.search(question, top=3, min_relevance=0.3)


@given(st.text(max_size=60))
def test_no_question_is_an_error(demo_index, embedder, question):
    base = KnowledgeBase.open(demo_index, embedder)
    base.search(question, top=3, min_relevance=0.3)
    base.close()


def test_a_question_of_a_megabyte_is_answered_soon(knowledge):
    started = time.process_time()  # by the clock, it is as long as others let it wait
    knowledge.search("library opening hours " * 50_000, top=3, min_relevance=0.3)
    assert time.process_time() - started < 1


def test_a_search_takes_less_than_30_ms(knowledge):
    knowledge.search("warm up", top=3, min_relevance=0.3)
    medians = []
    while len(medians) < 20 and min(medians, default=1.0) >= 0.030:  # a busy machine has a quiet moment
        seconds = []
        for question, _ in ON_TOPIC:
            started = time.perf_counter()
            knowledge.search(question, top=3, min_relevance=0.3)
            seconds.append(time.perf_counter() - started)
        medians.append(sorted(seconds)[len(seconds) // 2])
    assert min(medians) < 0.030


def test_threads_search_at_once_with_the_same_results(knowledge):
    def answers() -> list[list[int]]:
        found = [knowledge.search(question, top=3, min_relevance=0.3) for question, _ in ON_TOPIC]
        return [[hit.passage.id for hit in hits] for hits in found]

    expected = answers()
    with ThreadPoolExecutor(6) as pool:
        assert all(result == expected for result in pool.map(lambda _: answers(), range(12)))


def test_a_document_is_read_in_place(knowledge):
    passages = knowledge.document("opening-hours.md")
    assert passages[0].text.startswith("Alder Ford Town Library stands at 4 Weir Lane")
    assert [item.id for item in passages] == sorted(item.id for item in passages)
    assert {item.source for item in passages} == {"opening-hours.md"}
    assert knowledge.passage(passages[0].id) == passages[0]
    assert knowledge.document("no-such.md") == []
    with pytest.raises(KeyError):
        knowledge.passage(10**9)


def test_an_index_on_read_only_media_opens_and_leaves_nothing_beside_it(demo_index, embedder, tmp_path):
    folder = tmp_path / "a %23 odd?name#"
    folder.mkdir()
    shutil.copyfile(demo_index, folder / "k.sqlite")
    (folder / "k.sqlite").chmod(0o444)
    folder.chmod(0o555)
    base = KnowledgeBase.open(folder / "k.sqlite", embedder)
    assert base.search("opening hours", top=1, min_relevance=0.3)
    base.close()
    assert [path.name for path in folder.iterdir()] == ["k.sqlite"]
    folder.chmod(0o755)


def test_a_missing_index_is_named(embedder, tmp_path):
    with pytest.raises(BundleError, match=r"nothing\.sqlite"):
        KnowledgeBase.open(tmp_path / "nothing.sqlite", embedder)


def test_a_passage_tells_its_language(bilingual, knowledge):
    found = {hit.passage.source: hit.passage.language for hit in bilingual.search("A4", top=2, min_relevance=0)}
    assert found == {"printing.md": "en", "impresion.md": "es"}
    of_demo = {source: {item.language for item in knowledge.document(source)} for source in knowledge.sources()}
    spanish = {source for source, found in of_demo.items() if found == {"es"}}
    assert spanish == {"horarios-y-carne.md", "ordenadores-y-clases.txt"}
    assert all(found == {"en"} for source, found in of_demo.items() if source not in spanish)


@pytest.mark.parametrize(
    ("language", "first"),
    [("en", "printing.md"), ("en-GB", "printing.md"), ("es", "impresion.md"), ("ES_mx", "impresion.md")],
)
def test_the_patrons_language_comes_first_and_the_other_is_still_found(bilingual, language, first):
    hits = bilingual.search("A4 A3", top=2, min_relevance=0.0, language=language)
    assert len(hits) == 2
    assert hits[0].passage.source == first


def test_a_better_passage_in_another_language_stays_first(bilingual):
    (first, _) = bilingual.search("What does it cost to print a page on A3?", top=2, min_relevance=0.0, language="es")
    assert first.passage.source == "printing.md"


def test_a_language_that_no_document_is_in_changes_nothing(bilingual, knowledge):
    for base, languages in ((bilingual, ("uk", "")), (knowledge, ("ar", "sw", ""))):
        found = [base.search("A4 A3", top=3, min_relevance=0.0, language=language) for language in languages]
        assert all(hits == found[0] for hits in found)
        assert all(hit.score <= 1 + 1e-9 for hit in found[0])


@pytest.mark.parametrize("data", [b"", b"not a database at all", b"SQLite format 3\0" + b"\xff" * 5000])
def test_what_is_no_index_is_refused(embedder, tmp_path, data):
    (tmp_path / "k.sqlite").write_bytes(data)
    with pytest.raises(BundleError, match=r"k\.sqlite"):
        KnowledgeBase.open(tmp_path / "k.sqlite", embedder)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("PRAGMA application_id = 7", "not an index"),
        ("UPDATE meta SET value = '99' WHERE key = 'format'", "format '99'; this program reads format '3'"),
        ("UPDATE meta SET value = '1' WHERE key = 'format'", "format '1', from an earlier publicai-edge"),
        ("UPDATE meta SET value = '2' WHERE key = 'format'", "format '2', from an earlier publicai-edge"),
        ("CREATE TRIGGER t AFTER INSERT ON meta BEGIN SELECT 1; END", "other tables"),
        ("CREATE VIEW v AS SELECT 1", "other tables"),
        ("DROP INDEX passages_document", "other tables"),
        ("UPDATE meta SET value = 'x' WHERE key = 'embedder'", "another embedding model"),
        ("DELETE FROM arrays WHERE name = 'signs'", "damaged: its array 'signs' is missing"),
        ("UPDATE arrays SET data = x'00' WHERE name = 'signs'", "damaged: its signs do not fit"),
        ("UPDATE arrays SET data = x'00' WHERE name = 'centre'", "damaged: its signs do not fit"),
        ("UPDATE arrays SET data = x'00' WHERE name = 'lengths'", "damaged: its lengths do not fit"),
    ],
)
def test_a_foreign_index_is_refused(demo_index, embedder, tmp_path, statement, message):
    path = tmp_path / "k.sqlite"
    shutil.copyfile(demo_index, path)
    connection = apsw.Connection(str(path))
    connection.execute(statement)
    connection.close()
    with pytest.raises(BundleError, match=message):
        KnowledgeBase.open(path, embedder)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DELETE FROM codes WHERE id = 3", "codes"),
        ("UPDATE codes SET code = x'00' WHERE id = 3", "codes"),
        ("UPDATE codes SET code = 7 WHERE id = 3", "codes"),
        ("UPDATE terms SET held = 9999", "more passages than there are"),
        ("UPDATE terms SET held = -1", "more passages than there are"),
        ("UPDATE terms SET held = 'x'", "more passages than there are"),
        ("UPDATE terms SET held = held + 1 WHERE held < 9", "another size"),
        ("UPDATE terms SET postings = 7", "another size"),
        ("UPDATE terms SET held = 1, postings = x'ffffff0001'", "not there"),
        ("UPDATE terms SET held = 1, postings = x'0000000001'", "not there"),
    ],
)
def test_what_does_not_fit_together_is_damage(demo_index, embedder, tmp_path, statement, message):
    path = tmp_path / "k.sqlite"
    shutil.copyfile(demo_index, path)
    connection = apsw.Connection(str(path))
    connection.execute(statement)
    connection.close()
    base = KnowledgeBase.open(path, embedder)
    with pytest.raises(BundleError, match=rf"k\.sqlite is damaged: .*{message}"):
        base.search("What does colour printing cost?", top=3, min_relevance=0.3)
    base.close()


def test_an_index_of_the_first_format_is_refused_with_what_to_do(embedder, tmp_path):
    path = tmp_path / "k.sqlite"
    connection = apsw.Connection(str(path))
    for statement in (
        "PRAGMA application_id = 0x50414B42",
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        "INSERT INTO meta VALUES ('format', '1'), ('dim', '384')",
        "CREATE VIRTUAL TABLE words USING fts5 (heading, text, content='')",
    ):
        connection.execute(statement)
    connection.close()
    with pytest.raises(BundleError, match="from an earlier publicai-edge; this one reads format '3'") as refused:
        KnowledgeBase.open(path, embedder)
    assert "Build the bundle again" in (refused.value.hint or "")


def test_an_embedding_model_that_did_not_build_the_index_is_refused(demo_index, embedder):
    other = Embedder(replace(embedder.config, query_prefix="query: "), embedder._session, embedder._tokenizer)
    with pytest.raises(BundleError, match="another embedding model"):
        KnowledgeBase.open(demo_index, other)


def test_a_damaged_index_gives_only_bundle_errors(demo_index, embedder, tmp_path):
    whole = demo_index.read_bytes()
    path = tmp_path / "k.sqlite"
    refused = 0
    for page in range(len(whole) // 4096):
        data = bytearray(whole)
        data[page * 4096 : page * 4096 + 4096] = b"\xa5" * 4096
        path.write_bytes(data)
        try:
            base = KnowledgeBase.open(path, embedder)
            try:
                base.search("opening hours on Saturday", top=3, min_relevance=0.3)
            finally:
                base.close()
        except BundleError:
            refused += 1
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BundleError):
        KnowledgeBase.open(path, embedder).search("opening hours", top=3, min_relevance=0.3)
    assert refused > 5


def test_changed_bytes_in_an_index_give_only_bundle_errors(demo_index, embedder, tmp_path):
    whole, chance, refused = demo_index.read_bytes(), random.Random(20), 0
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(chance.choice([1, 20, 400])):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path = tmp_path / "k.sqlite"
        path.write_bytes(data)
        try:
            base = KnowledgeBase.open(path, embedder)
            try:
                base.search("form HD-2", top=8, min_relevance=-1)
                base.document("opening-hours.md")
            finally:
                base.close()
        except BundleError:
            refused += 1
    assert refused > 5


def test_a_closed_base_does_not_search(demo_index, embedder):
    base = KnowledgeBase.open(demo_index, embedder)
    base.close()
    with pytest.raises(RuntimeError):
        base.search("opening hours", top=1, min_relevance=0.3)


def test_a_score_is_mostly_meaning_and_partly_words_each_over_the_best():
    found = Candidates(nearest=(1, 2), words={3: 4.0, 2: 1.0}, cosines={1: 0.8, 2: 0.6, 3: 0.2})
    assert list(found.scores().items()) == [
        (1, pytest.approx(0.7)),
        (2, pytest.approx(0.7 * 0.75 + 0.3 * 0.25)),
        (3, pytest.approx(0.7 * 0.25 + 0.3)),
    ]


def test_scores_keep_the_order_where_no_passage_is_any_good():
    found = Candidates(nearest=(2, 1, 3), words={}, cosines={1: -0.2, 2: -0.1, 3: -0.2})
    assert list(found.scores()) == [2, 1, 3]


def test_candidates_are_what_a_search_ranks_by(knowledge):
    question = "What does colour printing cost?"
    found = knowledge.candidates(question)
    assert set(found.cosines) == set(found.nearest) | set(found.words)
    assert list(found.words.values()) == sorted(found.words.values(), reverse=True)
    assert [found.cosines[number] for number in found.nearest] == sorted(
        (found.cosines[number] for number in found.nearest), reverse=True
    )
    hits = knowledge.search(question, top=5, min_relevance=-1.0)
    assert [(hit.passage.id, hit.score) for hit in hits] == list(found.scores().items())[:5]
