import io
import zipfile

import pytest
from docx import Document
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from publicai_edge.errors import DocumentError
from publicai_edge.knowledge.extract import extract

MIB = 1 << 20


@pytest.fixture
def read(tmp_path):
    def read(name, data):
        path = tmp_path / "file"
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return extract(path, name, 10 * MIB, 100_000)

    return read


def kinds(extracted):
    return [(block.kind, block.text) for block in extracted.blocks]


def test_text_has_title_headings_paragraphs_and_lists(read):
    found = read("a.txt", "Opening\n=======\n\nWe open\nat nine.\n\nHOLIDAYS\n\nBring:\n- a card\n- a pen,\n  blue\n")
    assert found.title == "Opening"
    assert kinds(found) == [
        ("heading", "Opening"),
        ("paragraph", "We open at nine."),
        ("heading", "HOLIDAYS"),
        ("paragraph", "Bring:"),
        ("list", "- a card\n- a pen, blue"),
    ]


@pytest.mark.parametrize(
    "data",
    ["Año\n\ncafé.".encode(), "Año\n\ncafé.".encode("utf-16"), "\ufeffAño\n\ncafé.".encode(), b"A\xf1o\n\ncaf\xe9."],
)
def test_text_in_any_common_encoding_is_read(read, data):
    found = read("a.txt", data)
    assert kinds(found) == [("heading", "Año"), ("paragraph", "café.")]


def test_a_guessed_encoding_is_said(read):
    (warning,) = read("a.txt", b"A\xf1o\n\ncaf\xe9.").warnings
    assert "Windows-1252" in warning
    assert read("a.txt", "Año\n\ncafé.").warnings == ()


def test_binary_data_is_no_text(read):
    with pytest.raises(DocumentError, match="not text"):
        read("a.txt", b"\x7fELF" + b"\0\1\2\3" * 100)


@pytest.mark.parametrize(
    "data",
    [
        b"words " * 200 + b"\0" + b"words " * 200,
        b"BZh9" + bytes(value for value in range(1, 256)) * 4,
        "\1\2\3 words".encode("utf-16"),
    ],
    ids=["a zero byte", "compressed", "UTF-16"],
)
@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html"])
def test_binary_data_with_few_or_no_zero_bytes_is_no_text(read, name, data):
    with pytest.raises(DocumentError, match="not text"):
        read(name, data)


def test_the_control_characters_of_old_text_files_are_no_binary_data(read):
    found = read("a.txt", b"\x0cPage one.\r\n\tN\x08No\x1b[1m.\r\n\x1a")
    assert "Page one." in found.blocks[0].text


@pytest.mark.parametrize(
    ("name", "data"),
    [("a.txt", "Closed on Monday"), ("a.md", "# Closed on Monday"), ("a.html", "<h1>Closed on Monday</h1>")],
)
def test_a_document_of_one_heading_is_read(read, name, data):
    assert kinds(read(name, data)) == [("heading", "Closed on Monday")]


def test_markdown_has_headings_lists_tables_and_no_marks(read):
    found = read(
        "a.md",
        "---\ntitle: 'From the front'\n---\n# Top\n\nSome *text* with [a link](http://x) and `code`.\n\n"
        "1. one\n   - nested\n2. two\n\n| A | B |\n|---|---|\n| 1 | **2** |\n\n> quoted\n\n<p>raw <b>html</b></p>\n",
    )
    assert found.title == "From the front"
    assert kinds(found) == [
        ("heading", "Top"),
        ("paragraph", "Some text with a link and code."),
        ("list", "- one\n- nested\n- two"),
        ("table", "A | B\n1 | 2"),
        ("paragraph", "quoted"),
        ("paragraph", "raw html"),
    ]
    assert found.blocks[3].has_header


def test_markdown_without_a_heading_has_no_title(read):
    assert read("a.md", "just text").title is None


def test_html_is_read_as_a_visitor_sees_it(read):
    found = read(
        "a.html",
        "<html><head><title>Site</title><style>x{}</style></head><body><nav>Menu</nav><h1>Fees</h1>Loose <b>text</b>"
        "<br>here<p hidden>secret</p><div><p>One<!-- no --> two</p></div><ul><li>a<ul><li>b</li></ul></li></ul>"
        "<table><tr><th>X</th><th>Y</th></tr><tr><td>1</td><td><img alt='yes'></td></tr></table>"
        "<script>alert(1)</script></body></html>",
    )
    assert found.title == "Fees"
    assert kinds(found) == [
        ("heading", "Fees"),
        ("paragraph", "Loose text here"),
        ("paragraph", "One two"),
        ("list", "- a\n- b"),
        ("table", "X | Y\n1 | yes"),
    ]


