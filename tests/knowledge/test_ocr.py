"""Scanned pages: recognised where a recipe asks for it, found with their page number, and bounded."""

import io
import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, FloatObject, NameObject
from reportlab.pdfgen import canvas

from publicai_edge.engine.embedder import Embedder
from publicai_edge.errors import DocumentError, HostError
from publicai_edge.knowledge import IndexReport, IndexSettings, build_index, ocr
from publicai_edge.knowledge.blocks import Extracted
from publicai_edge.knowledge.extractor import Extractor, Limits
from publicai_edge.knowledge.ocr.layout import arrange
from publicai_edge.knowledge.ocr.recognizer import Read, Recognizer
from publicai_edge.knowledge.ocr.render import LONGEST_SIDE, Drawn
from publicai_edge.progress import Recorder, Silent, Task, Unit
from publicai_edge.search import KnowledgeBase
from tests.faults.foreign_readers import mutated
from tests.knowledge import scans

LIMITS = ocr.recognizing(Limits(), pages=20)
HOURS = """# Opening hours

The reading room is open on Saturdays from ten to four o'clock. Dogs are welcome on a lead, and may lie under the table
in the hall. On public holidays the house stays closed.

# Borrowing

A library card costs nothing for children. Adults pay twelve euros a year, and half of that when they are students.
"""
FLOOD = """# The great flood

In March 1931 the river rose by 4.3 metres and flooded 212 houses of the lower town. The mill burned down in the same
week, because nobody could reach it with water.
"""
MIXED = "Chapter one was typed on a machine and has a text layer of its own, as every page of a word processor has."


@pytest.fixture(scope="session")
def recognizer() -> Recognizer:
    return Recognizer()


@pytest.fixture(scope="session")
def scan() -> bytes:
    """Two pages: a page of hours, and one about a flood."""
    return scans.pdf([scans.picture(HOURS), scans.picture(FLOOD, degrees=-1.2, seed=2)])


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Extracted]:
    def read(data: bytes, limits: Limits = LIMITS) -> Extracted:
        (tmp_path / "file").write_bytes(data)
        with Extractor(limits) as extractor:
            return extractor.extract(tmp_path / "file", "a.pdf")

    return read


def typed(*texts: str) -> bytes:
    out = io.BytesIO()
    page = canvas.Canvas(out)
    for text in texts:
        for number, part in enumerate(textwrap.wrap(text, 60)):
            page.drawString(72, 700 - 16 * number, part)
        page.showPage()
    page.save()
    return out.getvalue()


def joined(*files: bytes) -> bytes:
    writer = PdfWriter()
    for data in files:
        for page in PdfReader(io.BytesIO(data)).pages:
            writer.add_page(page)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def sized(data: bytes, width: float, height: float) -> bytes:
    """Return the PDF with another size stated for its first page."""
    writer = PdfWriter(io.BytesIO(data))
    box = ArrayObject([FloatObject(0), FloatObject(0), FloatObject(width), FloatObject(height)])
    writer.pages[0][NameObject("/MediaBox")] = box
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def text_of(found: Extracted, page: int | None = None) -> str:
    return "\n".join(block.text for block in found.blocks if page in (None, block.page))


def built(tmp_path: Path, embedder: Path, files: dict[str, bytes], limits: Limits) -> tuple[IndexReport, Recorder]:
    paths = {}
    for number, (name, data) in enumerate(files.items()):
        paths[name] = tmp_path / f"document-{number}"
        paths[name].write_bytes(data)
    progress = Recorder()
    report, _ = build_index(paths, embedder, tmp_path / "k.sqlite", IndexSettings(120, limits), progress)
    return report, progress


def test_a_scan_is_found_by_a_question_with_its_page(scan: bytes, embedder_folder: Path, tmp_path: Path) -> None:
    files = {"history.pdf": scan, "other.md": b"# Tickets\n\nThe bus to the station costs two euros."}
    report, progress = built(tmp_path, embedder_folder, files, LIMITS)
    assert (report.documents, report.skipped, report.recognized) == (2, (), {"history.pdf": 2})
    assert progress.warnings == []
    base = KnowledgeBase.open(tmp_path / "k.sqlite", Embedder.open(embedder_folder))
    try:
        flood = base.search("How many houses did the river flood?", top=1, min_relevance=0.3)[0].passage
        dogs = base.search("May I bring my dog?", top=1, min_relevance=0.2)[0].passage
    finally:
        base.close()
    assert (flood.source, flood.page) == ("history.pdf", 2)
    assert "flooded 212 houses of the lower town" in flood.text
    assert (dogs.source, dogs.page) == ("history.pdf", 1)


