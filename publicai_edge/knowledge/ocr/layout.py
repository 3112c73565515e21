"""Recognised lines in the order in which a person reads them. Pure: corners in, lines out.

A page that lies a little askew is set straight first, by its corners alone. Lines that cross most of the page part it
into bands; a band with a gutter between lines of prose is read column by column, any other row by row, so that a day
and its hours stay together.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from unicodedata import east_asian_width

import numpy as np

from publicai_edge.knowledge.extract.lines import Line
from publicai_edge.knowledge.ocr.recognizer import Read

CELL_GAP = 2.0
"""Widths of a gap, in heights of a line, from which on two pieces of a row are two cells."""

_LONG = 3  # widths a height of lines that tell how a page lies
_CROSSING = 0.6  # of the text's width
_LEAST_LINES, _LEAST_WIDTH = 4, 0.2  # a column of prose: lines, and their width as a share of the text's
_SAME_ROW = 0.5  # of the lower line's height, between two middles
_APART = 1.5  # of the usual distance between rows: a paragraph ends
_HEADING, _TITLE = 1.3, 1.75  # of the usual width of a letter; bold type of the same size is wider by a tenth
_HIGHER = 1.05  # of the usual height as well, which grows less than the type does: a box has a margin
_HEADING_CHARS = 120
_NARROW, _WIDE = frozenset("ijltfrI.,:;!'|()[]- 1"), frozenset("mwMW\u2014%@")


@dataclass(frozen=True)
class _Box:
    text: str
    left: float
    right: float
    middle: float
    height: float

    @property
    def letter(self) -> float:
        """Width of an ordinary letter, in pixels, by what the letters in it usually measure."""
        return (self.right - self.left) / max(1.0, sum(map(_share, self.text)))


def arrange(lines: Sequence[Read]) -> list[Line]:
    """Return the lines of a page in reading order, headings marked, an empty line after each paragraph."""
    if not lines:
        return []
    boxes = _straight(lines)
    usual, letter = _middling(boxes, lambda box: box.height), _middling(boxes, lambda box: box.letter)
    rows = [row for run in _runs(boxes) for row in _rows(run)]
    pitch = _pitch(rows, usual)
    out: list[Line] = []
    for before, row in zip([None, *rows], rows, strict=False):
        cells = _cells(row)
        if before and (len(cells) > 1 or len(_cells(before)) > 1 or not 0 < _middle(row) - _middle(before) < pitch):
            out.append(Line())
        text = " | ".join(cells)
        out.append(Line(text, level=_level(row, usual, letter) if len(text) <= _HEADING_CHARS else 0))
    return out


def _straight(lines: Sequence[Read]) -> list[_Box]:
    """Return the lines as boxes, turned by the angle that most of their letters stand at."""
    edges = [line.corners[1] - line.corners[0] for line in lines if line.width > _LONG * line.height]
    angle = median(float(np.arctan2(edge[1], edge[0])) for edge in edges) if edges else 0.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    boxes = []
    for line in lines:
        corners = line.corners @ turn
        left, right = float(corners[:, 0].min()), float(corners[:, 0].max())
        boxes.append(_Box(line.text.strip(), left, right, float(corners[:, 1].mean()), line.height))
    return boxes


def _share(char: str) -> float:
    """Return how wide a letter is in most type, beside a lower-case n."""
    if char in _NARROW:
        return 0.55
    if east_asian_width(char) in "WF":
        return 1.9
    return 1.5 if char in _WIDE else 1.25 if char.isupper() else 1.0


def _middling(boxes: Sequence[_Box], measure: Callable[[_Box], float]) -> float:
    """Return the measure of the box in which the middle letter stands, when they are ordered by it."""
    ordered = sorted(boxes, key=measure)
    half = sum(len(box.text) for box in ordered) / 2
    for box in ordered:
        half -= len(box.text)
        if half <= 0:
            break
    return measure(box)


def _runs(boxes: Sequence[_Box]) -> Iterator[list[_Box]]:
    """Yield what is read row by row: bands of the page, or the columns of a band."""
    width = max(box.right for box in boxes) - min(box.left for box in boxes)
    band: list[_Box] = []
    for box in sorted(boxes, key=lambda box: box.middle):
        if box.right - box.left > _CROSSING * width:
            yield from _columns(band, width)
            band = []
            yield [box]
        else:
            band.append(box)
    yield from _columns(band, width)


def _columns(band: list[_Box], width: float) -> Iterator[list[_Box]]:
    if not band:
        return
    ordered = sorted(band, key=lambda box: box.left)
    reach = ordered[0].right
    for number, box in enumerate(ordered):
        left, right = ordered[:number], ordered[number:]
        if box.left > reach + box.height / 2 and _is_prose(left, width) and _is_prose(right, width):
            yield left
            yield from _columns(right, width)
            return
        reach = max(reach, box.right)
    yield band


def _is_prose(boxes: Sequence[_Box], width: float) -> bool:
    return len(boxes) >= _LEAST_LINES and median(box.right - box.left for box in boxes) > _LEAST_WIDTH * width


def _rows(boxes: Sequence[_Box]) -> list[list[_Box]]:
    rows: list[list[_Box]] = []
    for box in sorted(boxes, key=lambda box: box.middle):
        last = rows[-1] if rows else []
        if last and box.middle - _middle(last) < _SAME_ROW * min(box.height, *(other.height for other in last)):
            last.append(box)
        else:
            rows.append([box])
    return [sorted(row, key=lambda box: box.left) for row in rows]


def _middle(row: Sequence[_Box]) -> float:
    return sum(box.middle for box in row) / len(row)


def _pitch(rows: Sequence[Sequence[_Box]], usual: float) -> float:
    """Return the distance of rows from which on one begins a paragraph."""
    steps = [_middle(below) - _middle(above) for above, below in pairwise(rows)]
    near = [step for step in steps if 0 < step < 3 * usual]
    return _APART * (median(near) if near else 2 * usual)


def _cells(row: Sequence[_Box]) -> list[str]:
    cells = [row[0].text]
    for before, box in pairwise(row):
        if box.left - before.right > CELL_GAP * min(before.height, box.height):
            cells.append(box.text)
        else:
            cells[-1] += f" {box.text}"
    return cells


def _level(row: Sequence[_Box], height: float, letter: float) -> int:
    """Return the level of the heading that a row is, or 0, by the page's usual height and width of a letter."""
    ratio = min(box.letter for box in row) / letter
    if ratio < _HEADING or min(box.height for box in row) < _HIGHER * height:
        return 0
    return 1 if ratio > _TITLE else 2
