"""What `publicai-edge ask` says where the model says nothing."""

import pytest

from publicai_edge.cli import options
from publicai_edge.cli.ask import _Printer
from publicai_edge.kiosk import events


@pytest.mark.parametrize(("answer", "told"), [("", True), ("At the desk.", False)])
def test_an_empty_answer_is_told(capfd: pytest.CaptureFixture[str], answer: str, told: bool) -> None:
    printer = _Printer(options.console(as_json=False, debug=False))
    if answer:
        printer.show(events.AnswerText(answer))
    printer.show(events.AnswerDone("stop", 3, 0.1))
    printer.end()
    assert ("The model said nothing" in " ".join(capfd.readouterr().err.split())) is told
