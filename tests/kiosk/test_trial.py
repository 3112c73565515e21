"""Trying a kiosk: what counts as said, what counts as right, and what is told of a trial."""

import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from publicai_edge.bundle.open import Bundle
from publicai_edge.bundle.questions import Passage, Question, Questions
from publicai_edge.errors import BundleError, EngineError, HostError, OverloadedError, RecipeError
from publicai_edge.kiosk.server import beside
from publicai_edge.kiosk.trial import asking, report
from publicai_edge.kiosk.trial.asking import Asker, Found, Heard
from publicai_edge.kiosk.trial.result import Line, Share, Trial, judge, score, scores
from publicai_edge.kiosk.trial.running import Attempt
from publicai_edge.kiosk.trial.wording import says
from publicai_edge.progress import Silent
from tests.kiosk.conftest import Running, manifest, write_bundle
from tests.kiosk.fakes import FakeDocuments, FakeEngine

HOURS = Question(
    service="ask",
    language="en",
    question="When does the library open?",
    facts=(("9 a.m.", "nine"),),
    passages=(Passage(source="hours.md", words=("Monday to Friday",)),),
)
LOANS = Question(
    service="ask",
    language="es",
    question="How long may books be kept, and films?",
    facts=(("three weeks",), ("one month",)),
    passages=(Passage(source="rules.pdf", page=3),),
)
OUTSIDE = Question(service="ask", language="en", question="zzzz qqqq", outside=True)
PLAIN = Question(service="plain-words", language="en", question="Say it.", facts=(("lovely",),))
ALL = Questions(questions=(HOURS, LOANS, OUTSIDE, PLAIN))


# --- what counts as said ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wording"),
    [
        ("Abre los SÁBADOS.", "sabados"),
        ("It opens at 09:00.", "9"),
        ("Es öffnet um 9.00 Uhr", "9:00"),
        ("until 6 p.m.", "18:00"),
        ("until 18.00", "6 pm"),
        ("costs 0,10 euros", "0.10 euros"),
        ("costs 0.1 euros", "0,10 euros"),
        ("6,200 photographs", "6.200 photographs"),
        ("six films", "6 films"),
        ("sechs Filme", "6 filme"),
        ("for three weeks", "3 weeks"),
        ("يفتح في الساعة ٩", "9"),
        ("图书馆10点开门。", "10点"),
        ("dans l\u2019entrée", "entree"),
        ("the form LH-7, by telephone", "LH-7"),
        ("size A4", "a4"),
        ("co-operate, twice", "co\u2011operate"),
    ],
)
def test_a_fact_is_said_however_it_is_written(text: str, wording: str) -> None:
    assert says(text, [wording])


@pytest.mark.parametrize(
    ("text", "wording"),
    [
        ("It is room 19.", "9"),
        ("It is here.", "her"),
        ("until 6 a.m.", "6 p.m."),
        ("costs 0.01 euros", "0.1 euros"),
        ("at 10:03", "10:30"),
        ("weeks: three", "three weeks"),
        ("мій", "міи"),
        ("", "9"),
        ("anything", "…"),
    ],
)
def test_what_is_something_else_is_not_said(text: str, wording: str) -> None:
    assert not says(text, [wording])


def test_one_of_several_wordings_is_enough() -> None:
    assert says("at nine in the morning", ["9 o'clock", "nine in the morning"])


# --- what counts as right --------------------------------------------------------------------------------------------

SHOWN = (
    Found("Rules", "documents/rules.pdf", 1, "Rules\nA card is free."),
    Found("Hours", "documents/hours.md", None, "Hours\nOpen from Monday to Friday."),
)
GOOD = Heard(SHOWN, answer="It opens at nine.", sentences=1, cited=1, ended="stop", to_passages=0.1, to_end=2.0)


def test_right_is_a_question_whose_passage_and_facts_are_there() -> None:
    line = judge(HOURS, GOOD)
    assert (line.right, line.place, line.passage, line.cited, line.nothing) == (True, 2, True, True, None)
    assert [(fact.fact, fact.said) for fact in line.facts] == [("9 a.m.", True)]
    assert line.shown == ("documents/rules.pdf, page 1", "documents/hours.md")


@pytest.mark.parametrize(
    ("question", "heard"),
    [
        (HOURS, replace(GOOD, answer="It opens at ten.")),
        (HOURS, replace(GOOD, passages=SHOWN[:1])),
        (HOURS, replace(GOOD, passages=(replace(SHOWN[1], text="Hours\nOpen on Sunday."),))),
        (LOANS, replace(GOOD, answer="three weeks, one month")),  # page 1, and page 3 is asked for
        (HOURS, Heard(nothing_found=True, to_end=0.1)),
        (OUTSIDE, GOOD),
        (HOURS, replace(GOOD, trouble="engine_failed")),
        (OUTSIDE, Heard(trouble="search_failed")),
        (PLAIN, replace(GOOD, passages=(), answer="")),
    ],
)
def test_wrong_is_a_question_of_which_anything_is_missing(question: Question, heard: Heard) -> None:
    assert not judge(question, heard).right


