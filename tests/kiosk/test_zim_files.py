"""A kiosk with a ZIM file beside its documents, asked over HTTP as the page asks it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest

from publicai_edge.bundle.open import Bundle
from publicai_edge.cli import parts
from publicai_edge.errors import BundleError, HostError
from publicai_edge.kiosk.library import Documents
from publicai_edge.knowledge import zim
from publicai_edge.knowledge.zim.library import ZimLibrary
from publicai_edge.search import terms
from publicai_edge.search.several import Several
from tests.kiosk.conftest import DIGEST, Running, manifest, running, write_bundle
from tests.kiosk.fakes import FakeDocuments, FakeEngine
from tests.knowledge import zims
from tests.service import canary

ZIM = {
    "file": "data/knowledge/small.zim",
    "name": "Small Encyclopedia",
    "source": "file:small.zim",
    "revision": None,
    "license": "CC-BY-SA-4.0",
    "license_url": "https://example.org/license",
    "sha256": DIGEST,
    "size": 1,
    "articles": 8,
    "title": "Small Encyclopedia",
    "language": "eng",
    "date": "2026-11-01",
}


class Words:
    """An embedding model of a kind: texts are near where they share words."""

    def encode(self, texts: Sequence[str], kind: str) -> Any:
        out = np.zeros((len(texts), 512), np.float32)
        for row, text in enumerate(texts):
            for word in terms.terms(text):
                out[row, sum(word.encode()) % 512] += 1
        return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)


class Shelf(FakeDocuments):
    def close(self) -> None:
        pass


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return zims.write(tmp_path / "small.zim")


@pytest.fixture
def library(archive: Path) -> Iterator[ZimLibrary]:
    found = ZimLibrary.open(archive, "Small Encyclopedia", Words(), 120)  # type: ignore[arg-type]
    yield found
    found.close()


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    content = manifest()
    assert content.knowledge is not None
    knowledge = content.knowledge.model_dump() | {"zim": [ZIM]}
    place = tmp_path / "bundle" / ZIM["file"]
    place.parent.mkdir(parents=True)
    place.write_bytes(b"ZIM\x04")
    return write_bundle(tmp_path / "bundle", manifest(knowledge=knowledge))


@pytest.fixture
def kiosk(bundle: Bundle, library: ZimLibrary) -> Iterator[Running]:
    documents = Shelf()

    def opened() -> Documents:
        return Several([documents, library])

    with running(bundle, FakeEngine(), documents, open_documents=opened) as held:
        yield held


def ask(client: httpx.Client, question: str) -> list[dict[str, Any]]:
    answer = client.post("/api/ask", json={"service": "ask", "language": "en", "question": question})
    assert answer.status_code == 200
    return [json.loads(line) for line in answer.text.splitlines()]


def test_a_passage_of_an_article_comes_with_its_title_and_opens_in_its_place(kiosk: Running) -> None:
    client = kiosk.client()
    events = ask(client, "Is a flat tyre mended with a patch and rubber cement?")
    found = events[0]["sources"][0]
    assert events[0]["type"] == "passages"
    assert (found["document"], found["heading"]) == ("Bicycle (Small Encyclopedia)", "Repair")
    assert found["source"] == "small.zim/Bicycle"
    assert "rubber cement" in found["text"]
    assert events[-1]["type"] == "done"
    document = client.get(f"/api/documents/{quote(found['source'], safe='')}").json()
    assert document["title"] == "Bicycle (Small Encyclopedia)"
    assert [item["heading"] for item in document["passages"]] == ["", "Repair"]
    assert document["passages"][1]["passage"] == found["passage"]


def test_documents_and_articles_stand_side_by_side(kiosk: Running) -> None:
    client = kiosk.client()
    assert ask(client, "When is the library open on Saturday?")[0]["sources"][0]["source"] == "hours.md"
    assert client.get("/api/documents/hours.md").json()["title"] == "Opening hours"
    assert client.get(f"/api/documents/{quote('small.zim/Canción/de_cuna')}").json()["passages"]
    facts = client.get("/api/kiosk").json()
    assert facts["zim"][0]["license"] == "CC-BY-SA-4.0"


def test_only_text_of_articles_is_served(kiosk: Running) -> None:
    client = kiosk.client()
    for path in ("small.zim", "small.zim/none", "small.zim/..%2F..%2Fbundle.json", "other.zim/Bicycle"):
        assert client.get(f"/api/documents/{path}").status_code == 404
    answer = client.get("/api/documents/small.zim/Photosynthesis")
    assert answer.headers["content-type"] == "application/json"
    assert "alert" not in answer.text


def test_operators_in_a_question_do_no_harm(kiosk: Running) -> None:
    client = kiosk.client()
    for typed in ('lava NOT volcano AND ("', "title:* OR lava", "+lava -volcano", "NEAR NEAR/3 lava", "* ?", "\\"):
        events = ask(client, typed)
        assert events[-1]["type"] in {"done", "nothing_found"}, typed
        if "lava" in typed:
            assert events[0]["sources"][0]["document"] == "Volcano (Small Encyclopedia)"


def test_a_reader_that_dies_costs_no_more_than_a_question(kiosk: Running, library: ZimLibrary) -> None:
    client = kiosk.client()
    os.kill(library._reader._process.pid, signal.SIGSEGV)  # type: ignore[union-attr]
    assert ask(client, "When is the library open on Saturday?")[0]["sources"][0]["source"] == "hours.md"
    assert ask(client, "What comes from a volcano: lava, ash?")[0]["sources"]
    os.kill(library._reader._process.pid, signal.SIGSEGV)  # type: ignore[union-attr]
    assert ask(client, "lava")[-1]["type"] == "error"
    assert ask(client, "lava")[0]["sources"]


@pytest.mark.promise("R12")
def test_soon_after_a_question_its_words_are_not_in_the_readers_memory(
    kiosk: Running, library: ZimLibrary, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    word = canary.draw()
    forms = canary.needles(word)
    (reader,) = library.pids
    ask(kiosk.client(), f"Is a flat tyre mended with lava, ash or {word}?")
    assert canary.in_memory(reader, {"core": forms["core"]}), "it was asked for"
    eventually(lambda: canary.in_memory(reader, forms) == {})
    assert library.pids == (reader,), "and it is the same process"


# What the web process does with a question, without the web server.
ASKS = """
import os, sys
from pathlib import Path
from publicai_edge.knowledge.zim.library import ZimLibrary
from publicai_edge.scrub import overwrite_what_is_freed, scrub
from tests.kiosk.test_zim_files import Words

