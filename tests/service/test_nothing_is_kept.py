"""What a patron typed is found nowhere after the session: no file, log, core file, traceback or browser keeps it.

R12. A made-up word is typed at every place that takes text, in requests that succeed, fail, are refused, are left and
die with the worker. Then everything is searched that the kiosk, or the browser, may have written, and the memory of
both processes.
"""

import contextlib
import json
import os
import signal
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect, sync_playwright

from publicai_edge.pipeline.build import Built
from tests.browser import ARGUMENTS, CHROMIUM
from tests.conftest import ROOT
from tests.promises import Figure
from tests.service import canary
from tests.service.conftest import PATIENCE, PROGRAM, Kiosk, patched, until
from tests.service.crowd import MODEL, idle

EMBEDDING = "all-MiniLM-L6-v2"
WROTE = ("home", "cache", "config", "data", "state", "tmp", "cwd")
SHARED = [Path(place) for place in (tempfile.gettempdir(), "/var/tmp", "/dev/shm", "/var/log", "/var/crash")]

# Every kind of failure, each with the question in its message, where a log or a traceback could take it up.
FAILS = """
import asyncio
from publicai_edge.kiosk import answering
from publicai_edge.kiosk.library import Library

compose, search = answering.compose, Library.search

def failing_compose(inquiry, passages):
    if "break" in inquiry.question:
        raise ValueError(f"cannot compose {inquiry.question!r}")
    return compose(inquiry, passages)

async def failing_search(self, question, **more):
    async def lost():
        raise LookupError(question)
    asyncio.ensure_future(lost())
    if "seek" in question:
        raise RuntimeError(f"no passage for {question}")
    return await search(self, question, **more)

answering.compose, Library.search = failing_compose, failing_search
"""

# A kiosk that does what any web server does by default.
LOGS = """
import logging
from publicai_edge.kiosk import page_routes

inquiry = page_routes._inquiry

def logging_inquiry(kiosk, question):
    logging.getLogger("publicai_edge.kiosk").warning("asked: %s", ascii(question.question))
    return inquiry(kiosk, question)

page_routes._inquiry = logging_inquiry
"""

# A kiosk that ends a session as most programs do.
FORGETS_TO_SCRUB = """
from publicai_edge.kiosk import scrubbing, server

server.overwrite_what_is_freed = scrubbing.scrub = lambda: None
"""

SCRUBBED = 3.0  # seconds; it comes a second after the last request

pytestmark = pytest.mark.slow


@dataclass
class Place:
    """A kiosk whose every way to write leads into one folder."""

    kiosk: Kiosk
    folder: Path
    started: float

    def written(self) -> set[Path]:
        """Return everything that was written since the start, in that folder and where everybody may write."""
        own = {path for path in self.folder.rglob("*") if path.is_file()}
        return own | canary.changed_below([*SHARED, ROOT / "build"], self.started)


@pytest.fixture
def place(demo: Built, tmp_path: Path) -> Iterator[Callable[..., Place]]:
    """Start a kiosk that may only write below ``tmp_path``, as far as one can tell it; ``patch`` breaks it."""
    for name in WROTE:
        (tmp_path / name).mkdir()
    env = {"HOME": "home", "TMPDIR": "tmp", "PUBLICAI_EDGE_CACHE": "cache"}
    env |= {f"XDG_{name.upper()}_HOME": name for name in ("cache", "config", "data", "state")}
    env["PUBLICAI_EDGE_DOCUMENTS"] = "state"
    there = os.environ | {key: str(tmp_path / name) for key, name in env.items()} | {"PYTHONPATH": str(ROOT)}
    started: list[Kiosk] = []

    def start(patch: str = "", *, ready: bool = True) -> Place:
        now = time.time()
        program = patched(patch) if patch else PROGRAM
        arguments = [*program, "serve", str(demo.folder), "--port", "0", "--debug"]
        started.append(Kiosk(arguments, tmp_path / "printed", there, cwd=tmp_path / "cwd"))
        return Place(started[-1].wait_ready() if ready else started[-1], tmp_path, now)

    yield start
    for kiosk in started:
        kiosk.end(signal.SIGKILL)


