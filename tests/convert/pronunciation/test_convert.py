"""A gruut folder becomes a pronunciation: the same bytes each time, and a foreign file is refused."""

# ruff: noqa: RUF001 - the IPA's own letters

import shutil
import sqlite3

import pytest

from publicai_edge.convert.pronunciation import number_words
from publicai_edge.convert.pronunciation.convert import _alone, convert
from publicai_edge.engine.voice.pronunciation import FILES, Pronunciation
from publicai_edge.errors import HostError, ModelError
from publicai_edge.progress import Silent
from tests import voiced
from tests.conftest import downloads


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    return voiced.sources(downloads(), tmp_path_factory.mktemp("gruut"))[1]


def lexicon(path, *words):
    with sqlite3.connect(path) as database:
        database.execute(
            "CREATE TABLE word_phonemes (id INTEGER, word TEXT, pron_order INTEGER, phonemes TEXT, role TEXT)"
        )
        database.executemany("INSERT INTO word_phonemes VALUES (?, ?, ?, ?, ?)", words)
    database.close()
    return path


def test_the_same_folder_gives_the_same_bytes(said, tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        told = convert(said, tmp_path / name, "en", "gruut", Silent())
        assert told == {"words": 124_389, "numbers": True}
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == sorted(FILES)
    for name in FILES:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name


def test_of_several_ways_to_say_a_word_the_common_one_is_kept(said, tmp_path):
    (tmp_path / "g2p").mkdir()
    shutil.copyfile(said / "g2p/model.crf", tmp_path / "g2p/model.crf")
    lexicon(
        tmp_path / "lexicon.db",
        (1, "Bow", 1, "b ˈa ʊ", "gruut:NN"),
        (2, "Bow", 0, "b ˈo ʊ", ""),
        (3, "Bow", 1, "b ˈɑː", ""),
        (4, "two\twords", 0, "x", ""),
        (5, "e\u0301t", 0, "ˈe", ""),
        (6, "empty", 0, " ", ""),
        (7, "w" * 70, 0, "w", ""),
    )
    (tmp_path / "made").mkdir()
    assert convert(tmp_path, tmp_path / "made", "en", "gruut", Silent())["words"] == 2
    made = Pronunciation(tmp_path / "made")
    assert made.word("bow") == "bˈoʊ"
    assert made.word("\xe9t") == "ˈe"


@pytest.mark.parametrize(
    ("word", "said", "alone"),
    [
        ("at", "æɾ", "æt"),
        ("made", "mˈeɪɾ", "mˈeɪd"),
        ("under", "ˌʌndɚɹ", "ˌʌndɚ"),
        ("can", "kæŋ", "kæn"),
        ("sing", "sˈɪŋ", "sˈɪŋ"),
        ("car", "kˈɑːɹ", "kˈɑːɹ"),
        ("water", "wˈɔːɾɚ", "wˈɔːɾɚ"),
    ],
)
def test_an_english_word_ends_as_it_does_where_no_vowel_follows(word, said, alone):
    assert _alone(word, said) == alone


def test_files_of_another_kind_are_refused(said, tmp_path):
    (tmp_path / "made").mkdir()

    def refused(match):
        with pytest.raises(ModelError, match=match):
            convert(tmp_path, tmp_path / "made", "en", "gruut", Silent())

    refused(r"lexicon\.db is not there")
    (tmp_path / "lexicon.db").write_text("no database")
    refused("not a lexicon of gruut")
    (tmp_path / "lexicon.db").unlink()
    lexicon(tmp_path / "lexicon.db")
    refused("holds no words")
    (tmp_path / "lexicon.db").unlink()
    lexicon(tmp_path / "lexicon.db", (1, "a", 0, "a", ""))
    refused("not a model of CRFsuite")


# --- numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", {"42": "forty-two", "10:05": "ten five", "9:00": "nine o'clock", "2nd": "second", "%": "percent"}),
        ("de", {"21:30": "einundzwanzig dreißig", "mark:decimal": ",", "mark:group": "."}),
        ("fr", {"1:00": "une heure", "21:15": "vingt et une heures quinze", "name:point": "virgule"}),
        ("es", {"7": "siete", "1000000": "un millón"}),
        ("pt-BR", {"7": "sete", "mark:decimal": ","}),
        ("sw", {"7": "saba", "mark:decimal": "."}),
    ],
)
def test_a_language_says_its_own_words(language, said):
    table = number_words.table(language)
    assert {key: table.get(key) for key in said} == said


def test_a_language_whose_numbers_are_not_known_has_digits_or_nothing():
    assert (number_words.counts("en"), number_words.counts("sw"), number_words.counts("xx")) == (True, False, False)
    assert "10" not in number_words.table("sw")
    assert set(number_words.table("xx")) == {"www"}


def test_without_num2words_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(HostError, match="num2words") as caught:
        number_words.require_installed()
    assert "publicai-edge[voices]" in str(caught.value.hint)
