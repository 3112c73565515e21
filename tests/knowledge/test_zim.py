"""ZIM files: checked when a bundle is built, searched by their own index, and harmless when they are damaged."""

import os
import random
import signal
import time
import uuid
from pathlib import Path

import pytest

from publicai_edge.engine.embedder import Embedder
from publicai_edge.errors import BundleError, DocumentError, HostError
from publicai_edge.knowledge import zim
from publicai_edge.knowledge.extract import html
from publicai_edge.knowledge.zim.archive import MOST_PASSAGES
from publicai_edge.knowledge.zim.check import check
from publicai_edge.knowledge.zim.library import MOST_VECTORS, ZimLibrary
from publicai_edge.knowledge.zim.reader import Limits, ZimReader
from publicai_edge.progress import Silent
from publicai_edge.search import terms
from tests.knowledge import zims
from tests.service import canary


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zims.write(tmp_path_factory.mktemp("zim") / "small.zim")


@pytest.fixture
def reader(archive):
    found = ZimReader(archive, passage_words=120)
    yield found
    found.close()


@pytest.fixture(scope="module")
def library(archive, embedder_folder):
    found = ZimLibrary.open(archive, "Small Encyclopedia", Embedder.open(embedder_folder), passage_words=120)
    yield found
    found.close()


def worker_of(reader: ZimReader) -> int:
    assert reader._process is not None
    return reader._process.pid


# --- built ------------------------------------------------------------------------------------------------------------


def test_a_sound_archive_tells_what_it_is(archive):
    found = check(archive, "small.zim", Silent())
    assert (found.title, found.language, found.date) == ("Small Encyclopedia", "", "2026-11-01")
    assert found.license == "CC-BY-SA-4.0"
    assert found.articles >= len(zims.ARTICLES)


def test_an_archive_without_an_index_is_refused_with_the_next_step(tmp_path):
    place = zims.write(tmp_path / "bare.zim", index=False)
    with pytest.raises(DocumentError, match=r"bare\.zim has no full-text index") as caught:
        check(place, "bare.zim", Silent())
    assert "zimrecreate" in (caught.value.hint or "")


def test_an_archive_without_text_is_refused(tmp_path):
    place = zims.write(tmp_path / "empty.zim", {"Big": ("Big", "<p>x</p>" * 700_000)}, redirects=())
    with pytest.raises(DocumentError, match="no article whose text can be read"):
        check(place, "empty.zim", Silent())


@pytest.mark.parametrize("at", [0.2, 0.5, 0.9])
def test_a_changed_byte_is_found(archive, tmp_path, at):
    data = bytearray(archive.read_bytes())
    data[int(len(data) * at)] ^= 0xFF
    place = tmp_path / "changed.zim"
    place.write_bytes(data)
    with pytest.raises(DocumentError, match=r"changed\.zim"):
        check(place, "changed.zim", Silent())


def test_a_cut_archive_and_another_file_are_refused(archive, tmp_path):
    for name, data in {"cut.zim": archive.read_bytes()[:-100], "other.zim": b"PK\x03\x04 no ZIM file"}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DocumentError, match=name):
            check(tmp_path / name, name, Silent())


def test_without_libzim_the_next_step_is_told(archive, monkeypatch):
    monkeypatch.setattr(zim, "is_installed", lambda: False)
    with pytest.raises(HostError, match="needs libzim") as caught:
        check(archive, "small.zim", Silent())
    assert "publicai-edge[zim]" in (caught.value.hint or "")


# --- read -------------------------------------------------------------------------------------------------------------


def test_articles_that_hold_most_of_a_sentence_are_found(reader):
    found = reader.search(terms.question_terms("How do green plants make sugar of the sun and of water?"), 3)
    assert found.paths[0] == "Photosynthesis"
    assert found.weights["sugar"] > found.weights["water"] > 0


def test_nothing_in_a_question_is_an_operator(reader):
    plain = reader.search(terms.question_terms("volcano lava bicycle"), 8).paths
    assert set(plain) == {"Volcano", "Bicycle"}
    for typed in (
        'volcano AND lava OR "bicycle"',
        "+volcano -lava (bicycle)",
        "title:volcano lava* bicycle~",
        "lava bicycle volcano NOT",
    ):
        assert set(plain) <= set(reader.search(terms.question_terms(typed), 8).paths), typed
    for typed in ('"', "((((", "* OR *", "-", "NEAR/5", "\x00\ufffe"):
        reader.search(terms.question_terms(typed), 8)