def visit(kiosk: Kiosk, word: str, *, dies: bool = True) -> None:
    """Type the word wherever something can be typed, in requests of every fate; with ``dies``, the worker's too."""
    client = kiosk.client
    client.timeout = 5 * PATIENCE  # how long it takes is told by other tests
    for service in ("ask", "letter", "there-is-none"):
        client.post("/api/ask", json={"service": service, "language": "en", "question": f"A lift for {word}?"})
    client.post("/api/ask", json={"service": "letter", "language": word, "question": word})
    client.post("/api/ask", content=f'{{"service": {word}')
    with contextlib.suppress(httpx.TransportError):  # too large: it may be hung up before all is sent
        client.post("/api/ask", content=word.encode() * 2000)
    client.post("/api/ask", json={"service": "ask", "language": "en", "question": f"Lift? {word} " * 60})
    slip = {"service": "ask", "language": "en", "reason": "wrong"}  # kept, but without the word: it is not sent along
    for more in ({}, {"words": word}, {"reason": word}, {"passages": [{"source": word, "passage": 1}]}, {word: word}):
        client.post("/api/slip", json=slip | more)
    for header in ("Host", "Origin", "Cookie", "User-Agent", "X-Forwarded-For"):
        client.get("/api/status", headers={header: urllib.parse.quote(word)})
    client.get(f"/{word}")
    client.get("/api/documents/x", params={"q": word})
    turns = [{"role": "user", "content": f"Say {word}."}]
    chat = {"model": MODEL, "messages": turns, "max_tokens": 5}
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"enum": [word]}}}
    fates = ({"stream": True}, {"user": word}, {"stop": [word]}, {"messages": word}, {word: 1}, {"n": word})
    for more in ({}, *fates, {"response_format": schema}, {"model": word}):
        client.post("/v1/chat/completions", json=chat | more)
    client.post("/v1/completions", json={"model": MODEL, "prompt": f"Dear {word}", "max_tokens": 5})
    client.post("/v1/embeddings", json={"model": EMBEDDING, "input": [word, f"find {word}"]})
    leave(kiosk, word, deaths=(False, True) if dies else (False,))
    client.post("/v1/chat/completions", json=chat)
    client.post("/api/session/end")
    until(lambda: idle(kiosk), "nothing is under way")


def leave(kiosk: Kiosk, word: str, *, deaths: Sequence[bool]) -> None:
    """Ask for something long, and hang up, or let the worker die over it."""
    letter = {"service": "letter", "language": "en", "question": f"A long letter to {word}."}
    for dies in deaths:
        worker = kiosk.worker()
        with kiosk.client.stream("POST", "/api/ask", json=letter) as response:
            lines = map(json.loads, response.iter_lines())
            assert any(event["type"] == "text" for event in lines)
            if dies:
                os.kill(worker, signal.SIGABRT)
                assert list(lines)[-1]["type"] == "error"
    until(lambda: kiosk.state() == "ready", "the worker is replaced")


@pytest.mark.promise("R12")
def test_what_is_typed_is_in_no_file_log_journal_or_core_file(
    place: Callable[..., Place], demo: Built, figure: Figure
) -> None:
    word = canary.draw()
    forms = canary.needles(word)
    before = {path: path.stat().st_mtime_ns for path in demo.folder.rglob("*")}
    here = place()
    visit(here.kiosk, word)
    for pid in (here.kiosk.process.pid, here.kiosk.worker()):
        assert core_limit(pid) <= 1, "a core file may be written"
        assert canary.in_bytes(Path(f"/proc/{pid}/cmdline").read_bytes(), forms) == []
    assert here.kiosk.end() == 0
    written = here.written()
    assert {here.kiosk.stdout, here.kiosk.stderr} <= written, "what the process printed is looked at too"
    found = canary.in_files({*written, *demo.folder.rglob("*")}, forms)
    journal = canary.in_journal(here.started, forms)
    figure("files searched", len(written), "")
    figure("files, logs and core files that hold the word", len(found), "", bound="== 0")
    assert found == []
    assert not journal
    assert list(here.folder.rglob("core*")) == [], "others may write such files elsewhere"
    assert {path: path.stat().st_mtime_ns for path in demo.folder.rglob("*")} == before, "nothing is added or changed"


@pytest.mark.promise("R12")
def test_errors_in_the_middle_of_an_answer_are_told_without_what_was_typed(place: Callable[..., Place]) -> None:
    word = canary.draw()
    here = place(FAILS, ready=False)
    for service, what in (("ask", "break"), ("ask", "seek"), ("letter", "break")):
        asked = {"service": service, "language": "en", "question": f"{what} the lift {word}"}
        with contextlib.suppress(httpx.HTTPError):
            here.kiosk.client.post("/api/ask", json=asked)
    assert here.kiosk.end() == 0
    told = here.kiosk.stderr.read_text()
    assert "ValueError at " in told, "an error was raised, and told by its kind and place"
    assert "RuntimeError at " in told
    assert "LookupError at " in told, "so is one that nobody waited for"
    assert canary.in_files(here.written(), canary.needles(word)) == []


@pytest.mark.promise("R12", broken=True)
def test_a_kiosk_that_logs_questions_is_found(place: Callable[..., Place]) -> None:
    word = canary.draw()
    here = place(LOGS, ready=False)
    here.kiosk.client.post("/api/ask", json={"service": "none", "language": "en", "question": f"A lift for {word}?"})
    assert here.kiosk.end() == 0
    assert canary.in_files(here.written(), canary.needles(word)) == [str(here.kiosk.stderr)]