library = ZimLibrary.open(Path(sys.argv[1]), "Small Encyclopedia", Words(), 120)
overwrite_what_is_freed()

def ask():
    return len(library.search(os.read(0, 1000).decode(), top=3, min_relevance=0.1))

count = ask()
library.scrub()
scrub()
os.write(1, f"found {count}\\n".encode())
os.read(0, 1)
"""


@pytest.mark.promise("R12")
def test_what_asks_the_reader_keeps_no_word_either(archive: Path) -> None:
    word = canary.draw()
    command = [sys.executable, "-c", ASKS, str(archive)]
    asking = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert asking.stdin is not None
        assert asking.stdout is not None
        os.write(asking.stdin.fileno(), f"Is a flat tyre mended with lava, ash or {word}?".encode())
        assert asking.stdout.readline() == b"found 3\n"
        assert canary.in_memory(asking.pid, canary.needles(word)) == {}
    finally:
        asking.kill()
        asking.communicate()


def test_the_memory_of_the_reader_is_counted(kiosk: Running, library: ZimLibrary) -> None:
    client = kiosk.client()
    ask(client, "lava")
    told = client.get("/api/operator-status").json()["machine"]
    assert told["memory_zim"] > 10 << 20
    lines = client.get("/metrics").text.splitlines()
    (line,) = [line for line in lines if line.startswith('publicai_edge_resident_memory_bytes{process="zim"}')]
    assert float(line.split()[1]) > 10 << 20


def test_a_bundle_without_its_zim_file_is_told_when_it_is_opened(bundle: Bundle) -> None:
    (bundle.root / ZIM["file"]).unlink()
    from publicai_edge.bundle.open import open_bundle

    with pytest.raises(BundleError, match=r"lacks data/knowledge/small\.zim"):
        open_bundle(bundle.root)


def test_without_libzim_serving_stops_before_it_begins(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zim, "is_installed", lambda: False)
    with pytest.raises(HostError, match=r"small\.zim needs libzim"):
        parts.documents(bundle)
