"""Write the demo's PDF and Word document again: the same bytes on every run.

    python scripts/make_demo_documents.py [FOLDER]

The other demo documents are text and are edited directly. python-docx, already a dependency, writes the Word
file; reportlab, for developers only, writes the PDF: it is BSD-licensed, sets type on pages as an office program
would, and has a mode that leaves out times and random identifiers.
"""

import io
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path

from docx import Document
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate, Spacer

FOLDER = Path(__file__).parents[1] / "recipes" / "documents" / "demo"
NO_TIME = datetime(2026, 1, 1, tzinfo=UTC)

HISTORY: list[tuple[str, str]] = [
    ("Title", "The Local History Collection"),
    ("BodyText", "A guide for visitors to the Local History Room of Alder Ford Town Library."),
    ("Heading2", "What is in the collection"),
    (
        "BodyText",
        "The collection holds about 6,200 photographs, 410 maps, the town council's minutes from 1847 to 1974, "
        "and every number of the Alder Valley Courier from 1868 until the newspaper closed in 1991. There are "
        "also 96 recorded conversations with people who worked in the mills, made between 1978 and 1984.",
    ),
    ("BodyText", "The oldest item is a hand-drawn map of the mill race, dated 1712."),
    ("Heading2", "Using the room"),
    (
        "BodyText",
        "The room is on the second floor. It is open on Tuesday from 13:00 to 17:00, on Thursday from 13:00 to "
        "19:00 and on Saturday from 9:00 to 13:00. Sign the book when you come in, leave bags in a locker, which "
        "takes a one-euro coin and gives it back, and use pencil only. Nothing in the collection can be taken "
        "home.",
    ),
    (
        "BodyText",
        "Order items from the store at least two working days ahead, on the form called LH-7 or by telephone at "
        "0555 0149. You may order six items for one visit.",
    ),
    ("page", ""),
    ("Heading2", "Copies and photographs"),
    (
        "BodyText",
        "You may photograph items for your own study without flash, free of charge. A scan made by the staff "
        "costs 2 euros for the first page and 0.50 euros for each further page, and is ready within five working "
        "days. Permission to publish a picture costs 15 euros; schools and charities pay nothing.",
    ),
    ("Heading2", "Family history"),
    (
        "BodyText",
        "Parish registers of baptisms, marriages and burials from 1653 to 1920 can be read on microfilm. The "
        "card index of mill workers names 11,400 people. Volunteers of the Family History Circle help beginners "
        "on the second Saturday of each month, from 9:30 to 12:00.",
    ),
    ("Heading2", "The flood of 1931"),
    (
        "BodyText",
        "On the night of 8 November 1931 the river Alder rose 4.3 metres and flooded 212 houses. The library, "
        "then in the Corn Hall, lost a third of its books. The present building was opened on 17 May 1936. A "
        "brass line in the entrance hall shows how high the water would reach today.",
    ),
    ("Heading2", "Giving something to the collection"),
    (
        "BodyText",
        "We are glad of letters, photographs and films about the valley. Please ring first. A gift becomes the "
        "property of the town, and we give you copies of everything.",
    ),
]

ROOMS = [
    ["Room", "Floor", "Seats", "Community groups", "Businesses"],
    ["Weir Room", "Ground", "60", "free", "25 euros an hour"],
    ["Mill Room", "First", "16", "free", "12 euros an hour"],
    ["Study cabin 1", "Second", "4", "free", "not for hire"],
    ["Study cabin 2", "Second", "2", "free", "not for hire"],
]


def make_pdf(path: Path) -> None:
    """Write the guide to the local history collection, two pages."""
    styles = getSampleStyleSheet()
    story = []
    for style, text in HISTORY:
        story += [PageBreak()] if style == "page" else [Paragraph(text, styles[style]), Spacer(1, 6)]
    SimpleDocTemplate(
        str(path),
        pagesize=A4,
        title="The Local History Collection",
        author="Alder Ford Town Library",
        invariant=1,
    ).build(story)


def make_docx(path: Path) -> None:
    """Write the sheet about booking a room."""
    document = Document()
    properties = document.core_properties
    properties.title = "Booking a room"
    properties.author = "Alder Ford Town Library"
    properties.created = properties.modified = NO_TIME
    document.add_heading("Booking a room", 0)
    document.add_paragraph(
        "The library has two meeting rooms and two study cabins. Groups that charge nothing and are open to "
        "everyone use them free of charge."
    )
    document.add_heading("Rooms and prices", 1)
    table = document.add_table(rows=0, cols=len(ROOMS[0]))
    for row in ROOMS:
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text
    document.add_heading("How to book", 1)
    document.add_paragraph(
        "Book at the front desk or by telephone at 0555 0144, up to 90 days ahead. A meeting room can be booked "
        "for at most four hours a day, a study cabin for two. Bookings end 15 minutes before the library closes."
    )
    document.add_paragraph(
        "Cancel at least 24 hours ahead. After two bookings that nobody came to, a group cannot book for 30 days."
    )
    document.add_heading("What is in the rooms", 1)
    for item in (
        "Weir Room: a projector, a hearing loop, a piano and a kitchen corner",
        "Mill Room: a large screen, a whiteboard and sockets at every seat",
        "Study cabins: a desk, a lamp and a door that closes",
    ):
        document.add_paragraph(item, style="List Bullet")
    document.add_heading("House rules for rooms", 1)
    document.add_paragraph(
        "Cold food and drinks with a lid are allowed; alcohol is not. Leave the room as you found it. A cleaning "
        "fee of 20 euros is due when a room is left dirty."
    )
    _save_without_times(document, path)


def _save_without_times(document: object, path: Path) -> None:
    buffer = io.BytesIO()
    document.save(buffer)  # type: ignore[attr-defined]
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for item in source.infolist():
            clean = zipfile.ZipInfo(item.filename, date_time=(1980, 1, 1, 0, 0, 0))
            clean.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(clean, source.read(item))


def main() -> None:
    """Write both files and name them."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for make, name in ((make_pdf, "local-history-collection.pdf"), (make_docx, "booking-a-room.docx")):
        make(folder / name)
        print(folder / name)


if __name__ == "__main__":
    main()
