"""Books are read page by page in the order of their spine, and nothing of them is trusted."""

from collections.abc import Callable
from pathlib import Path

import pytest

from publicai_edge.errors import DocumentError
from publicai_edge.knowledge.blocks import Extracted
from publicai_edge.knowledge.extract import epub, extract
from tests.knowledge.books import book, item, package, spine

MIB = 1 << 20
Read = Callable[[bytes], Extracted]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(data: bytes) -> Extracted:
        path = tmp_path / "book"
        path.write_bytes(data)
        return extract(path, "a.epub", 10 * MIB, 100_000)

    return read


def test_pages_come_in_the_order_of_the_spine_each_once_and_without_contents(read: Read) -> None:
    found = read(book({}))
    assert found.title == "The Mill"
    assert [(block.kind, block.text) for block in found.blocks] == [
        ("heading", "Before"),
        ("paragraph", "The mill opened."),
        ("paragraph", "It ran."),
        ("heading", "After"),
        ("paragraph", "The café closed."),
    ]


def test_a_book_without_a_title_has_its_first_headings(read: Read) -> None:
    items, order = item(2, "text/two.xhtml"), spine(2)
    assert read(book({"OEBPS/book.opf": package(items, order, title=" ")})).title == "Before"


def encryption(algorithm: str) -> str:
    return (
        '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
        '<EncryptedData xmlns="http://www.w3.org/2001/04/xmlenc#">'
        f'<EncryptionMethod Algorithm="{algorithm}"/></EncryptedData></encryption>'
    )


def test_scrambled_fonts_do_not_make_a_book_unreadable(read: Read) -> None:
    found = read(book({"META-INF/encryption.xml": encryption("http://www.idpf.org/2008/embedding")}))
    assert len(found.blocks) == 5


def test_a_copy_protected_book_is_told_as_such(read: Read) -> None:
    with pytest.raises(DocumentError, match="copy-protected"):
        read(book({"META-INF/encryption.xml": encryption("http://www.w3.org/2001/04/xmlenc#aes128-cbc")}))


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"META-INF/container.xml": None}, "not an .epub file"),
        ({"OEBPS/book.opf": None}, "the list of its pages is missing"),
        ({"OEBPS/book.opf": "<package>"}, "OEBPS/book.opf is not XML"),
        ({"OEBPS/text/two.xhtml": None}, "page 'OEBPS/text/two.xhtml' is missing"),
        ({"OEBPS/book.opf": package(item(1, "../../etc/passwd"), spine(1))}, "is missing"),
        ({"OEBPS/book.opf": package("", "")}, "it holds no text"),
    ],
)
def test_a_damaged_book_is_told_with_what_is_wrong(read: Read, files: dict[str, str | None], reason: str) -> None:
    with pytest.raises(DocumentError, match=reason):
        read(book(files))


def test_what_is_no_zip_is_no_book(read: Read) -> None:
    with pytest.raises(DocumentError, match=r"not an \.epub file"):
        read(b"a book, it says")


def test_no_file_beside_the_book_is_read_by_way_of_an_entity(read: Read, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    declared = f'<!DOCTYPE package [<!ENTITY x SYSTEM "{secret.as_uri()}">]>'
    found = read(book({"OEBPS/book.opf": declared + package(item(2, "text/two.xhtml"), spine(2), title="&x;")}))
    assert "secret" not in (found.title or "")


def test_pages_that_unpack_to_too_much_are_refused(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epub, "_MAX_UNPACKED_BYTES", MIB)
    pages = {f"OEBPS/{number}.xhtml": "<p>x</p>" * (MIB // 20) for number in range(3)}
    items = "".join(item(number, f"{number}.xhtml") for number in range(3))
    with pytest.raises(DocumentError, match="unpacks to more than"):
        read(book({**pages, "OEBPS/book.opf": package(items, spine(0, 1, 2))}))