def test_the_same_scan_gives_the_same_index(scan: bytes, embedder_folder: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        built(tmp_path / name, embedder_folder, {"a.pdf": scan}, LIMITS)
    assert (tmp_path / "one" / "k.sqlite").read_bytes() == (tmp_path / "two" / "k.sqlite").read_bytes()


def test_headings_and_paragraphs_of_a_scan_are_told_apart(scan: bytes, read: Callable[..., Extracted]) -> None:
    found = read(scan)
    headings = [(block.text, block.page) for block in found.blocks if block.kind == "heading"]
    assert headings == [("Opening hours", 1), ("Borrowing", 1), ("The great flood", 2)]
    assert found.title == "Opening hours"
    assert found.recognized == 2


@pytest.mark.parametrize("mode", ["1", "CMYK"])
def test_pictures_as_scanners_store_them_are_read(mode: str, read: Callable[..., Extracted]) -> None:
    assert "flooded 212 houses" in text_of(read(scans.pdf([scans.picture(FLOOD).convert(mode)])))


def test_only_pages_without_text_of_their_own_are_recognised(scan: bytes, read: Callable[..., Extracted]) -> None:
    found = read(joined(typed(MIXED), scan, typed(MIXED)))
    assert found.recognized == 2
    assert text_of(found, 1) == text_of(found, 4) == MIXED
    assert "open on Saturdays" in text_of(found, 2)
    assert "4.3 metres" in text_of(found, 3)


def test_a_scanners_stamp_does_not_keep_a_page_from_being_recognised(read: Callable[..., Extracted]) -> None:
    writer = PdfWriter(io.BytesIO(scans.pdf([scans.picture(FLOOD)])))
    writer.pages[0].merge_page(PdfReader(io.BytesIO(typed("Scanned by Copy-o-mat"))).pages[0])
    out = io.BytesIO()
    writer.write(out)
    assert "flooded 212 houses" in text_of(read(out.getvalue()))


def test_without_ocr_nothing_is_recognised_and_the_next_step_is_told(
    scan: bytes, embedder_folder: Path, tmp_path: Path
) -> None:
    files = {"scan.pdf": scan, "mixed.pdf": joined(typed(MIXED), scan)}
    report, progress = built(tmp_path, embedder_folder, files, Limits())
    (skipped,) = report.skipped
    assert (report.documents, report.recognized, skipped.name) == (1, {}, "scan.pdf")
    assert skipped.reason.startswith("it has no text layer: on its 2 pages are only pictures")
    assert "ocr = true" in skipped.reason and "pip install 'publicai-edge[ocr]'" in skipped.reason
    assert progress.warnings == [f"Skipped scan.pdf: {skipped.reason}."]


def test_without_the_extra_the_build_ends_before_it_reads_anything(
    embedder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ocr, "models", lambda: None)
    with pytest.raises(HostError, match="ocr = true") as caught:
        built(tmp_path, embedder_folder, {"a.md": b"# A\n\ntext"}, LIMITS)
    assert caught.value.hint == "Run: pip install 'publicai-edge[ocr]'"
    assert not (tmp_path / "k.sqlite").exists()


def test_models_that_are_not_there_count_as_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ocr.models() is not None, "the extra `ocr` belongs to `dev`"
    monkeypatch.setattr(ocr, "RECOGNITION", "another.onnx")
    assert ocr.models() is None


def test_nothing_of_it_is_loaded_where_no_page_asks_for_it(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(typed(MIXED))
    program = (
        "import sys; from pathlib import Path; from publicai_edge.knowledge.extract import extract;"
        "from publicai_edge.knowledge.ocr.scans import PageScans;"
        "extract(Path(sys.argv[1]), 'a.pdf', 1 << 20, 1 << 20, PageScans(9, print));"
        "print(sorted({'cv2', 'rapidocr', 'pypdfium2', 'onnxruntime'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "a.pdf")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_page_on_its_side_or_head_is_read_in_order(quarters: int, recognizer: Recognizer) -> None:
    upright = np.array(scans.picture(HOURS).convert("RGB"))
    lines = recognizer.read(np.ascontiguousarray(np.rot90(upright, quarters)))
    found = " ".join(line.text for line in arrange(lines) if line.text)
    assert "open on Saturdays from ten to four" in found
    assert found.index("Opening hours") < found.index("Borrowing") < found.index("students")


def test_columns_are_read_one_after_the_other(recognizer: Recognizer) -> None:
    left = "The council met on Monday evening and spoke about the new bridge over the river, which is to be of wood."
    right = "Nobody wanted the old school to be torn down, and so it becomes a house for the fire brigade next year."
    page = Image.new("L", scans.A4, 250)
    page.paste(scans.picture(left * 2, size=(860, 1500), degrees=0, grain=0).crop((0, 0, 800, 1500)), (0, 0))
    page.paste(scans.picture(right * 2, size=(860, 1500), degrees=0, grain=0).crop((100, 0, 860, 1500)), (860, 0))
    lines = recognizer.read(np.array(scans.scanned(page, degrees=0.8).convert("RGB")))
    found = " ".join(line.text for line in arrange(lines) if line.text)
    assert found.rindex("bridge") < found.index("Nobody")


def test_a_day_stays_beside_its_hours() -> None:
    days = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
    lines = [line("Opening hours of the branch at the market", 100, 50, 900)]
    for number, day in enumerate(days):
        lines += [line("9-17", 700, 200 + 60 * number, 120), line(day, 100, 200 + 60 * number, 200)]
    found = [item.text for item in arrange(lines) if item.text]
    assert found[1:] == [f"{day} | 9-17" for day in days]


def line(text: str, left: float, top: float, width: float, height: float = 40, score: float = 0.99) -> Read:
    right, bottom = left + width, top + height
    return Read(text, score, np.array([[left, top], [right, top], [right, bottom], [left, bottom]]))


def test_a_page_that_is_hard_to_read_is_told(embedder_folder: Path, tmp_path: Path) -> None:
    hard = scans.pdf([scans.picture(HOURS, points=6, grain=40)], quality=30)
    files = {"hard.pdf": joined(typed(MIXED), hard), "good.pdf": scans.pdf([scans.picture(FLOOD)])}
    report, progress = built(tmp_path, embedder_folder, files, LIMITS)
    (warning,) = progress.warnings
    assert warning.startswith("hard.pdf was recognised with little confidence, on pages: 2;")
    assert report.recognized == {"good.pdf": 1, "hard.pdf": 1}


def test_what_is_no_writing_gives_no_text(read: Callable[..., Extracted]) -> None:
    noise = Image.frombytes("L", (800, 1000), np.random.default_rng(1).bytes(800_000))
    blank = Image.new("L", scans.A4, 255)
    with pytest.raises(DocumentError, match="no text was recognised on its 2 pages"):
        read(scans.pdf([noise, blank]))


@pytest.mark.parametrize(
    ("width", "height"), [(14400, 14400), (14400, 1), (1, 14400), (3, 3), (2e6, 2e6), (2e6, 20), (0.01, 0.01), (0, 0)]
)
def test_a_page_of_any_size_is_drawn_within_bounds(width: float, height: float) -> None:
    with Drawn(sized(typed(MIXED), width, height), 1) as drawn:
        page = drawn.page(1)
    if page is not None:
        assert max(page.shape[:2]) <= LONGEST_SIDE
        assert max(page.shape[:2]) <= 4 * min(page.shape[:2]) + 4


@pytest.mark.parametrize(("width", "height"), [(14400, 1), (2e6, 2e6)])
def test_a_page_of_a_hostile_size_costs_no_more_than_another(
    width: float, height: float, read: Callable[..., Extracted]
) -> None:
    with pytest.raises(DocumentError, match="no text was recognised"):
        read(sized(scans.pdf([scans.picture(FLOOD)]), width, height))


def test_a_picture_of_a_hostile_size_costs_its_document_alone(embedder_folder: Path, tmp_path: Path) -> None:
    files = {"bomb.pdf": bomb(), "good.pdf": scans.pdf([scans.picture(FLOOD)])}
    report, _ = built(tmp_path, embedder_folder, files, LIMITS)
    assert [item.name for item in report.skipped] == ["bomb.pdf"]
    assert report.recognized == {"good.pdf": 1}


def bomb() -> bytes:
    """Return a small PDF with a picture of 60,000 by 60,000 pixels, 10.8 GB of white."""
    import zlib

    packer = zlib.compressobj(9)
    row = bytes(60_000 * 3)
    data = b"".join(packer.compress(row) for _ in range(2_000)) + packer.flush()
    picture = (
        b"<</Type/XObject/Subtype/Image/Width 60000/Height 60000/ColorSpace/DeviceRGB/BitsPerComponent 8"
        b"/Filter/FlateDecode/Length %d>>stream\n" % len(data)
    )
    content = b"q 500 0 0 700 0 0 cm /I Do Q"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</XObject<</I 4 0 R>>>>/Contents 5 0 R>>",
        picture + data + b"\nendstream",
        b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
    ]
    out, places = b"%PDF-1.7\n", []
    for number, item in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, item)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    start = len(out)
    return out + b"xref\n0 6\n0000000000 65535 f \n%strailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (
        table,
        start,
    )