def test_nothing_found_is_right_outside_the_documents() -> None:
    line = judge(OUTSIDE, Heard(nothing_found=True, to_end=0.1))
    assert (line.right, line.nothing, line.passage, line.cited) == (True, True, None, None)


def test_an_answer_without_sources_is_told_and_makes_no_question_wrong() -> None:
    line = judge(HOURS, replace(GOOD, cited=0))
    assert (line.right, line.cited) == (True, False)
    assert "no sentence names a passage" in report.remarks(line)


def test_a_score_counts_what_was_asked_for_by_service_and_language() -> None:
    lines = [
        judge(HOURS, GOOD),
        judge(HOURS, replace(GOOD, answer="At ten.", to_passages=0.3)),
        judge(LOANS, replace(GOOD, answer="three weeks")),
        judge(OUTSIDE, Heard(nothing_found=True, to_end=0.1)),
    ]
    english, spanish = scores(lines)
    assert (english.service, english.language, english.right) == ("ask", "en", Share(2, 3))
    assert (english.passages, english.facts, english.nothing) == (Share(2, 2), Share(1, 2), Share(1, 1))
    assert (english.to_passages, english.to_first_word) == (0.2, None)
    assert (spanish.right, spanish.facts, spanish.nothing) == (Share(0, 1), Share(1, 2), Share(0, 0))
    assert score(lines).percent == 50


# --- asking ----------------------------------------------------------------------------------------------------------


def attempt(kiosk: Running, bundle: Bundle, questions: Questions = ALL) -> Attempt:
    return Attempt(bundle, questions, "a machine", kiosk.url, lambda: pytest.fail("a kiosk was started"))


def test_a_kiosk_is_asked_as_a_patron_asks(kiosk: Running, bundle: Bundle) -> None:
    kiosk.engine.text = "The library opens at 9 a.m. Books may be kept for three weeks. It is a lovely place."
    trial = attempt(kiosk, bundle).run(Silent())
    assert [line.right for line in trial.lines] == [True, False, True, True]
    assert trial.whole
    assert (trial.lines[0].passage, trial.lines[0].cited, trial.lines[1].place) == (True, True, 1)
    for line in (trial.lines[0], trial.lines[1]):
        assert line.to_passages is not None
        assert line.to_first_word is not None
        assert line.to_end is not None
        assert 0 <= line.to_passages <= line.to_first_word <= line.to_end
    assert trial.lines[2].answer == ""
    assert (trial.bundle, trial.version, trial.url) == ("town-library", "1.0.0", kiosk.url)
    assert len(kiosk.kiosk.sessions) == 0, "each question's session is ended"


def test_a_question_does_not_see_the_one_before_it(kiosk: Running, bundle: Bundle) -> None:
    attempt(kiosk, bundle, Questions(questions=(PLAIN, PLAIN))).run(Silent())
    assert [len(request.messages) for request in kiosk.engine.requests] == [2, 2]


def test_where_no_kiosk_is_that_is_told_with_the_next_step(bundle: Bundle) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        one = Attempt(bundle, ALL, "a machine", url, lambda: pytest.fail("a kiosk was started"))
        with pytest.raises(HostError, match=f"No kiosk answers at {url}: Connection refused") as caught:
            one.run(Silent())
    assert "publicai-edge serve" in str(caught.value.hint)
    assert one.trial.lines == ()


@pytest.mark.parametrize("url", ["https://kiosk:8017", "http://", "http://kiosk:99999999", "http://k/page", "ftp://k"])
def test_what_is_no_address_of_a_kiosk_is_refused_at_once(url: str) -> None:
    with pytest.raises(HostError, match="is not the address of a kiosk"):
        Asker(url)


def test_a_kiosk_of_another_bundle_is_not_tried(kiosk: Running, tmp_path: Path) -> None:
    other = write_bundle(tmp_path / "other", manifest(version="2.0.0"))
    with pytest.raises(BundleError, match=r"serves town-library 1\.0\.0, and the questions are those of .* 2\.0\.0"):
        attempt(kiosk, other).run(Silent())


def test_a_model_that_cannot_be_used_ends_the_trial(kiosk: Running, bundle: Bundle) -> None:
    kiosk.engine.state = "failed"
    with pytest.raises(EngineError, match="The model of the kiosk at"):
        attempt(kiosk, bundle).run(Silent())


