"""Scanned pages for the tests: text set in type, drawn as a picture, a little askew, grained and compressed."""

import io
import random
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

DOTS_PER_INCH = 200
A4 = (1654, 2339)
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
MARGIN = 180


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
