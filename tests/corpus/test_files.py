"""The steward's own files, and data sets as folders of files."""

import csv
import json
from pathlib import Path

import pytest

from publicai_edge.corpus import Corpus, cut, files, parquet, split
from publicai_edge.corpus.files import Reading
from publicai_edge.corpus.rows import Columns
from publicai_edge.corpus.sample import Sample
from publicai_edge.errors import DocumentError, HostError, RecipeError
from publicai_edge.progress import Recorder
from tests.corpus.test_split import words

BOTH = Reading(("en", "sw"))


def read(*places: Path, reading: Reading = BOTH) -> tuple[Corpus, list[str]]:
    recorder = Recorder()
    corpus = files.read(places, reading, name="Own texts", license="CC0-1.0", progress=recorder)
    assert list(corpus.sources[0].notes) == recorder.warnings or len(recorder.warnings) > 20
    return corpus, recorder.warnings


def put(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_the_language_comes_from_the_folder_the_name_or_the_caller(tmp_path: Path):
    put(tmp_path / "texts/sw/leaflet.txt", "Karibu.")
    put(tmp_path / "texts/en/leaflet.txt", "Welcome.")
    put(tmp_path / "texts/hours.sw.md", "Saa za kazi.")
    put(tmp_path / "texts/en.txt", "All in English.")
    put(tmp_path / "texts/plain.txt", "Nobody says what this is.")
    put(tmp_path / "texts/.hidden.en.txt", "Not read.")
    put(tmp_path / "texts/picture.en.png", b"\x89PNG")
    corpus, warnings = read(tmp_path / "texts")
    assert {(d.id, d.language, d.text) for d in corpus.documents} == {
        ("leaflet.txt", "sw", "Karibu."),
        ("leaflet.txt", "en", "Welcome."),
        ("hours.md", "sw", "Saa za kazi."),
        ("en.txt", "en", "All in English."),
    }
    assert warnings == ["texts/plain.txt does not tell its language: left out."]
    corpus, warnings = read(tmp_path / "texts", reading=Reading(("en", "sw"), language="en"))
    assert ("plain.txt", "en") in {(d.id, d.language) for d in corpus.documents} and not warnings


def test_files_in_languages_that_were_not_asked_for_are_counted(tmp_path: Path):
    for language in ("en", "sw", "es", "pt-BR", "swh"):
        for number in range(3):
            put(tmp_path / f"texts/{language}/{number}.txt", f"{number} in {language}.")
    put(tmp_path / "texts/hours.fr.md", "Heures.")
    put(tmp_path / "texts/faq-old.txt", "Nobody says what this is.")
    corpus, warnings = read(tmp_path / "texts")
    assert len(corpus.documents) == 6
    assert warnings == [
        "texts/faq-old.txt does not tell its language: left out.",
        "3 files in es left out: not asked for (wanted: en, sw).",
        "3 files in pt-BR left out: not asked for (wanted: en, sw).",
        "3 files in swh left out: not asked for (wanted: en, sw).",
        "1 file in fr left out: not asked for (wanted: en, sw).",
    ]


def test_one_wanted_language_takes_no_texts_that_tell_another(tmp_path: Path):
    put(tmp_path / "texts/en/hours.txt", "Open at nine.")
    put(tmp_path / "texts/es/hours.txt", "Abre a las nueve.")
    put(tmp_path / "texts/plain.txt", "Nobody says what this is.")
    corpus, warnings = read(tmp_path / "texts", reading=Reading(("en",), language="en"))
    assert {document.text for document in corpus.documents} == {"Open at nine.", "Nobody says what this is."}
    assert warnings == ["1 file in es left out: not asked for (wanted: en)."]
    corpus, warnings = read(tmp_path / "texts/es", reading=Reading(("en",), language="en"))
    assert len(corpus.documents) == 1 and not warnings


def test_a_single_file_and_a_longer_tag(tmp_path: Path):
    place = put(tmp_path / "folheto.pt-BR.txt", "Bem-vindo.")
    corpus, _ = read(place, reading=Reading(("pt-BR",)))
    assert [(d.id, d.language, d.origin) for d in corpus.documents] == [
        ("folheto.txt", "pt-BR", f"{tmp_path.name}/folheto.pt-BR.txt")
    ]


def test_the_same_files_give_the_same_corpus_in_another_place(tmp_path: Path):
    for root in ("one/texts", "two/texts"):
        for number in range(5):
            put(tmp_path / root / "en" / f"{number}.txt", words(2_000, number))
    one, two = (read(tmp_path / root)[0] for root in ("one/texts", "two/texts"))
    assert one.documents == two.documents and one.sources == two.sources


def test_a_long_file_is_cut_at_ends_of_paragraphs_and_nothing_is_lost(tmp_path: Path):
    paragraphs = [words(80, number) for number in range(60)]
    place = put(tmp_path / "book.en.txt", "\r\n\r\n".join(paragraphs))
    corpus, _ = read(place)
    assert [d.id for d in corpus.documents] == [f"book.txt#{n}" for n in range(1, len(corpus.documents) + 1)]
    assert all(2_000 <= len(d.text) <= 4_000 for d in corpus.documents)
    assert [part for d in corpus.documents for part in d.text.split("\n\n")] == paragraphs


@pytest.mark.parametrize("language", ["en", "ar", "hi", "zh", "th"])
def test_a_paragraph_without_end_is_cut_at_sentences_or_words(ten: Corpus, language: str):
    text = " ".join(document.text.replace("\n\n", " ") for document in ten.of(language)) * 3
    parts = cut.pieces([text])
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert all(len(part) <= cut.LONGEST for part in parts)
    assert len(parts) > 1
    whole = set(text.split())
    assert all(part[-1] == "。" if language == "zh" else part.split()[-1] in whole for part in parts)


def test_files_that_cannot_be_used_are_named_with_the_next_step(tmp_path: Path):
    put(tmp_path / "texts/latin.sw.txt", "caf\xe9".encode("latin-1"))
    put(tmp_path / "texts/empty.en.md", " \n")
    put(tmp_path / "texts/binary.en.txt", b"\x00\x01\x02")
    put(tmp_path / "texts/good.en.txt", b"\xef\xbb\xbfGood \x07text.")
    corpus, warnings = read(tmp_path / "texts")
    assert [d.text for d in corpus.documents] == ["Good  text."]
    assert warnings == [
        "texts/binary.en.txt is not text: it holds zero bytes: left out. Save its text as UTF-8.",
        "texts/empty.en.md is empty: left out.",
        "texts/latin.sw.txt is not UTF-8: byte 3 is 0xe9: left out. Save it as UTF-8.",
    ]


def test_no_text_at_all_is_an_error_that_says_what_to_do(tmp_path: Path):
    put(tmp_path / "texts/a.de.txt", "Guten Tag.")
    with pytest.raises(RecipeError, match="no text in en, sw was found") as caught:
        read(tmp_path / "texts")
    assert "sw/leaflet.txt" in (caught.value.hint or "")
    with pytest.raises(RecipeError, match="There are no texts at"):
        read(tmp_path / "nowhere")
    with pytest.raises(RecipeError, match=r"is of kind '\.pdf'"):
        read(put(tmp_path / "a.pdf", b"%PDF"))


def test_a_paragraph_that_comes_again_is_given_once(tmp_path: Path):
    footer = "The library is open from Monday to Saturday, and its staff are glad to help you."
    for number in range(4):
        put(tmp_path / f"texts/{number}.en.txt", f"{words(50, number)}\n\n{footer}")
    corpus, warnings = read(tmp_path / "texts")
    assert sum(footer in document.text for document in corpus.documents) == 1
    assert warnings == ["en: 3 paragraphs that came again are left out."]
    assert len(split(corpus).calibration.documents) == 2


# --- rows ---

ROWS = [
    {"id": "1", "language": "sw", "text": "Maji ni uhai."},
    {"id": "1", "language": "en", "text": "Water is life."},
    {"id": "2", "language": "en", "text": 'A "quoted", long\nline.'},
    {"id": "3", "language": "de", "text": "Wasser."},
]
EXPECTED = {
    ("data:1", "sw", "Maji ni uhai."),
    ("data:1", "en", "Water is life."),
    ("data:2", "en", 'A "quoted", long\nline.'),
}


def write_rows(path: Path, values: list[dict[str, str]]) -> Path:
    match path.suffix:
        case ".jsonl":
            put(path, "\n\n".join(json.dumps(value) for value in values))
        case ".json":
            put(path, json.dumps(values))
        case ".parquet":
            pyarrow = pytest.importorskip("pyarrow")
            from pyarrow import parquet as writer

            path.parent.mkdir(parents=True, exist_ok=True)
            writer.write_table(pyarrow.Table.from_pylist(values), path)
        case _:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w", encoding="utf-8", newline="") as stream:
                made = csv.DictWriter(stream, list(values[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
                made.writeheader()
                made.writerows(values)
    return path


KINDS = [".jsonl", ".json", ".csv", ".tsv", ".parquet"]


@pytest.mark.parametrize("suffix", KINDS)
def test_rows_bring_id_language_and_text(tmp_path: Path, suffix: str):
    corpus, warnings = read(write_rows(tmp_path / f"data{suffix}", ROWS))
    assert {(d.id.replace(suffix, ""), d.language, d.text) for d in corpus.documents} == EXPECTED
    assert suffix == ".parquet" or warnings == ["1 rows in de are left out."]


@pytest.mark.parametrize("suffix", KINDS)
def test_columns_may_have_other_names(tmp_path: Path, suffix: str):
    values = [{"sentence": row["text"], "lang": row["language"] + "_X", "id": row["id"]} for row in ROWS]
    aliases = {"en_X": "en", "sw-x": "sw", "de_X": "de"}
    reading = Reading(("en", "sw"), columns=Columns("sentence", "lang"), aliases=aliases)
    corpus, _ = read(write_rows(tmp_path / f"data{suffix}", values), reading=reading)
    assert {(d.id.replace(suffix, ""), d.language, d.text) for d in corpus.documents} == EXPECTED


@pytest.mark.parametrize("suffix", KINDS)
def test_a_missing_column_is_named_with_those_that_are_there(tmp_path: Path, suffix: str):
    place = write_rows(tmp_path / f"data.en{suffix}", [{"content": "Hello.", "url": "x"}])
    with pytest.raises(RecipeError, match="has no column 'text'; it has: content, url"):
        read(place)


@pytest.mark.parametrize("suffix", KINDS)
def test_rows_without_a_language_take_the_files(tmp_path: Path, suffix: str):
    for language, texts in {"en": ["One.", "Two."], "sw": ["Moja.", "Mbili."]}.items():
        write_rows(tmp_path / "set" / language / f"train{suffix}", [{"text": text} for text in texts])
    corpus, _ = read(tmp_path / "set")
    assert {(d.id, d.language, d.text) for d in corpus.documents} == {
        (f"train{suffix}:1", "en", "One."),
        (f"train{suffix}:2", "en", "Two."),
        (f"train{suffix}:1", "sw", "Moja."),
        (f"train{suffix}:2", "sw", "Mbili."),
    }


def test_translated_rows_go_to_one_side(tmp_path: Path):
    values = [
        {"id": str(number), "language": language, "text": words(40, number + 100 * at)}
        for number in range(20)
        for at, language in enumerate(("en", "sw"))
    ]
    parts = split(read(write_rows(tmp_path / "data.jsonl", values))[0])
    assert len(parts.calibration.of("en")) == len(parts.calibration.of("sw")) == 10


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.en.jsonl", '{"text": "ok"}\n{broken', "line 2 is not JSON"),
        ("a.en.jsonl", '{"text": "ok"}\n[1]', "line 2 is a list; expected an object"),
        ("a.en.jsonl", '{"text": "ok"}\n{"text": 5}', "'text' is a number; expected text"),
        ("a.en.jsonl", '{"text": "ok"}\n' + "[" * 100_000, "line 2 is not JSON"),
        ("a.en.csv", 'text\nok\n"open', "is not a table"),
        ("a.en.csv", b"text\nok\n\xff\xff", "is not UTF-8"),
    ],
)
def test_a_broken_row_ends_its_file_and_is_named(tmp_path: Path, name: str, content: str | bytes, message: str):
    put(tmp_path / "texts" / name, content)
    put(tmp_path / "texts/b.en.txt", "Good.")
    corpus, warnings = read(tmp_path / "texts")
    assert "Good." in {d.text for d in corpus.documents}
    assert message in warnings[0] and name in warnings[0]
    assert "nothing of the file is used from there on" in warnings[0]


def test_a_json_file_that_is_no_list_is_refused(tmp_path: Path):
    with pytest.raises(RecipeError, match=r"is not a list of texts: expected \[\.\.\.\], found an object"):
        read(put(tmp_path / "a.en.json", '{"text": "x"}'))
    corpus, _ = read(put(tmp_path / "b.en.json", '["One.", "Two."]'))
    assert [d.text for d in corpus.documents] == ["One.", "Two."]


def test_a_lone_surrogate_does_not_stop_the_digest(tmp_path: Path):
    corpus, _ = read(put(tmp_path / "a.en.jsonl", '{"text": "Half \\ud800 a pair"}'))
    assert corpus.documents[0].text == "Half   a pair" and len(corpus.sha256) == 64


# --- Parquet ---


def test_without_pyarrow_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    place = put(tmp_path / "a.en.parquet", b"PAR1")
    monkeypatch.setattr(parquet.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(HostError) as caught:
        read(place)
    assert "pip install pyarrow" in (caught.value.hint or "")


@pytest.mark.parametrize("damage", ["cut", "flip", "text"])
def test_a_damaged_parquet_file_is_named(tmp_path: Path, damage: str):
    place = write_rows(tmp_path / "a.en.parquet", [{"text": words(30, number)} for number in range(50)])
    data = place.read_bytes()
    flipped = data[:-40] + bytes(byte ^ 0xFF for byte in data[-40:-8]) + data[-8:]
    place.write_bytes({"cut": data[: len(data) // 2], "flip": flipped, "text": b"hello"}[damage])
    with pytest.raises(RecipeError, match=r"a\.en\.parquet is not a readable Parquet file"):
        read(place)


def test_a_parquet_column_of_numbers_is_refused(tmp_path: Path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as writer

    writer.write_table(pyarrow.table({"text": [1, 2]}), tmp_path / "a.en.parquet")
    with pytest.raises(RecipeError, match="column 'text' holds int64; expected text"):
        read(tmp_path / "a.en.parquet")


# --- limits ---


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_a_large_set_is_sampled_evenly_within_the_limit(tmp_path: Path, suffix: str):
    values = [{"text": f"{number} {words(20, number)}"} for number in range(3_000)]
    reading = Reading(("en",), limit_characters=20_000)
    corpus, warnings = read(write_rows(tmp_path / f"a.en{suffix}", values), reading=reading)
    numbers = [int(document.text.split()[0]) for document in corpus.documents]
    assert 15_000 < corpus.sources[0].characters <= 20_000
    assert numbers == sorted(numbers)
    assert sum(number < 1_500 for number in numbers) == pytest.approx(len(numbers) / 2, rel=0.3)
    if suffix == ".jsonl":
        assert warnings == [f"en: {len(numbers)} of 3000 documents are used, up to 20,000 characters."]


def test_a_sample_does_not_depend_on_the_order(ten: Corpus):
    documents = ten.of("en")
    kept = []
    for order in (documents, documents[::-1], documents[15:] + documents[:15]):
        sample = Sample(3_000)
        for document in order:
            sample.add(document)
        assert sum(len(document.text) for document in sample) <= 3_000
        kept.append({document.id for document in sample})
    assert kept[0] == kept[1] == kept[2] and len(kept[0]) >= 5


def test_a_file_too_large_to_read_whole_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("publicai_edge.corpus.rows.MAX_WHOLE_BYTES", 1 << 20)
    with pytest.raises(RecipeError, match="is larger than 1 MiB"):
        read(put(tmp_path / "a.en.txt", "word " * 300_000))


def test_a_line_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("publicai_edge.corpus.rows._MAX_LINE", 1 << 20)
    put(tmp_path / "a.en.jsonl", '{"text": "' + "word " * 300_000 + '"}')
    with pytest.raises(DocumentError, match="line 1 is longer than 1 MiB"):
        list(files.rows.json_lines(tmp_path / "a.en.jsonl", Columns()))
