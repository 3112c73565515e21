"""The Universal Declaration, aligned across languages and scripts, from the real package."""

import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from publicai_edge.corpus import Corpus, split, udhr
from publicai_edge.corpus.udhr_index import candidates, read_index
from publicai_edge.errors import DocumentError, RecipeError, SourceError
from tests.corpus.conftest import TEN

ALL_31 = {"udhr/preamble"} | {f"udhr/article-{number}" for number in range(1, 31)}
SHIFTED = {"bin", "nym", "qxu", "tso_ZW", "umb"}
FRAGMENTS = {"khk_mong", "taj", "tgl_tglg", "tzm_tfng"}


def text_of(corpus: Corpus, language: str, name: str) -> str:
    (document,) = (item for item in corpus.of(language) if item.id == name)
    return document.text


def test_every_language_has_the_same_31_documents_in_the_same_order(ten: Corpus):
    orders = {language: [document.id for document in ten.of(language)] for language in TEN}
    assert set(orders["en"]) == ALL_31
    assert all(order == orders["en"] for order in orders.values())
    assert ten.languages == TEN


@pytest.mark.parametrize(
    ("language", "script", "article_3"),
    [
        ("en", "LATIN", "Everyone has the right to life, liberty and the security of person."),
        ("sw", "LATIN", "Kila mtu ana haki ya kuishi, haki ya uhuru, na haki ya kulindwa nafsi yake."),
        ("ru", "CYRILLIC", "Каждый человек имеет право на жизнь, на свободу и на личную неприкосновенность."),
        ("ar", "ARABIC", "لكل فرد الحق في الحياة والحرية وسلامة شخصه."),
        ("hi", "DEVANAGARI", "प्रत्येक व्यक्ति को जीवन, स्वाधीनता और वैयक्तिक सुरक्षा का अधिकार है ।"),
        ("zh", "CJK", "人人有权享有生命、自由和人身安全。"),
        ("th", "THAI", "คนทุกคนมีสิทธิในการดำรงชีวิต เสรีภาพ และความมั่นคงแห่งตัวตน"),
    ],
)
def test_texts_are_whole_and_in_their_script(ten: Corpus, language: str, script: str, article_3: str):
    assert text_of(ten, language, "udhr/article-3") == article_3
    letters = [letter for document in ten.of(language) for letter in document.text if letter.isalpha()]
    in_script = sum(unicodedata.name(letter).startswith(script) for letter in letters)
    assert in_script > 0.99 * len(letters)


def test_paragraphs_and_list_items_are_kept_and_headings_are_not(ten: Corpus):
    assert len(text_of(ten, "en", "udhr/preamble").split("\n\n")) == 10
    article_26 = text_of(ten, "en", "udhr/article-26").split("\n\n")
    assert len(article_26) == 3
    assert (
        article_26[2]
        == "Parents have a prior right to choose the kind of education that shall be given to their children."
    )
    assert not any("Article" in document.text for document in ten.of("en"))


def test_no_word_of_a_paragraph_is_lost(package: Path, ten: Corpus):
    """Against the file's own text, read without the parser: every paragraph's words, in order."""
    import re

    for language, code in {"en": "eng", "ar": "arb", "hi": "hin", "zh": "cmn_hans", "th": "tha"}.items():
        page = (package / "declaration" / f"{code}.html").read_text(encoding="utf-8")
        expected = " ".join(re.findall(r"<p>(.*?)</p>", page, re.DOTALL)).split()
        assert " ".join(document.text for document in ten.of(language)).split() == expected


def test_white_space_is_one_space_or_one_empty_line(ten: Corpus):
    for document in ten.documents:
        assert document.text == "\n\n".join(" ".join(part.split()) for part in document.text.split("\n\n"))


def test_the_source_tells_the_terms_and_does_not_invent_a_licence(ten: Corpus):
    (source,) = ten.sources
    assert source.license.startswith("No licence is stated")
    assert source.license_url and source.license_url.startswith("https://www.ohchr.org/")
    assert (source.documents, source.characters) == (310, sum(len(document.text) for document in ten.documents))


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("en", "eng"), ("es", "spa"), ("fr", "fra"), ("sw", "swh"), ("ar", "arb"), ("hi", "hin"), ("ru", "rus"),
        ("uk", "ukr"), ("pt", "por_PT"), ("pt-BR", "por_BR"), ("pt-AO", "por_PT"), ("zh", "cmn_hans"),
        ("zh-Hans", "cmn_hans"), ("zh-Hans-CN", "cmn_hans"), ("zh-Hant", "cmn_hant"), ("zh-TW", "cmn_hant"),
        ("de", "deu_1996"), ("de-AT", "deu_1996"), ("de-1901", "deu_1901"), ("ro", "ron_2006"), ("sr", "srp_cyrl"),
        ("sr-Latn", "srp_latn"), ("uz", "uzn_latn"), ("ja", "jpn"), ("fi", "fin"), ("so", "som"), ("lv", "lav"),
        ("swh", "swh"), ("EN-gb", "eng"), ("ms", "mly_latn"), ("no", "nob"), ("fil", "tgl"),
    ],
)  # fmt: skip
def test_a_tag_finds_the_declaration_a_steward_means(package: Path, tag: str, code: str):
    assert candidates(read_index(package), tag)[0].code == code


