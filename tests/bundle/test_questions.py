"""The questions that a bundle brings: read as they were written, and told where there are none or others."""

from pathlib import Path

import pytest

from publicai_edge.bundle import questions
from publicai_edge.bundle.open import Bundle
from publicai_edge.bundle.questions import Passage, Question, Questions
from publicai_edge.errors import BundleError

ASKED = Questions(
    questions=(
        Question(service="ask", language="en", question="When?", facts=(("9", "nine"),)),
        Question(service="ask", language="en", question="Where?", passages=(Passage(source="a.md", words=("x",)),)),
        Question(service="ask", language="sw", question="Nani?", outside=True),
    )
)


def holding(root: Path, data: bytes | None) -> Bundle:
    if data is not None:
        (root / "data").mkdir()
        (root / questions.FILE).write_bytes(data)
    return Bundle(root, None)  # type: ignore[arg-type]


def test_they_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert questions.read(holding(tmp_path, ASKED.to_bytes())) == ASKED


def test_a_bundle_without_any_says_how_to_have_some(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="brings no questions") as caught:
        questions.read(holding(tmp_path, None))
    assert "[[services.questions]]" in str(caught.value.hint)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"\xff", b'{"format": 2, "questions": []}', ASKED.to_bytes().replace(b"facts", b"fakts")]
)
def test_a_file_in_another_form_is_an_error_and_no_crash(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(BundleError, match=r"data/questions\.json"):
        questions.read(holding(tmp_path, data))


@pytest.mark.parametrize(
    ("named", "source", "is_in"),
    [
        ("hours.md", "documents/hours.md", True),
        ("documents/hours.md", "documents/hours.md", True),
        ("hours.md", "documents/summer-hours.md", False),
        ("documents/hours.md", "hours.md", False),
    ],
)
def test_a_document_is_named_by_its_path_or_the_end_of_it(named: str, source: str, is_in: bool) -> None:
    assert Passage(source=named).is_in(source) is is_in