@pytest.mark.parametrize("letters", [1, 40, 75, 170, 500])
def test_no_word_of_a_question_stays_in_the_memory_of_the_process(reader, letters):
    word = f"kanarienvogel{uuid.uuid4().hex}{letters * 'r'}"
    forms = canary.needles(word)
    reader.open()
    for path in reader.search(terms.question_terms(f"volcano lava {word}"), 3).paths:
        reader.article(path)
    assert canary.in_memory(worker_of(reader), {"core": forms["core"]}), "before that, it is found"
    reader.scrub()
    assert canary.in_memory(worker_of(reader), forms) == {}


def test_scrubbing_starts_no_process(reader):
    reader.scrub()
    assert reader.pid is None
    reader.open()
    os.kill(worker_of(reader), signal.SIGKILL)
    reader.scrub()
    assert reader.pid is None
    assert reader.search(["lava"], 1).paths == ("Volcano",)


def test_accents_and_inflection_do_not_hide_an_article(reader):
    assert reader.search(terms.question_terms("maiz"), 3).paths == ("Maíz",)
    assert reader.search(terms.question_terms("bicycles"), 3).paths == ("Bicycle",)


def test_an_article_is_text_without_what_is_around_it(reader):
    found = reader.article("Photosynthesis")
    assert found is not None
    assert [heading for heading, _ in found.passages] == ["", "Chlorophyll", "Oxygen"]
    text = " ".join(text for _, text in found.passages)
    assert "takes up red and blue light." in text
    for unwanted in ("[3]", "edit", "Calvin", "alert", "<"):
        assert unwanted not in text


def test_a_redirect_leads_to_its_article_and_nothing_else_is_text(tmp_path):
    others = [("style.css", "style", "text/css", "p { color: red }"), ("big", "Big", "text/html", "<p>x</p>" * 700_000)]
    place = zims.write(tmp_path / "more.zim", others=others)
    reader = ZimReader(place, 120)
    try:
        assert (found := reader.article("Plant sugar"))
        assert found.path == "Photosynthesis"
        inside = ("style.css", "big", "X/fulltext/xapian", "M/Title")
        for path in (*inside, "none", "../../etc/passwd", "", "\0", "é" * 5000):
            assert reader.article(path) is None, path
    finally:
        reader.close()


def test_a_long_article_is_cut_off_at_a_bound(tmp_path):
    body = "".join(f"<h2>Part {number}</h2><p>Words about granite.</p>" for number in range(3 * MOST_PASSAGES))
    reader = ZimReader(zims.write(tmp_path / "long.zim", {"Granite": ("Granite", body)}, redirects=()), 120)
    try:
        assert (found := reader.article("Granite"))
        assert len(found.passages) == MOST_PASSAGES
    finally:
        reader.close()


# --- damaged ----------------------------------------------------------------------------------------------------------


def test_a_reader_that_was_killed_is_replaced(reader):
    assert reader.article("Tides")
    os.kill(worker_of(reader), signal.SIGSEGV)
    with pytest.raises(BundleError, match=r"small\.zim cannot be read.*SIGSEGV") as caught:
        reader.search(["canary"], 3)
    assert "canary" not in str(caught.value)
    assert reader.article("Tides")


def test_a_reader_that_hangs_is_ended(archive):
    reader = ZimReader(archive, 120, Limits(seconds=1))
    try:
        assert reader.article("Tides")
        os.kill(worker_of(reader), signal.SIGSTOP)  # not even its own alarm reaches it
        started = time.monotonic()
        with pytest.raises(BundleError, match="longer than 1 s"):
            reader.article("Tides")
        assert time.monotonic() - started < 30
        assert reader.article("Tides")
    finally:
        reader.close()


def test_no_damage_ends_the_process_that_asks(archive, tmp_path):
    whole, chance = archive.read_bytes(), random.Random(13)
    place, told = tmp_path / "small.zim", 0
    for _ in range(40):
        data = bytearray(whole)
        for _ in range(chance.choice([1, 8, 200])):
            data[chance.randrange(4, len(data))] = chance.randrange(256)
        place.write_bytes(data)
        reader = ZimReader(place, 120, Limits(seconds=5))
        try:
            for path in reader.search(["lava", "plants", "maiz"], 6).paths:
                reader.article(path)
        except BundleError as error:
            told += 1
            assert error.hint
        finally:
            reader.close()
    assert told


