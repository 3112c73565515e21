"""Scanned pages: recognised where a recipe asks for it, and found with their page number."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pypdf import PdfReader, PdfWriter

from publicai_edge.engine.embedder import Embedder
from publicai_edge.errors import HostError
from publicai_edge.knowledge import IndexSettings, build_index, ocr
from publicai_edge.knowledge.blocks import Extracted
from publicai_edge.knowledge.extractor import Limits
from publicai_edge.progress import Silent, Task, Unit
from publicai_edge.search import KnowledgeBase
from tests.knowledge import scans


def test_a_scan_is_found_by_a_question_with_its_page(scan: bytes, embedder_folder: Path, tmp_path: Path) -> None:
    files = {"history.pdf": scan, "other.md": b"# Tickets\n\nThe bus to the station costs two euros."}
    report, progress = scans.indexed(tmp_path, embedder_folder, files, scans.LIMITS)
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
        scans.indexed(tmp_path / name, embedder_folder, {"a.pdf": scan}, scans.LIMITS)
    assert (tmp_path / "one" / "k.sqlite").read_bytes() == (tmp_path / "two" / "k.sqlite").read_bytes()


def test_headings_and_paragraphs_of_a_scan_are_told_apart(scan: bytes, read_pdf: Callable[..., Extracted]) -> None:
    found = read_pdf(scan)
    headings = [(block.text, block.page) for block in found.blocks if block.kind == "heading"]
    assert headings == [("Opening hours", 1), ("Borrowing", 1), ("The great flood", 2)]
    assert found.title == "Opening hours"
    assert found.recognized == 2


@pytest.mark.parametrize("mode", ["1", "CMYK"])
def test_pictures_as_scanners_store_them_are_read(mode: str, read_pdf: Callable[..., Extracted]) -> None:
    assert "flooded 212 houses" in scans.text_of(read_pdf(scans.pdf([scans.picture(scans.FLOOD).convert(mode)])))


def test_only_pages_without_text_of_their_own_are_recognised(scan: bytes, read_pdf: Callable[..., Extracted]) -> None:
    found = read_pdf(scans.joined(scans.typed(scans.MIXED), scan, scans.typed(scans.MIXED)))
    assert found.recognized == 2
    assert scans.text_of(found, 1) == scans.text_of(found, 4) == scans.MIXED
    assert "open on Saturdays" in scans.text_of(found, 2)
    assert "4.3 metres" in scans.text_of(found, 3)


def test_a_scanners_stamp_does_not_keep_a_page_from_being_recognised(read_pdf: Callable[..., Extracted]) -> None:
    writer = PdfWriter(io.BytesIO(scans.pdf([scans.picture(scans.FLOOD)])))
    writer.pages[0].merge_page(PdfReader(io.BytesIO(scans.typed("Scanned by Copy-o-mat"))).pages[0])
    out = io.BytesIO()
    writer.write(out)
    assert "flooded 212 houses" in scans.text_of(read_pdf(out.getvalue()))


def test_without_ocr_nothing_is_recognised_and_the_next_step_is_told(
    scan: bytes, embedder_folder: Path, tmp_path: Path
) -> None:
    files = {"scan.pdf": scan, "mixed.pdf": scans.joined(scans.typed(scans.MIXED), scan)}
    report, progress = scans.indexed(tmp_path, embedder_folder, files, Limits())
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
        scans.indexed(tmp_path, embedder_folder, {"a.md": b"# A\n\ntext"}, scans.LIMITS)
    assert caught.value.hint == "Run: pip install 'publicai-edge[ocr]'"
    assert not (tmp_path / "k.sqlite").exists()


def test_models_that_are_not_there_count_as_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ocr.models() is not None, "the extra `ocr` belongs to `dev`"
    monkeypatch.setattr(ocr, "RECOGNITION", "another.onnx")
    assert ocr.models() is None


def test_nothing_of_it_is_loaded_where_no_page_asks_for_it(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(scans.typed(scans.MIXED))
    program = (
        "import sys; from pathlib import Path; from publicai_edge.knowledge.extract import extract;"
        "from publicai_edge.knowledge.ocr.scans import PageScans;"
        "extract(Path(sys.argv[1]), 'a.pdf', 1 << 20, 1 << 20, PageScans(9, print));"
        "print(sorted({'cv2', 'rapidocr', 'pypdfium2', 'onnxruntime'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "a.pdf")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "[]\n"


def test_a_page_that_is_hard_to_read_is_told(embedder_folder: Path, tmp_path: Path) -> None:
    hard = scans.pdf([scans.picture(scans.HOURS, points=6, grain=40)], quality=30)
    files = {
        "hard.pdf": scans.joined(scans.typed(scans.MIXED), hard),
        "good.pdf": scans.pdf([scans.picture(scans.FLOOD)]),
    }
    report, progress = scans.indexed(tmp_path, embedder_folder, files, scans.LIMITS)
    (warning,) = progress.warnings
    assert warning.startswith("hard.pdf was recognised with little confidence, on pages: 2;")
    assert report.recognized == {"good.pdf": 1, "hard.pdf": 1}


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
    settings = IndexSettings(120, scans.LIMITS)
    build_index({"scan.pdf": tmp_path / "scan"}, embedder_folder, tmp_path / "k.sqlite", settings, shown)
    assert shown.done == {"Indexing the documents": [1, 1], "Recognising pages of scan.pdf": [2, 2]}