def test_more_pages_than_are_allowed_are_refused_before_the_first(scan: bytes, read: Callable[..., Extracted]) -> None:
    with pytest.raises(DocumentError, match="2 of its pages are pictures, and at most 1 of one document"):
        read(scan, ocr.recognizing(Limits(), pages=1))


def test_a_page_that_takes_too_long_is_named_and_the_next_document_is_read(scan: bytes, tmp_path: Path) -> None:
    (tmp_path / "scan").write_bytes(scan)
    (tmp_path / "after").write_bytes(b"# After\n\ntext")
    slow = Limits(scanned_pages=9, page_seconds=1, memory_bytes=ocr.MEMORY_BYTES)
    with Extractor(slow) as extractor:
        with pytest.raises(DocumentError, match="recognising its page 1 takes longer than 1 s"):
            extractor.extract(tmp_path / "scan", "scan.pdf")
        assert extractor.extract(tmp_path / "after", "after.md").blocks


def test_a_page_that_ends_the_reader_leaves_those_that_have_text(scan: bytes, tmp_path: Path) -> None:
    (tmp_path / "mixed").write_bytes(joined(typed(MIXED), scan))
    with Extractor(Limits(scanned_pages=9, page_seconds=1, memory_bytes=ocr.MEMORY_BYTES)) as extractor:
        found = extractor.extract(tmp_path / "mixed", "mixed.pdf")
    assert text_of(found) == MIXED
    assert found.warnings == ("has pages that are left out: recognising its page 2 takes longer than 1 s",)