def test_a_full_line_is_waited_for_and_asked_again(
    kiosk: Running, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        kiosk.engine.failure = None

    kiosk.engine.failure = OverloadedError("full", retry_after=7)
    monkeypatch.setattr(asking.time, "sleep", sleep)
    trial = attempt(kiosk, bundle, Questions(questions=(HOURS,))).run(Silent())
    assert waited == [7]
    assert trial.lines[0].trouble is None


def test_a_line_that_stays_full_ends_the_trial(kiosk: Running, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    kiosk.engine.failure = OverloadedError("full", retry_after=1)
    monkeypatch.setattr(asking.time, "sleep", lambda _seconds: None)
    with pytest.raises(OverloadedError, match="had no room for a question, 5 times"):
        attempt(kiosk, bundle).run(Silent())


def test_an_answer_that_fails_is_one_wrong_line(kiosk: Running, bundle: Bundle) -> None:
    kiosk.engine.failure = EngineError("died")
    kiosk.engine.fail_after = 2
    trial = attempt(kiosk, bundle, Questions(questions=(HOURS, OUTSIDE))).run(Silent())
    assert [(line.trouble, line.right) for line in trial.lines] == [("engine_failed", False), (None, True)]


def test_what_was_asked_before_an_interruption_is_kept(
    kiosk: Running, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, count = Asker.ask, iter(range(9))

    def interrupted(self: Asker, question: Question) -> Heard:
        if next(count) == 2:
            raise KeyboardInterrupt
        return ask(self, question)

    monkeypatch.setattr(Asker, "ask", interrupted)
    one = attempt(kiosk, bundle)
    with pytest.raises(KeyboardInterrupt):
        one.run(Silent())
    assert (len(one.trial.lines), one.trial.planned, one.trial.whole) == (2, 4, False)
    assert "interrupted: 2 of 4 were asked" in report.headline(one.trial)


def test_a_kiosk_is_started_for_the_trial_and_ends_with_it(bundle: Bundle) -> None:
    engine = FakeEngine()
    one = Attempt(bundle, ALL, "a machine", None, lambda: beside(bundle, engine, FakeDocuments))
    trial = one.run(Silent())
    assert trial.whole
    assert trial.url is None
    assert (engine.starts, engine.closes, engine.state) == (1, 1, "closed")


# --- reports ---------------------------------------------------------------------------------------------------------

NASTY = '<script>alert("x")</script> | a *pipe*\nand a line'


def line(**changes: Any) -> Line:
    return replace(judge(HOURS, replace(GOOD, answer=NASTY)), **changes)


TRIAL = Trial(
    when="2026-11-30T05:00:00+00:00",
    bundle="town-library",
    version="1.0.0",
    digest="ab" * 32,
    title="Ask | the <Town> Library",
    model="SmolLM2, Q4_0",
    machine="a machine",
    url=None,
    planned=2,
    lines=(line(), line(language="es", question=NASTY)),
)


def test_a_page_is_whole_and_what_a_model_wrote_stays_text() -> None:
    page = report.to_html(TRIAL)
    tree = etree.fromstring(page.encode(), etree.XMLParser(resolve_entities=False))
    assert not tree.findall(".//{*}script")
    told = "".join(tree.itertext())
    for said in (NASTY, "town-library 1.0.0", "ab" * 32, "a machine", "SmolLM2, Q4_0", "2026-11-30T05:00:00+00:00"):
        assert said in told
    assert report.to_html(TRIAL) == page


def test_markdown_has_a_row_for_each_question_and_no_markup_of_a_models() -> None:
    text = report.to_markdown(TRIAL)
    rows = [row for row in text.splitlines() if row.startswith(("| right", "| wrong"))]
    assert len(rows) == 2
    assert all(row.replace("\\|", "").count("|") == 6 for row in rows)
    assert "<script>" not in text
    assert "\\*pipe\\*" in text


def test_json_holds_the_figures_and_every_line() -> None:
    value = json.loads(report.to_json(TRIAL))
    assert value["format"] == "publicai-edge/trial/1"
    assert (value["percent"], value["planned"], value["whole"]) == (0.0, 2, True)
    assert [item["language"] for item in value["scores"]] == ["en", "es"]
    assert value["questions"][0]["answer"] == NASTY
    assert value["total"]["right"] == {"count": 0, "of": 2}


def test_a_report_is_written_in_the_form_of_its_name(tmp_path: Path) -> None:
    for name, begins in (("a.html", "<!DOCTYPE html>"), ("a.MD", "# "), ("a.json", "{")):
        report.check((tmp_path / name,))
        report.write(TRIAL, tmp_path / name)
        assert (tmp_path / name).read_text("utf-8").startswith(begins)


@pytest.mark.parametrize("name", ["report.pdf", "report", "."])
def test_another_ending_is_refused_before_anything_is_asked(tmp_path: Path, name: str) -> None:
    with pytest.raises((RecipeError, HostError)):
        report.check((tmp_path / name,))