def test_html_lists_and_paragraphs_in_a_table_cell_are_read(read):
    found = read(
        "a.html",
        "<table><tr><th>Who</th><th>Bring</th></tr><tr><td><p>Adults</p><p>Seniors</p></td>"
        "<td>Both:<ul><li>a card<ol><li>a valid one</li></ol></li><li>a pen</li></ul>please</td></tr></table>",
    )
    assert kinds(found) == [("table", "Who | Bring\nAdults Seniors | Both: a card; a valid one; a pen please")]


def test_html_accordions_are_read_with_their_questions(read):
    found = read(
        "a.html",
        "<h3><button type='button'>Is it <b>free</b>?</button></h3><div hidden='until-found'>Yes.</div>"
        "<details><summary>Can I print?</summary>Ten cents<p>a page.</p></details>"
        "<ul><li><button>Wifi?</button>Ask us.</li></ul><p>Press <button>Start</button>here.</p>"
        "<form><button type='submit'>Send</button></form>",
    )
    assert kinds(found) == [
        ("heading", "Is it free?"),
        ("paragraph", "Yes."),
        ("paragraph", "Can I print?"),
        ("paragraph", "Ten cents"),
        ("paragraph", "a page."),
        ("list", "- Wifi? Ask us."),
        ("paragraph", "Press Start here."),
    ]


def test_text_in_an_html_list_without_items_is_read(read):
    assert kinds(read("a.html", "<ul>loose<div>text</div></ul>")) == [("paragraph", "loose"), ("paragraph", "text")]


def test_html_takes_its_title_element_where_it_has_no_heading(read):
    assert read("a.html", "<title>Site</title><p>text</p>").title == "Site"


def test_html_in_its_declared_encoding_is_read(read):
    data = '<meta charset="windows-1251"><p>книга</p>'.encode("windows-1251")
    assert kinds(read("a.html", data)) == [("paragraph", "книга")]


def test_html_with_an_xml_declaration_is_read(read):
    data = '<?xml version="1.0" encoding="utf-8"?><html><body><p>x y</p></body></html>'
    assert kinds(read("a.xhtml", data)) == [("paragraph", "x y")]


def test_html_never_reads_a_file_of_this_machine(read):
    data = '<!DOCTYPE html [<!ENTITY x SYSTEM "file:///etc/passwd">]><p>before &x; after</p>'
    assert "root:" not in str(kinds(read("a.html", data)))


def test_pdf_has_pages_headings_and_title(read, demo_documents):
    found = read("a.pdf", demo_documents["local-history-collection.pdf"].read_bytes())
    assert found.title == "The Local History Collection"
    assert {block.page for block in found.blocks} == {1, 2}
    headings = [(block.text, block.page) for block in found.blocks if block.kind == "heading"]
    assert ("Using the room", 1) in headings
    assert ("The flood of 1931", 2) in headings
    assert any("4.3 metres and flooded 212 houses" in block.text for block in found.blocks)


def test_a_pdf_of_images_alone_has_no_text_layer(read):
    with pytest.raises(DocumentError, match=r"it has no text layer: on its one page are only pictures") as caught:
        read("a.pdf", _pdf())
    assert "ocr = true" in caught.value.hint


def test_an_encrypted_pdf_is_told_apart(read):
    with pytest.raises(DocumentError, match="encrypted"):
        read("a.pdf", _pdf(password="secret"))


@pytest.mark.parametrize("data", [b"%PDF-1.7 broken", b"%PDF-1.7\n" + b"\xff" * 3000])
def test_a_damaged_pdf_is_a_document_error(read, data):
    with pytest.raises(DocumentError, match=r"damaged|no text"):
        read("a.pdf", data)


def test_docx_has_title_headings_lists_and_tables(read, demo_documents):
    found = read("a.docx", demo_documents["booking-a-room.docx"].read_bytes())
    assert found.title == "Booking a room"
    assert [block.text for block in found.blocks if block.kind == "heading"][1] == "Rooms and prices"
    (table,) = [block for block in found.blocks if block.kind == "table"]
    assert "Weir Room | Ground | 60 | free | 25 euros an hour" in table.text.split("\n")
    (items,) = [block for block in found.blocks if block.kind == "list"]
    assert items.text.count("\n- ") == 2