def test_pages_over_the_most_leave_those_that_have_text(scan: bytes, read: Callable[..., Extracted]) -> None:
    found = read(joined(typed(MIXED), scan), ocr.recognizing(Limits(), pages=1))
    assert text_of(found) == MIXED
    assert "at most 1 of one document" in found.warnings[0]


def test_a_reader_that_nobody_listens_to_stops_at_the_next_page(tmp_path: Path) -> None:
    (tmp_path / "scan.pdf").write_bytes(scans.pdf([scans.picture(FLOOD, whole=True)] * 60))
    process = Extractor(ocr.recognizing(Limits(), pages=100))._start()
    try:
        process.stdin.write(
            json.dumps({"path": str(tmp_path / "scan.pdf"), "name": "scan.pdf", "recognize": True}) + "\n"
        )  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
        assert '"recognizing"' in process.stdout.readline()  # type: ignore[union-attr]
        process.stdin.close()  # type: ignore[union-attr]
        process.stdout.close()  # type: ignore[union-attr]
        assert process.wait(timeout=30) != 0
    finally:
        process.kill()
        process.wait()


def test_the_reader_can_write_no_file(tmp_path: Path) -> None:
    with Extractor(LIMITS) as extractor:
        (tmp_path / "a.md").write_bytes(b"# A\n\ntext")
        extractor.extract(tmp_path / "a.md", "a.md")
        limits = Path(f"/proc/{extractor._process.pid}/limits").read_text()  # type: ignore[union-attr]
    (line,) = [line for line in limits.splitlines() if line.startswith("Max file size")]
    assert line.split()[3:5] == ["0", "0"]


def test_the_pages_are_shown_as_they_are_recognised(scan: bytes, embedder_folder: Path, tmp_path: Path) -> None:
    class Shown(Silent):
        def __init__(self) -> None:
            self.done: dict[str, list[int]] = {}

        def task(self, label: str, *, total: int | None = None, unit: Unit = "items") -> Task:
            counts = self.done[label] = [0, total or 0]

            class Counting(Task):
                def advance(self, amount: int) -> None:
                    counts[0] += amount

            return Counting()

    shown = Shown()
    (tmp_path / "scan").write_bytes(scan)
    settings = IndexSettings(120, LIMITS)
    build_index({"scan.pdf": tmp_path / "scan"}, embedder_folder, tmp_path / "k.sqlite", settings, shown)
    assert shown.done == {"Indexing the documents": [1, 1], "Recognising pages of scan.pdf": [2, 2]}


def test_mutated_scans_end_in_text_or_in_an_error(tmp_path: Path) -> None:
    small = scans.pdf([scans.picture("Ask at the desk.", size=(600, 400), points=9)])
    died = 0
    with Extractor(LIMITS) as extractor:
        for number, data in enumerate(mutated([small], 30, 13)):
            place = tmp_path / f"{number}.pdf"
            place.write_bytes(data)
            try:
                extractor.extract(place, place.name)
            except DocumentError as error:
                died += "crashed" in error.message
    assert died == 0, "not promised, but worth a look where it happens"
