"""Scanned pages for the tests: text set in type, drawn as a picture, a little askew, grained and compressed.

And what the tests do with them.
"""

import io
import random
import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont
from pypdf import PdfReader, PdfWriter
from reportlab.pdfgen import canvas

from publicai_edge.knowledge import IndexReport, IndexSettings, build_index, ocr
from publicai_edge.knowledge.blocks import Extracted
from publicai_edge.knowledge.extractor import Limits
from publicai_edge.progress import Recorder

DOTS_PER_INCH = 200
A4 = (1654, 2339)
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
MARGIN = 180

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


def picture(
    text: str,
    *,
    font: str = "DejaVuSerif.ttf",
    points: float = 11,
    degrees: float = 0.7,
    grain: float = 12,
    size: tuple[int, int] = A4,
    whole: bool = False,
    seed: int = 1,
) -> Image.Image:
    """Return a page with the text's lines, broken where they are too long; "# " begins a heading.

    Args:
        text: what stands there; an empty line is a space between paragraphs.
        font: a file of matplotlib's fonts, or a path.
        points: size of type.
        degrees: how far the page lies askew.
        grain: standard deviation of the noise, of 255.
        size: of the page, in pixels.
        whole: the whole page, and not as much of it as the text takes, which is recognised sooner.
        seed: of the noise.
    """
    page = Image.new("L", size, 250)
    draw = ImageDraw.Draw(page)
    y = float(MARGIN)
    for line in text.split("\n"):
        heading = line.startswith("# ")
        type_ = ImageFont.truetype(FONTS / font, points * DOTS_PER_INCH / 72 * (1.6 if heading else 1))
        for part in _broken(line.removeprefix("# "), type_, size[0] - 2 * MARGIN) or [""]:
            draw.text((MARGIN, y), part, font=type_, fill=25)
            y += type_.size * (1.4 if part else 0.8)
    assert y < size[1], "the text does not fit on the page"
    page = page if whole else page.crop((0, 0, size[0], min(size[1], int(y) + MARGIN)))
    return scanned(page, degrees=degrees, grain=grain, seed=seed)


def scanned(page: Image.Image, *, degrees: float, grain: float = 12, seed: int = 1) -> Image.Image:
    """Return a page as a scanner sees it."""
    turned = page.rotate(degrees, resample=Image.Resampling.BICUBIC, fillcolor=250)
    noise = Image.frombytes("L", page.size, random.Random(seed).randbytes(page.size[0] * page.size[1]))
    # Of evenly spread bytes, by their deviation (74); a picture of their own brightness stays as bright.
    share = grain / 74
    return Image.blend(turned, noise, share).point(lambda value: min(255, int((value - 127.5 * share) / (1 - share))))


def pdf(pages: Sequence[Image.Image], quality: int = 70) -> bytes:
    """Return a PDF of pictures alone."""
    out = io.BytesIO()
    how = {} if pages[0].mode == "1" else {"quality": quality}  # black and white is packed as faxes are
    pages[0].save(out, "PDF", save_all=True, append_images=list(pages[1:]), resolution=DOTS_PER_INCH, **how)
    return out.getvalue()


def _broken(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    lines: list[str] = []
    for word in (piece for whole in text.split() for piece in _fitting(whole, font, width)):
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _fitting(word: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Return a word in pieces that fit on a line: Chinese and Japanese have no spaces."""
    pieces = [""]
    for char in word:
        if pieces[-1] and font.getlength(pieces[-1] + char) > width:
            pieces.append("")
        pieces[-1] += char
    return pieces


def error_rate(found: str, wanted: str) -> float:
    """Return the character error rate: letters to insert, delete or exchange, for each letter that is wanted."""
    row = list(range(len(wanted) + 1))
    for number, char in enumerate(found, 1):
        before, row[0] = row[0], number
        for at, other in enumerate(wanted, 1):
            before, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, before + (char != other))
    return row[-1] / len(wanted)


def typed(*texts: str) -> bytes:
    """Return a PDF with a page of type for each text."""
    out = io.BytesIO()
    page = canvas.Canvas(out)
    for text in texts:
        for number, part in enumerate(textwrap.wrap(text, 60)):
            page.drawString(72, 700 - 16 * number, part)
        page.showPage()
    page.save()
    return out.getvalue()


def joined(*files: bytes) -> bytes:
    """Return the pages of several PDFs as one."""
    writer = PdfWriter()
    for data in files:
        for page in PdfReader(io.BytesIO(data)).pages:
            writer.add_page(page)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def text_of(found: Extracted, page: int | None = None) -> str:
    """Return what was read, of one page or of all."""
    return "\n".join(block.text for block in found.blocks if page in (None, block.page))


def indexed(tmp_path: Path, embedder: Path, files: dict[str, bytes], limits: Limits) -> tuple[IndexReport, Recorder]:
    """Build an index of files; return its report, and what was shown meanwhile."""
    paths = {}
    for number, (name, data) in enumerate(files.items()):
        paths[name] = tmp_path / f"document-{number}"
        paths[name].write_bytes(data)
    progress = Recorder()
    report, _ = build_index(paths, embedder, tmp_path / "k.sqlite", IndexSettings(120, limits), progress)
    return report, progress
