"""Lines of text in a picture, through RapidOCR: PP-OCR's models of the sixth generation, run by ONNX Runtime.

A page may lie on its side or on its head, as on a scanner's glass. Lines that are read poorly, or stand on end, tell
it; then the other three turns are tried, and the best is taken.

Invariants: nothing is fetched (the models' files are named outright); a line with less confidence than
:data:`LEAST_SCORE` is dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from publicai_edge.host import physical_cores
from publicai_edge.knowledge import ocr

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]
    Corners = NDArray[np.float64]

LEAST_SCORE = 0.7
"""Mean probability of a line's characters below which it is dropped.

Measured: 0.95 and more where every letter is right; 0.77 and more on a page so grainy that one letter in ten is wrong;
0.5 on the mean for Arabic, of which the model knows no letter.
"""
_FINDING_SIDE = 1280  # lines are found in a smaller picture, in half the time, and read in the large one
_POOR_PAGE = 0.8  # mean confidence, by letters, of a page that may lie another way
_TALL = 1.5  # a line's height to its width


@dataclass(frozen=True)
class Read:
    """A line as it was read.

    Attributes:
        text: what it says.
        score: mean probability of its characters.
        corners: shape (4, 2), in pixels: top left, top right, bottom right, bottom left.
    """

    text: str
    score: float
    corners: "Corners"

    @property
    def width(self) -> float:
        """Length of its upper edge, in pixels."""
        return float(np.linalg.norm(self.corners[1] - self.corners[0]))

    @property
    def height(self) -> float:
        """Length of its left edge, in pixels."""
        return float(np.linalg.norm(self.corners[3] - self.corners[0]))


class Recognizer:
    """The two models, loaded."""

    def __init__(self, threads: int | None = None) -> None:
        folder = ocr.models()
        if folder is None:
            raise RuntimeError("rapidocr or pypdfium2 is missing; require_installed() comes first")
        import cv2
        from rapidocr import RapidOCR

        from publicai_edge.knowledge.ocr.render import LONGEST_SIDE

        cv2.setNumThreads(1)
        self._engine: Any = RapidOCR(
            params={
                "Global.log_level": "critical",
                "Global.use_cls": False,  # whole pages are turned here, which one line cannot tell as well
                "Global.text_score": 0.0,
                "Global.max_side_len": LONGEST_SIDE,
                "Det.limit_type": "max",
                "Det.limit_side_len": _FINDING_SIDE,
                "Det.model_path": str(folder / ocr.DETECTION),
                "Rec.model_path": str(folder / ocr.RECOGNITION),
                "EngineConfig.onnxruntime.intra_op_num_threads": threads or physical_cores(),
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )

    def read(self, picture: "Picture") -> list[Read]:
        """Return the lines of a page, their corners in the page as it is turned to be read."""
        best = self._lines(picture)
        if not _is_upright(best):
            turned = (np.ascontiguousarray(np.rot90(picture, quarters)) for quarters in (2, 1, 3))
            best = max([best, *map(self._lines, turned)], key=_worth)
        return _sure(best)

    def _lines(self, picture: "Picture") -> list[Read]:
        found = self._engine(picture)
        if found.boxes is None or found.txts is None:
            return []
        return [
            Read(text, float(score), np.asarray(corners, dtype=np.float64))
            for corners, text, score in zip(found.boxes, found.txts, found.scores, strict=True)
            if text.strip()
        ]


def confidence(lines: Sequence[Read]) -> float:
    """Return the mean confidence of the lines' letters, 0 where there are none."""
    letters = sum(len(line.text) for line in lines)
    return sum(len(line.text) * line.score for line in lines) / letters if letters else 0.0


def _sure(lines: Sequence[Read]) -> list[Read]:
    return [line for line in lines if line.score >= LEAST_SCORE and not _is_tall(line)]


def _is_upright(lines: Sequence[Read]) -> bool:
    letters = sum(len(line.text) for line in lines)
    tall = sum(len(line.text) for line in lines if _is_tall(line))
    return not letters or (tall * 2 < letters and confidence(lines) >= _POOR_PAGE)


def _worth(lines: Sequence[Read]) -> float:
    """Return how much was read: letters of lines that lie flat, each by its confidence beyond the least."""
    return sum(len(line.text) * (line.score - LEAST_SCORE) for line in _sure(lines))


def _is_tall(line: Read) -> bool:
    return len(line.text) > 1 and line.height > _TALL * line.width