@pytest.mark.promise("R12")
def test_a_browser_keeps_nothing_in_its_profile(kiosk: Kiosk, tmp_path: Path, figure: Figure) -> None:
    word = canary.draw()
    use_browser(tmp_path / "profile", kiosk.url, word)
    kept = [path for path in (tmp_path / "profile").rglob("*") if path.is_file()]
    assert len(kept) > 10, "there is a profile to look at"
    figure("files of the browser's profile searched", len(kept), "")
    assert canary.in_files(kept, canary.needles(word)) == []


@pytest.mark.promise("R12", broken=True)
def test_a_page_that_stores_what_is_typed_is_found(kiosk: Kiosk, tmp_path: Path) -> None:
    word = canary.draw()
    use_browser(tmp_path / "profile", kiosk.url, word, "word => localStorage.setItem('last', word)")
    assert canary.in_files((tmp_path / "profile").rglob("*"), canary.needles(word)) != []


@pytest.mark.promise("R12")
def test_memory_holds_nothing_after_the_session(place: Callable[..., Place], figure: Figure) -> None:
    here = place()
    word = canary.draw()
    forms = canary.needles(word)
    asked = {"service": "letter", "language": "en", "question": f"A long letter to {word} about the park."}
    with here.kiosk.client.stream("POST", "/api/ask", json=asked) as response:
        assert any(json.loads(line)["type"] == "text" for line in response.iter_lines())
        seen = canary.in_memory(here.kiosk.process.pid, {"core": forms["core"]})
        assert seen, "while it is answered, it is found"
    visit(here.kiosk, word, dies=False)
    time.sleep(SCRUBBED)
    pids = {"the web process": here.kiosk.process.pid, "the worker": here.kiosk.worker()}
    for name, pid in pids.items():
        found = canary.in_memory(pid, forms)
        figure(f"copies left in memory of {name} after the session", found.get("core", 0), "", bound="== 0")
        assert found == {}, name


@pytest.mark.promise("R12", broken=True)
def test_a_kiosk_that_does_not_overwrite_its_memory_is_found(place: Callable[..., Place]) -> None:
    here = place(FORGETS_TO_SCRUB)
    word = canary.draw()
    asked = {"service": "ask", "language": "en", "question": f"A lift for {word}?"}
    here.kiosk.client.post("/api/ask", json=asked)
    here.kiosk.client.post("/api/session/end")
    until(lambda: idle(here.kiosk), "nothing is under way")
    time.sleep(SCRUBBED)
    assert canary.in_memory(here.kiosk.process.pid, canary.needles(word))


def use_browser(profile: Path, url: str, word: str, slip: str = "") -> None:
    """Ask at the page twice, leave something in the field, end the session; ``slip`` is what a broken page does."""
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(profile, executable_path=CHROMIUM, args=ARGUMENTS)
        page = context.pages[0]
        page.set_default_timeout(60_000)
        page.goto(url)
        page.get_by_role("button", name="Start a letter").click()
        for text in () if slip else (f"Thank {word}.", f"Again {word}."):
            page.get_by_label("Your question").fill(text)
            page.keyboard.press("Enter")
            expect(page.locator("#announcer")).to_contain_text("The answer is complete.")
            page.get_by_role("button", name="New question").click()
        page.get_by_label("Your question").fill(word)
        if slip:
            page.evaluate(slip, word)
        page.get_by_role("button", name="End session").click()
        expect(page.get_by_role("heading", name="Your session has ended")).to_be_focused()
        context.close()


def core_limit(pid: int) -> int:
    """Return the most bytes a core file of a process may have; 1 also keeps it from programs that collect them."""
    for line in Path(f"/proc/{pid}/limits").read_text().splitlines():
        if line.startswith("Max core file size"):
            soft = line.split()[4]
            return 1 << 62 if soft == "unlimited" else int(soft)
    raise AssertionError("no limit is told")


@pytest.mark.parametrize("form", canary.needles(canary.draw()))
def test_the_search_finds_the_word_in_each_form(tmp_path: Path, form: str) -> None:
    word = canary.draw()
    forms = canary.needles(word)
    coded = {
        "percent": urllib.parse.quote(word).encode(),
        "json": json.dumps({"q": word}).encode(),
        "core": word.encode("ascii", "ignore"),
    }
    (tmp_path / "slip").write_bytes(b"... " + coded.get(form, forms[form]) + b" ...")
    assert canary.in_files([tmp_path / "slip"], forms) == [str(tmp_path / "slip")]
    assert form in canary.in_bytes((tmp_path / "slip").read_bytes(), forms)