def test_a_file_that_is_no_archive_is_told_when_it_is_opened(tmp_path):
    (tmp_path / "no.zim").write_bytes(b"ZIM\x04" + b"\xff" * 500)
    with pytest.raises(BundleError, match=r"no\.zim cannot be read"):
        ZimReader(tmp_path / "no.zim", 120).open()


def test_the_reader_ends_with_its_library(archive):
    reader = ZimReader(archive, 120)
    reader.open()
    number = worker_of(reader)
    reader.close()
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
    with pytest.raises(RuntimeError, match="closed"):
        reader.article("Tides")


# --- searched ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "title", "heading", "words"),
    [
        ("What substance makes leaves green?", "Photosynthesis", "Chlorophyll", "green substance"),
        ("How do I mend a flat tyre?", "Bicycle", "Repair", "rubber cement"),
        ("How do bees tell each other the way?", "Honey bee", "Dance", "by a dance"),
        ("¿Cómo se hacen las tortillas de maíz?", "Maíz", "Tortillas", "agua con cal"),
    ],
)
def test_the_right_passage_is_found_with_its_title(library, question, title, heading, words):
    hit = library.search(question, top=3, min_relevance=0.3)[0]
    assert hit.passage.document == f"{title} (Small Encyclopedia)"
    assert hit.passage.heading == heading
    assert hit.passage.source.startswith("small.zim/")
    assert words in hit.passage.text
    assert 0 < hit.score <= 1


def test_what_the_archive_does_not_speak_of_is_not_answered(library):
    assert library.search("How much does a passport cost?", top=3, min_relevance=0.3) == []
    assert library.search("  ?!", top=3, min_relevance=0.3) == []


def test_a_passage_has_one_number_in_a_search_and_in_its_document(library):
    hit = library.search("How do I mend a flat tyre?", top=1, min_relevance=0.3)[0]
    document = library.document(hit.passage.source)
    assert hit.passage in document
    assert len({passage.id for passage in document}) == len(document)
    assert all(passage.id < 2**53 for passage in document)  # a number in the page's language


def test_a_path_with_slashes_and_accents_opens_its_document(library):
    found = library.document("small.zim/Canción/de_cuna")
    assert found[0].document == "Canción de cuna (Small Encyclopedia)"
    for source in ("other.zim/Maíz", "small.zim", "small.zim/", "small.zim/none", "hours.md"):
        assert library.document(source) == []


def test_what_one_question_costs_is_bounded_and_the_next_costs_less(tmp_path, embedder_folder):
    class Counting(Embedder):
        passages = 0

        def encode(self, texts, kind):
            Counting.passages += len(texts) if kind == "passage" else 0
            return super().encode(texts, kind)

    body = "".join(f"<h2>Part {n}</h2><p>Granite number {n} is a hard rock.</p>" for n in range(100))
    rocks = {f"Rock {n}": (f"Rock {n}", body) for n in range(6)}
    trees = {f"Tree {n}": ("Tree", "<p>Oak</p>") for n in range(9)}
    place = zims.write(tmp_path / "rocks.zim", rocks | trees, redirects=())
    real = Embedder.open(embedder_folder)
    found = ZimLibrary.open(place, "Rocks", Counting(real.config, real._session, real._tokenizer), 120)
    try:
        assert found.search("Is granite a hard rock?", top=3, min_relevance=0.3)
        assert 6 <= Counting.passages <= MOST_VECTORS
        found.search("Is granite a hard rock?", top=3, min_relevance=0.3)
        assert Counting.passages <= MOST_VECTORS
    finally:
        found.close()


def test_notes_of_mediawiki_are_left_out_of_any_page():
    note, box = b'<sup class="reference">[12]</sup>', b'<table class="navbox"><tr><td>a</td></tr></table>'
    page = b"<p>It is so." + note + b" x<sup>2</sup></p>" + box
    assert [block.text for block in html.extract(page, "x.html").blocks] == ["It is so. x2"]
