"""R12 once more, with passages read once: what is kept of them holds nothing of what a patron typed, or asked about."""

import json
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
from tests.promises import Figure
from tests.service import canary
from tests.service.conftest import PATIENCE, until
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


def kept(here: Place) -> dict[Path, tuple[bytes, int]]:
    """Return the files of states below a kiosk's folder, with their times."""
    return {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in store.files(here.folder / "state/passages")}


def filled(here: Place, demo: Built) -> dict[Path, tuple[bytes, int]]:
    """Return them when all are there: a passage's for each service and language, and what they begin with."""
    bundle = open_bundle(demo.folder)
    assert bundle.knowledge_path and bundle.embedding_path
    ways = len(bundle.manifest.languages) * sum(service.search for service in bundle.manifest.services)
    base = KnowledgeBase.open(bundle.knowledge_path, Embedder.open(bundle.embedding_path))
    passages = {digest_of(passage) for source in base.sources() for passage in base.document(source)}
    base.close()
    expected = ways * (len(passages) + 1)
    until(
        lambda: len(list(store.files(here.folder / "state/passages"))) == expected,
        "all passages are read",
        3 * PATIENCE,
    )
    return kept(here)


@pytest.mark.promise("R12")
def test_states_of_passages_hold_nothing_that_was_typed(
    place: Callable[..., Place],  # noqa: F811
    demo: Built,
    figure: Figure,
) -> None:
    word = canary.draw()
    forms = canary.needles(word)
    here = place(READS_ONCE)
    before = filled(here, demo)
    visit(here.kiosk, word, dies=False)
    time.sleep(SCRUBBED)
    for pid in (here.kiosk.process.pid, here.kiosk.worker()):
        assert canary.in_memory(pid, forms) == {}
    after = kept(here)
    assert after == before, "what was asked changes neither the files nor their times"
    visit(here.kiosk, word)
    assert here.kiosk.end() == 0
    written = here.written()
    figure("files of passages searched", len(before), "")
    assert set(before) <= written
    assert canary.in_files(written, forms) == []


def test_a_question_over_kept_passages_reads_little(place: Callable[..., Place], demo: Built) -> None:  # noqa: F811
    here = place(READS_ONCE)
    filled(here, demo)
    asked = {"service": "ask", "language": "en", "question": "Is there a lift?"}
    lines = [json.loads(line) for line in here.kiosk.client.post("/api/ask", json=asked).text.splitlines()]
    (started,) = [line for line in lines if "reused_tokens" in line]
    assert started["prompt_tokens"] > 100
    assert started["prompt_tokens"] - started["reused_tokens"] < 80
    assert here.kiosk.end() == 0
