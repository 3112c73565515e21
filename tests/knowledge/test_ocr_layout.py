"""Recognised lines in the order in which a person reads them."""

import numpy as np
import pytest
from PIL import Image

from publicai_edge.knowledge.ocr.layout import arrange
from publicai_edge.knowledge.ocr.recognizer import Read, Recognizer
from tests.knowledge import scans


@pytest.fixture(scope="session")
def recognizer() -> Recognizer:
    return Recognizer()


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_page_on_its_side_or_head_is_read_in_order(quarters: int, recognizer: Recognizer) -> None:
    upright = np.array(scans.picture(scans.HOURS).convert("RGB"))
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
