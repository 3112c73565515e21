"""R12 once more, with passages read once: what is kept of them holds nothing of what a patron typed, or asked about."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from publicai_edge.bundle.open import open_bundle
from publicai_edge.engine.embedder import Embedder
from publicai_edge.engine.passages import store
from publicai_edge.kiosk.passage_states import digest_of
from publicai_edge.pipeline.build import Built
from publicai_edge.search import KnowledgeBase
from tests.conftest import ROOT
from tests.promises import Figure
from tests.service import canary
from tests.service.conftest import PATIENCE, Kiosk, patched, until
from tests.service.test_nothing_is_kept import (
    SCRUBBED,
    Place,
    place,  # noqa: F401 - a fixture
    visit,
)

# The demo's kiosk, but for its recipe: it reads each passage once, and does not wait long to begin with that.
READS_ONCE = """
from dataclasses import replace
from publicai_edge.bundle import open as opening
from publicai_edge.kiosk import filling

settings = opening.passage_settings
opening.passage_settings = lambda bundle, folder: replace(settings(bundle, folder), composition="recomputed")
filling.Filler.__init__.__kwdefaults__["idle_seconds"] = 0.2
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def read_ahead(demo: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The states of all passages, as a kiosk has kept them that was left alone."""
    folder = tmp_path_factory.mktemp("read-ahead")
    there = os.environ | {"PUBLICAI_EDGE_DOCUMENTS": str(folder), "PYTHONPATH": str(ROOT)}
    arguments = [*patched(READS_ONCE), "serve", str(demo.folder), "--port", "0"]
    kiosk = Kiosk(arguments, folder / "printed", there, cwd=folder).wait_ready()
    try:
        until(lambda: ahead(kiosk) == "ready", "all passages are read", 3 * PATIENCE)
    finally:
        kiosk.end()
    return folder / "passages"


def count(demo: Built) -> int:
    """Return how many states there are: a passage's for each service and language, and what they begin with."""
    bundle = open_bundle(demo.folder)
    assert bundle.knowledge_path and bundle.embedding_path
    ways = len(bundle.manifest.languages) * sum(service.search for service in bundle.manifest.services)
    base = KnowledgeBase.open(bundle.knowledge_path, Embedder.open(bundle.embedding_path))
    passages = {digest_of(passage) for source in base.sources() for passage in base.document(source)}
    base.close()
    return ways * (len(passages) + 1)


@pytest.fixture
def here(place: Callable[..., Place], read_ahead: Path, tmp_path: Path) -> Place:  # noqa: F811
    """A kiosk that has read its passages before, and has seen that they are there."""
    shutil.copytree(read_ahead, tmp_path / "state" / "passages")
    here = place(READS_ONCE)
    until(lambda: ahead(here.kiosk) == "ready", "all passages are looked at", PATIENCE)
    return here


def ahead(kiosk: Kiosk) -> str:
    """Return how the kiosk says that reading ahead is."""
    told = kiosk.client.get("/api/operator-status").json()["documents"]["ahead"]
    return str(told["state"]) if told else "none"


def kept(here: Place) -> dict[Path, tuple[bytes, int]]:
    """Return the files of states below a kiosk's folder, with their times."""
    return {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in store.files(here.folder / "state/passages")}


@pytest.mark.promise("R12")
def test_states_of_passages_hold_nothing_that_was_typed(here: Place, demo: Built, figure: Figure) -> None:
    word = canary.draw()
    forms = canary.needles(word)
    before = kept(here)
    assert len(before) == count(demo)
    visit(here.kiosk, word, dies=False)
    time.sleep(SCRUBBED)
    for pid in (here.kiosk.process.pid, here.kiosk.worker()):
        assert canary.in_memory(pid, forms) == {}
    assert kept(here) == before, "what was asked changes neither the files nor their times"
    visit(here.kiosk, word)
    assert here.kiosk.end() == 0
    written = here.written()
    figure("files of passages searched", len(before), "")
    assert set(before) <= written
    assert canary.in_files(written, forms) == []


def test_a_question_over_kept_passages_reads_little(here: Place) -> None:
    asked = {"service": "ask", "language": "en", "question": "Is there a lift?"}
    lines = [json.loads(line) for line in here.kiosk.client.post("/api/ask", json=asked).text.splitlines()]
    (started,) = [line for line in lines if "reused_tokens" in line]
    assert started["prompt_tokens"] > 100
    assert started["prompt_tokens"] - started["reused_tokens"] < 80
    assert here.kiosk.end() == 0