def test_every_declaration_is_found_by_its_own_tag(package: Path):
    index = read_index(package)
    assert len(index) == 532
    for item in index:
        if item.tag != "und":
            assert item in candidates(index, item.tag)


@pytest.mark.parametrize(("tag", "near"), [("swahili", "sw (Swahili)"), ("hi-Latn", "hi (Hindi)"), ("tlh", "tl (")])
def test_an_unknown_language_names_near_ones(package: Path, tag: str, near: str):
    with pytest.raises(RecipeError) as caught:
        udhr.read(package, ["en", tag])
    assert repr(tag) in caught.value.message and near in caught.value.message
    assert caught.value.hint


def test_a_declaration_with_shifted_articles_gives_way_to_another_and_it_is_told(package: Path):
    corpus = udhr.read(package, ["umb"])
    assert {document.origin for document in corpus.documents} == {"udhr/011.html"}
    assert "umb.html has text for headings" in corpus.sources[0].notes[0]


def test_a_language_with_only_a_fragment_is_refused(package: Path):
    with pytest.raises(RecipeError, match=r"taj\.html is a fragment: it holds 1 of 30 articles"):
        udhr.read(package, ["taj"])


def test_missing_articles_are_told(package: Path):
    corpus = udhr.read(package, ["cv", "am"])
    assert len(corpus.of("cv")) == 20 and len(corpus.of("am")) == 30
    notes = " ".join(corpus.sources[0].notes)
    assert "chv.html (Chuvash) lacks articles 20 to 30" in notes and "lacks the preamble" in notes


def test_placeholders_for_a_missing_article_are_no_text(package: Path):
    corpus = udhr.read(package, ["mos"])
    assert "udhr/article-12" not in {document.id for document in corpus.documents}


def test_a_folder_that_is_not_the_package_is_refused(tmp_path: Path):
    with pytest.raises(SourceError, match=r"index\.js"):
        udhr.read(tmp_path, ["en"])
    (tmp_path / "index.js").write_text("export const udhr = []\n")
    with pytest.raises(SourceError, match="no declarations"):
        udhr.read(tmp_path, ["en"])


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("", "fragment|not HTML"),
        ("<html><body>" + "<article data-number='1'><p>Text</p></article>" * 2 + "</body></html>", "more than once"),
        ("<html><body><article data-number='31'><p>Text</p></article></body></html>", "numbered '31'"),
        ("<p>" + "x" * (1 << 20) + "</p>", "larger than"),
        ("<html><body>" + "<div>" * 100_000 + "</body></html>", "fragment|not HTML"),
    ],
)
def test_a_strange_file_is_a_document_error(tmp_path: Path, page: str, message: str):
    path = tmp_path / "x.html"
    path.write_text(page)
    with pytest.raises(DocumentError, match=message):
        udhr.read_declaration(path, "en")


@pytest.mark.soak
def test_all_532_declarations_are_read_or_named(package: Path):
    refused, counts = set(), Counter()
    for item in read_index(package):
        try:
            documents = udhr.read_declaration(package / "declaration" / f"{item.code}.html", item.tag)
        except DocumentError:
            refused.add(item.code)
            continue
        assert {document.id for document in documents} <= ALL_31
        counts[len(documents)] += 1
    assert refused == SHIFTED | FRAGMENTS
    assert counts == {31: 487, 30: 27, 29: 3, 26: 1, 24: 4, 20: 1}


@pytest.mark.soak
def test_formulas_of_no_declaration_count_as_shared_passages(package: Path):
    """Only the articles that a declaration holds twice, by mistake, are bound together; and all can be split."""
    from publicai_edge.corpus import near

    linked = {}
    for item in read_index(package):
        try:
            documents = udhr.read_declaration(package / "declaration" / f"{item.code}.html", item.tag)
        except DocumentError:
            continue
        pairs = {(documents[one].id, documents[two].id) for one, two in near.links(documents)}
        if pairs:
            linked[item.code] = {tuple(name.removeprefix("udhr/article-") for name in pair) for pair in pairs}
        parts = split(Corpus(documents, ()))
        assert abs(len(parts.calibration.documents) - len(parts.evaluation.documents)) <= 9
    assert linked == DUPLICATED


DUPLICATED = {
    "jav_java": {("21", "22")},
    "mnw": {("23", "24")},
    "roh_vallader": {("18", "22")},
    "trn": {("26", "27")},
    "wwa": {("12", "13")},
}
