"""What a scanned document may cost, however it is made: bounded, and its own loss alone."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pypdf import PdfWriter
from pypdf.generic import ArrayObject, FloatObject, NameObject

from publicai_edge.errors import DocumentError
from publicai_edge.knowledge import ocr
from publicai_edge.knowledge.blocks import Extracted
from publicai_edge.knowledge.extractor import Extractor, Limits
from publicai_edge.knowledge.ocr.render import LONGEST_SIDE, Drawn
from tests.faults.foreign_readers import mutated
from tests.knowledge import scans


def sized(data: bytes, width: float, height: float) -> bytes:
    """Return the PDF with another size stated for its first page."""
    writer = PdfWriter(io.BytesIO(data))
    box = ArrayObject([FloatObject(0), FloatObject(0), FloatObject(width), FloatObject(height)])
    writer.pages[0][NameObject("/MediaBox")] = box
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def test_what_is_no_writing_gives_no_text(read_pdf: Callable[..., Extracted]) -> None:
    noise = Image.frombytes("L", (800, 1000), np.random.default_rng(1).bytes(800_000))
    blank = Image.new("L", scans.A4, 255)
    with pytest.raises(DocumentError, match="no text was recognised on its 2 pages"):
        read_pdf(scans.pdf([noise, blank]))


@pytest.mark.parametrize(
    ("width", "height"), [(14400, 14400), (14400, 1), (1, 14400), (3, 3), (2e6, 2e6), (2e6, 20), (0.01, 0.01), (0, 0)]
)
def test_a_page_of_any_size_is_drawn_within_bounds(width: float, height: float) -> None:
    with Drawn(sized(scans.typed(scans.MIXED), width, height), 1) as drawn:
        page = drawn.page(1)
    if page is not None:
        assert max(page.shape[:2]) <= LONGEST_SIDE
        assert max(page.shape[:2]) <= 4 * min(page.shape[:2]) + 4


@pytest.mark.parametrize(("width", "height"), [(14400, 1), (2e6, 2e6)])
def test_a_page_of_a_hostile_size_costs_no_more_than_another(
    width: float, height: float, read_pdf: Callable[..., Extracted]
) -> None:
    with pytest.raises(DocumentError, match="no text was recognised"):
        read_pdf(sized(scans.pdf([scans.picture(scans.FLOOD)]), width, height))


def test_a_picture_of_a_hostile_size_costs_its_document_alone(embedder_folder: Path, tmp_path: Path) -> None:
    files = {"bomb.pdf": bomb(), "good.pdf": scans.pdf([scans.picture(scans.FLOOD)])}
    report, _ = scans.indexed(tmp_path, embedder_folder, files, scans.LIMITS)
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


def test_more_pages_than_are_allowed_are_refused_before_the_first(
    scan: bytes, read_pdf: Callable[..., Extracted]
) -> None:
    with pytest.raises(DocumentError, match="2 of its pages are pictures, and at most 1 of one document"):
        read_pdf(scan, ocr.recognizing(Limits(), pages=1))


def test_a_page_that_takes_too_long_is_named_and_the_next_document_is_read(scan: bytes, tmp_path: Path) -> None:
    (tmp_path / "scan").write_bytes(scan)
    (tmp_path / "after").write_bytes(b"# After\n\ntext")
    slow = Limits(scanned_pages=9, page_seconds=0.05, memory_bytes=ocr.MEMORY_BYTES)
    with Extractor(slow) as extractor:
        with pytest.raises(DocumentError, match=r"recognising its page 1 takes longer than 0\.05 s"):
            extractor.extract(tmp_path / "scan", "scan.pdf")
        assert extractor.extract(tmp_path / "after", "after.md").blocks


def test_a_page_that_ends_the_reader_leaves_those_that_have_text(scan: bytes, tmp_path: Path) -> None:
    (tmp_path / "mixed").write_bytes(scans.joined(scans.typed(scans.MIXED), scan))
    with Extractor(Limits(scanned_pages=9, page_seconds=0.05, memory_bytes=ocr.MEMORY_BYTES)) as extractor:
        found = extractor.extract(tmp_path / "mixed", "mixed.pdf")
    assert scans.text_of(found) == scans.MIXED
    assert found.warnings == ("has pages that are left out: recognising its page 2 takes longer than 0.05 s",)


def test_pages_over_the_most_leave_those_that_have_text(scan: bytes, read_pdf: Callable[..., Extracted]) -> None:
    found = read_pdf(scans.joined(scans.typed(scans.MIXED), scan), ocr.recognizing(Limits(), pages=1))
    assert scans.text_of(found) == scans.MIXED
    assert "at most 1 of one document" in found.warnings[0]


def test_a_reader_that_nobody_listens_to_stops_at_the_next_page(tmp_path: Path) -> None:
    (tmp_path / "scan.pdf").write_bytes(scans.pdf([scans.picture(scans.FLOOD, whole=True)] * 60))
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
    with Extractor(scans.LIMITS) as extractor:
        (tmp_path / "a.md").write_bytes(b"# A\n\ntext")
        extractor.extract(tmp_path / "a.md", "a.md")
        limits = Path(f"/proc/{extractor._process.pid}/limits").read_text()  # type: ignore[union-attr]
    (line,) = [line for line in limits.splitlines() if line.startswith("Max file size")]
    assert line.split()[3:5] == ["0", "0"]


def test_mutated_scans_end_in_text_or_in_an_error(tmp_path: Path) -> None:
    small = scans.pdf([scans.picture("Ask at the desk.", size=(600, 400), points=9)])
    died = 0
    with Extractor(scans.LIMITS) as extractor:
        for number, data in enumerate(mutated([small], 30, 13)):
            place = tmp_path / f"{number}.pdf"
            place.write_bytes(data)
            try:
                extractor.extract(place, place.name)
            except DocumentError as error:
                died += "crashed" in error.message
    assert died == 0, "not promised, but worth a look where it happens"
