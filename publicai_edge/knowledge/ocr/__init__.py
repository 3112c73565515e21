"""Recognising the text of pages that are pictures, as scanners make them (OCR).

An optional part: PDFium draws a page, PP-OCR models in ONNX find and read its lines. Both run in the process that reads
documents (:mod:`publicai_edge.knowledge.extractor`) and nowhere else, and only where a recipe asks for it.
"""

import importlib.util
from dataclasses import replace
from pathlib import Path

from publicai_edge.errors import HostError
from publicai_edge.knowledge.extractor import Limits

LIBRARIES = ("rapidocr", "pypdfium2", "opencv-python-headless", "pyclipper", "shapely", "omegaconf", "pillow")
"""Distributions that decide what is recognised; the models are in the first one's wheel."""
DETECTION, RECOGNITION = "PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx"
MEMORY_BYTES = 4 << 30
"""Address space of a reader that recognises."""


def models() -> Path | None:
    """Return the folder of the models, where what recognises is installed; nothing of it is loaded for that."""
    if importlib.util.find_spec("pypdfium2") is None:
        return None
    found = importlib.util.find_spec("rapidocr")
    for place in found.submodule_search_locations or () if found else ():
        folder = Path(place) / "models"
        if all((folder / name).is_file() for name in (DETECTION, RECOGNITION)):
            return folder
    return None


def require_installed() -> None:
    """See that what recognises is there.

    Raises:
        HostError: it is not.
    """
    if models() is None:
        raise HostError(
            "Recognising the text of scanned pages (ocr = true) needs packages that are not installed.",
            hint="Run: pip install 'publicai-edge[ocr]'",
        )


def recognizing(limits: Limits, pages: int) -> Limits:
    """Return the limits of a reader that also recognises pages, at most so many of a document."""
    return replace(limits, scanned_pages=pages, memory_bytes=max(limits.memory_bytes, MEMORY_BYTES))
