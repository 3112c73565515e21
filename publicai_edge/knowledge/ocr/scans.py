"""A document's pages that are pictures, recognised one after the other, each within its time.

Invariants: at most so many pages of one document; each page's number is kept; of a page that cannot be drawn the
others do not suffer; pages that were read with little confidence are told, since a script that the model does not know
comes out as letters that it does.
"""

from collections.abc import Callable, Mapping, Sequence

from publicai_edge.errors import DocumentError
from publicai_edge.knowledge.extract.lines import Line
from publicai_edge.knowledge.ocr.layout import arrange
from publicai_edge.knowledge.ocr.recognizer import Recognizer, confidence
from publicai_edge.knowledge.ocr.render import Drawn

DOUBTFUL = 0.93
"""Mean confidence of a page's letters below which it is told: print in languages that are read has 0.97 and more, and
Cyrillic, of which every letter is wrong, 0.89."""
_TOLD = 10

Tell = Callable[[int, int, int], None]


class PageScans:
    """Recognises pages of PDFs; the models are loaded when the first page asks for them.

    Args:
        most: pages of one document at most.
        tell: is told before each page its number, how many are done, and of how many.
    """

    def __init__(self, most: int, tell: Tell) -> None:
        self._most = most
        self._tell = tell
        self._recognizer: Recognizer | None = None

    def read(self, data: bytes, wanted: Sequence[int], pages: int) -> tuple[Mapping[int, list[Line]], tuple[str, ...]]:
        """Return the lines of each of the ``wanted`` pages of a PDF that has ``pages``, and warnings.

        Raises:
            DocumentError: the PDF cannot be drawn, or too many pages are wanted.
        """
        if len(wanted) > self._most:
            raise DocumentError(
                f"{len(wanted)} of its pages are pictures, and at most {self._most} of one document are recognised; "
                "cut it into parts"
            )
        found: dict[int, list[Line]] = {}
        failed, doubtful = [], []
        with Drawn(data, pages) as drawn:
            for done, number in enumerate(wanted):
                self._tell(number, done, len(wanted))
                picture = drawn.page(number)
                if picture is None:
                    failed.append(number)
                    continue
                self._recognizer = self._recognizer or Recognizer()
                lines = self._recognizer.read(picture)
                found[number] = arrange(lines)
                if lines and confidence(lines) < DOUBTFUL:
                    doubtful.append(number)
        what = "was recognised with little confidence, on pages: {}; look whether what it says is right"
        warnings = [what.format(_named(doubtful))] if doubtful else []
        warnings += [f"has pages that cannot be drawn: {_named(failed)}"] if failed else []
        return found, tuple(warnings)


def _named(pages: Sequence[int]) -> str:
    more = f" and {len(pages) - _TOLD} more" if len(pages) > _TOLD else ""
    return ", ".join(map(str, pages[:_TOLD])) + more