RUN = "<w:r><w:t xml:space='preserve'>{}</w:t></w:r>"


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        (f"<w:sdt><w:sdtContent><w:p>{RUN.format('held')}</w:p></w:sdtContent></w:sdt>", "held"),
        (f"<w:p>{RUN.format('in ')}<w:sdt><w:sdtContent>{RUN.format('line')}</w:sdtContent></w:sdt></w:p>", "in line"),
        (
            "<w:sdt><w:sdtContent><w:sdt><w:sdtPr/><w:sdtContent>"
            f"<w:p><w:ins w:id='1' w:author='a'><w:hyperlink>{RUN.format('deep')}</w:hyperlink></w:ins></w:p>"
            "</w:sdtContent></w:sdt></w:sdtContent></w:sdt>",
            "deep",
        ),
        (
            f"<w:p>{RUN.format('opens at ')}<w:del w:id='1' w:author='a'><w:r><w:delText>ten</w:delText></w:r></w:del>"
            f"<w:ins w:id='2' w:author='a'>{RUN.format('nine')}<w:del w:id='3' w:author='b'>{RUN.format('x')}</w:del>"
            "</w:ins></w:p>",
            "opens at nine",
        ),
        (
            f"<w:p><w:moveFrom w:id='1' w:author='a'>{RUN.format('old')}</w:moveFrom></w:p>"
            f"<w:p><w:moveTo w:id='2' w:author='a'>{RUN.format('new')}</w:moveTo></w:p>",
            "new",
        ),
        (f"<w:p>{RUN.format('see ')}<w:hyperlink w:anchor='x'>{RUN.format('us')}</w:hyperlink></w:p>", "see us"),
        (f"<w:p><w:fldSimple w:instr='DATE'>{RUN.format('May 1')}</w:fldSimple></w:p>", "May 1"),
    ],
    ids=["block control", "inline control", "nested", "tracked change", "move", "hyperlink", "field"],
)
def test_docx_text_inside_wrappers_is_read_and_deleted_text_is_not(read, xml, expected):
    assert kinds(read("a.docx", _docx(xml))) == [("paragraph", expected)]


def test_docx_rows_and_cells_in_content_controls_are_read(read):
    cell = f"<w:tc><w:p>{RUN}</w:p></w:tc>"
    row = f"<w:tr>{cell.format('a')}<w:sdt><w:sdtContent>{cell.format('b')}</w:sdtContent></w:sdt></w:tr>"
    xml = f"<w:tbl><w:tblPr/><w:tblGrid/>{row}<w:sdt><w:sdtContent>{row}</w:sdtContent></w:sdt></w:tbl>"
    assert kinds(read("a.docx", _docx(xml))) == [("table", "a | b\na | b")]


def test_a_docx_table_inside_a_table_is_read(read):
    document = Document()
    outer = document.add_table(1, 2)
    outer.cell(0, 0).text = "Hours"
    inner = outer.cell(0, 1).add_table(2, 2)
    for number, text in enumerate(["Day", "Time", "Monday", "nine"]):
        inner.cell(number // 2, number % 2).text = text
    buffer = io.BytesIO()
    document.save(buffer)
    assert kinds(read("a.docx", buffer.getvalue())) == [("paragraph", "Hours"), ("table", "Day | Time\nMonday | nine")]


def test_an_encrypted_docx_is_told_apart(read):
    with pytest.raises(DocumentError, match="encrypted, or an old"):
        read("a.docx", b"\xd0\xcf\x11\xe0" + b"\0" * 600)


def test_a_docx_that_unpacks_to_gigabytes_is_refused(read):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(4):
            archive.writestr(f"word/{number}.xml", b"\0" * (100 * MIB))
    with pytest.raises(DocumentError, match="unpacks to"):
        read("a.docx", buffer.getvalue())


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html", "a.pdf", "a.docx", "a.epub"])
@pytest.mark.parametrize("data", [b"", b"  \n \n"])
def test_an_empty_document_is_told_as_such(read, name, data):
    with pytest.raises(DocumentError, match="empty"):
        read(name, data)


def test_a_document_without_text_is_told_as_such(read):
    empty = io.BytesIO()
    Document().save(empty)
    for name, data in (("a.docx", empty.getvalue()), ("a.html", b"<p></p>"), ("a.md", b"# ")):
        with pytest.raises(DocumentError, match="no text"):
            read(name, data)


def test_an_unknown_kind_is_told_with_the_known_ones(read):
    with pytest.raises(DocumentError, match=r"'\.odt'.*pdf, docx, epub"):
        read("a.odt", b"x")


def test_a_document_over_the_limits_is_refused(read):
    with pytest.raises(DocumentError, match="larger than 10 MB"):
        read("a.txt", b"x" * (11 * MIB))
    with pytest.raises(DocumentError, match="100,000 characters"):
        read("a.txt", b"word " * 40_000)


def _docx(xml):
    document = Document()
    body = parse_xml(f"<w:body {nsdecls('w')}>{xml}</w:body>")
    for element in list(body):
        document.element.body.sectPr.addprevious(element)
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def _pdf(password=None):
    from pypdf import PdfWriter

    writer = PdfWriter()
    writer.add_blank_page(200, 200)
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()
