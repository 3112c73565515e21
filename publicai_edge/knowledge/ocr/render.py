"""Pages of a PDF drawn as pictures, through PDFium.

PDFium is C++ and reads what strangers made; hence only in a child process with limits. Nothing of a document is run:
the library is built without JavaScript, and no form is filled in.

Invariant: a picture's size is bounded whatever the page says of its own: no side is longer than :data:`LONGEST_SIDE`,
and none shorter than a quarter of the other, so that nothing that enlarges it to a least side meets a ribbon.
"""

import math
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from publicai_edge.errors import DocumentError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONGEST_SIDE = 2000
"""In pixels: an A4 page has 171 a inch, at which print of 7 points is still read."""
DOTS_PER_INCH = 200
_POINTS_PER_INCH = 72
_MOST_POINTS = 1e7
_SHAPE = 4
_WHITE = 255


class Drawn:
    """A PDF whose pages are drawn; a context manager."""

    def __init__(self, data: bytes, pages: int) -> None:
        """Open it.

        Args:
            data: the file.
            pages: how many another reader counts.

        Raises:
            DocumentError: PDFium cannot open it, or counts other pages, so that page numbers would be wrong.
        """
        import pypdfium2

        self._errors: type[Exception] = pypdfium2.PdfiumError
        try:
            self._document: Any = pypdfium2.PdfDocument(data)
        except self._errors as error:
            raise DocumentError(f"its pages cannot be drawn: {error}") from error
        if len(self._document) != pages:
            count = len(self._document)
            self._document.close()
            raise DocumentError(f"it is damaged: one reader finds {pages} pages in it and another {count}")

    def page(self, number: int) -> "NDArray[np.uint8] | None":
        """Return a page (from 1) in blue, green and red, shape (height, width, 3); None where it cannot be drawn."""
        try:
            page = self._document[number - 1]
            width, height = page.get_size()
            if not all(0 < side < _MOST_POINTS and math.isfinite(side) for side in (width, height)):
                return None
            scale = min(DOTS_PER_INCH / _POINTS_PER_INCH, (LONGEST_SIDE - 1) / max(width, height))
            drawn = page.render(scale=scale, may_draw_forms=False, force_bitmap_format=_bgr())
            picture = _shaped(drawn.to_numpy())
            drawn.close()
            page.close()
        except self._errors:
            return None
        return picture

    def __enter__(self) -> "Drawn":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._document.close()


def _bgr() -> int:
    from pypdfium2.raw import FPDFBitmap_BGR

    return int(FPDFBitmap_BGR)


def _shaped(picture: "NDArray[np.uint8]") -> "NDArray[np.uint8]":
    """Return a copy of the picture, with white at its right or below it where it would be a ribbon."""
    height, width = picture.shape[:2]
    size = (max(height, width // _SHAPE, 1), max(width, height // _SHAPE, 1), 3)
    shaped = np.full(size, _WHITE, dtype=np.uint8)
    shaped[:height, :width] = picture
    return shaped
